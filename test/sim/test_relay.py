"""The relay passes sensor topics on unchanged, and applies each injected fault."""

import math
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ros_fixtures import call, collect, wait_for_discovery, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from geometry_msgs.msg import PoseStamped  # noqa: E402
from sensor_msgs.msg import Image, JointState  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.sim.controller import ControllerState  # noqa: E402
from gr00t_ros.sim.sensors import SENSOR_OUT  # noqa: E402
from gr00t_ros.srv import InjectFault  # noqa: E402

TOPICS = {"/joint_states": JointState, "/ee_pose": PoseStamped, "/camera/wrist/image_raw": Image}


class FarSide:
    """Publishes before the relay and looks behind it; messages are told by their stamp."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._stamp_s = 0
        self._out = {t: node.create_publisher(k, f"/sim{t}", SENSOR_OUT) for t, k in TOPICS.items()}
        self.seen = {t: collect(node, k, t, SENSOR_OUT) for t, k in TOPICS.items()}
        for topic in TOPICS:
            wait_until(lambda topic=topic: self._connected(topic), f"{topic} through the relay")

    def _connected(self, topic: str) -> bool:
        self.send(topic)
        return bool(self.seen[topic])

    def send(self, topic: str) -> int:
        """Publish a sound message; returns its stamp, which no other has."""
        self._stamp_s += 1
        message = {
            "/joint_states": JointState(name=["a", "b", "c"], position=[1.0, 2.0, 3.0]),
            "/ee_pose": PoseStamped(),
            "/camera/wrist/image_raw": Image(
                height=4, width=2, encoding="rgb8", step=6, data=[9] * 24
            ),
        }[topic]
        message.header.stamp.sec = self._stamp_s
        self._out[topic].publish(message)
        return self._stamp_s

    def inject(self, topic: str, fault: str, value: float = 0.0) -> Any:
        request = InjectFault.Request(stream=topic, fault=fault, value=value)
        return call(self._node, InjectFault, "/gr00t_sim_relay/inject_fault", request)

    def newest(self, topic: str, stamp_s: int) -> Any:
        """The message of this stamp, once it has come through."""
        return wait_until(lambda: self.find(topic, stamp_s), f"{topic} of stamp {stamp_s}")

    def find(self, topic: str, stamp_s: int) -> Any:
        return next((m for m in list(self.seen[topic]) if m.header.stamp.sec == stamp_s), None)

    def stamps(self, topic: str) -> list[int]:
        return [message.header.stamp.sec for message in list(self.seen[topic])]


@pytest.fixture
def far(processes: Any, ros_node: Any) -> Iterator[FarSide]:
    """The far side of a running relay that passes everything on."""
    processes.start("-m", "gr00t_ros.sim.relay", name="relay")
    yield FarSide(ros_node)


CONTENT: list[tuple[str, str, float, Callable[[Any], bool]]] = [
    ("/camera/wrist/image_raw", "black", 0.0, lambda m: not any(m.data) and m.height == 4),
    ("/camera/wrist/image_raw", "wrong_size", 0.0, lambda m: m.height == 2 and len(m.data) == 12),
    ("/camera/wrist/image_raw", "wrong_encoding", 0.0, lambda m: m.encoding == "32FC1"),
    ("/joint_states", "reorder", 0.0, lambda m: m.name == ["c", "b", "a"] and m.position[0] == 3.0),
    ("/joint_states", "drop_joint", 1.0, lambda m: m.name == ["a", "c"]),
    ("/joint_states", "nan", 0.0, lambda m: math.isnan(m.position[0])),
    ("/ee_pose", "nan", 0.0, lambda m: math.isnan(m.pose.position.x)),
]


def test_content_faults_reach_the_far_side_and_end_on_request(far: FarSide) -> None:
    """Each in turn on one stream, and a sound message after each."""
    for topic, fault, value, broken in CONTENT:
        answer = far.inject(topic, fault, value)
        assert answer.success, answer.message
        assert broken(far.newest(topic, far.send(topic))), f"{fault} on {topic}"
        assert far.inject(topic, "none").success
        assert not broken(far.newest(topic, far.send(topic))), f"{fault} outlived its end"


def test_a_stopped_stream_loses_messages_and_the_others_go_on(far: FarSide) -> None:
    """What was sent during the stop never comes, not even afterwards."""
    assert far.inject("/joint_states", "stop").success
    lost = far.send("/joint_states")
    far.newest("/ee_pose", far.send("/ee_pose"))
    assert far.inject("all", "none").success
    far.newest("/joint_states", far.send("/joint_states"))
    assert lost not in far.stamps("/joint_states")


def test_a_frozen_stream_goes_on_with_its_last_message(far: FarSide) -> None:
    """Messages keep coming, all of the stamp before the fault."""
    last = far.send("/joint_states")
    far.newest("/joint_states", last)
    assert far.inject("joint_states", "freeze").success
    before = len(far.stamps("/joint_states"))
    hidden = far.send("/joint_states")
    wait_until(lambda: len(far.stamps("/joint_states")) > before, "a repeated message")
    assert far.stamps("/joint_states")[before:] == [last]
    assert hidden not in far.stamps("/joint_states")


def test_a_delayed_message_comes_after_one_that_was_sent_later(far: FarSide) -> None:
    """Delay holds one stream back, another overtakes it."""
    assert far.inject("/joint_states", "delay", 10.0).success
    late = far.send("/joint_states")
    far.newest("/ee_pose", far.send("/ee_pose"))
    assert late not in far.stamps("/joint_states")
    far.newest("/joint_states", late)


def test_a_fault_that_does_not_exist_is_refused_with_the_reason(far: FarSide) -> None:
    """An injection that did nothing must not look like one that did."""
    for topic, fault in (("/nowhere", "stop"), ("/ee_pose", "black"), ("/ee_pose", "smoke")):
        answer = far.inject(topic, fault)
        assert not answer.success
        assert fault in answer.message
        assert "expected" in answer.message


def test_an_idle_relay_ends_on_sigterm(processes: Any, ros_node: Any) -> None:
    """Nothing arrives that could wake it; it said what it relays."""
    relay = processes.start("-m", "gr00t_ros.sim.relay", name="relay")
    relay.wait_for_line("relaying between /sim/.. and /camera/exterior/image_raw, ")
    client = ros_node.create_client(InjectFault, "/gr00t_sim_relay/inject_fault")
    wait_for_discovery(client.service_is_ready, "the relay")
    relay.signal(signal.SIGTERM)
    assert relay.wait() == 0


def test_a_cut_loses_everything_for_its_time_and_heals_by_itself(
    processes: Any, ros_node: Any
) -> None:
    """Commands to the robot and states from it, which pass where they are listed."""
    command, state = "/arm/joint_trajectory", "/arm/controller_state"
    lists = (f"command_topics:=['{command}']", f"controller_state_topics:=['{state}']")
    options = [word for one in lists for word in ("-p", one)]
    processes.start("-m", "gr00t_ros.sim.relay", "--ros-args", *options, name="relay")
    ways = {
        command: (JointTrajectory, command, f"/sim{command}"),
        state: (ControllerState, f"/sim{state}", state),
    }
    out = {t: ros_node.create_publisher(k, a, qos.COMMAND) for t, (k, a, _) in ways.items()}
    seen = {t: collect(ros_node, k, b, qos.COMMAND) for t, (k, _, b) in ways.items()}
    stamp = 0

    def send() -> int:
        nonlocal stamp
        stamp += 1
        for topic, (kind, _, _) in ways.items():
            message = kind()
            message.header.stamp.sec = stamp
            out[topic].publish(message)
        return stamp

    def arrived(number: int) -> bool:
        return all(any(m.header.stamp.sec == number for m in list(s)) for s in seen.values())

    wait_until(lambda: arrived(send() - 1), "both ways")
    request = InjectFault.Request(stream="all", fault="cut", value=5.0)
    answer = call(ros_node, InjectFault, "/gr00t_sim_relay/inject_fault", request)
    assert answer.success and command in answer.message and state in answer.message
    lost = send()
    wait_until(lambda: arrived(send() - 1), "the way to be whole again")
    assert not any(m.header.stamp.sec == lost for s in seen.values() for m in list(s))
