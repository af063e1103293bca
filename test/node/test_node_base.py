"""Node and command streamer together: a driving base stops whatever fails."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from ros_fixtures import collect, own_domain, spinning_node, started, wait_for_success, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from geometry_msgs.msg import TwistStamped  # noqa: E402
from mobile_robot import BASE, LIMIT_M_S, add_base  # noqa: E402
from node_robot import NEEDS_ROBOT, Rig  # noqa: E402
from std_msgs.msg import Float64, String  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from gr00t_ros.robot.files import find_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402

pytestmark = NEEDS_ROBOT


def mobile_embodiment(folder: Path) -> Path:
    """The DROID arm on a base whose height can be commanded."""
    file = folder / "mobile.yaml"
    content = yaml.safe_load(Path(find_embodiment("franka_droid")).read_text())
    file.write_text(yaml.safe_dump(add_base(content)))
    return file


class Base:
    """What the base heard, and when on steady time."""

    def __init__(self, rig, folder, processes):
        self.rig, self.file = rig, mobile_embodiment(folder)
        self.twists: list[TwistStamped] = []
        self.heard: list[tuple[float, float]] = []
        rig.node.create_subscription(TwistStamped, "/cmd_vel", self._on_twist, qos.COMMAND)
        self.heights = collect(rig.node, Float64, "/base_height", qos.COMMAND)
        self.windows = {
            name: collect(rig._watcher, JointTrajectory, topic, qos.COMMAND)
            for name, topic in (
                ("base", "/gr00t_policy/windows/base"),
                ("height", "/gr00t_policy/windows/height"),
            )
        }
        self._processes = processes
        self.start_streamer()

    def start_streamer(self):
        """The process between the node and the base."""
        options = ("--ros-args", "-p", f"embodiment:={self.file}")
        self.streamer = self._processes.start(
            "-m", "gr00t_ros.stream.commands", *options, name="streamer"
        )

    def _on_twist(self, message):
        self.twists.append(message)
        self.heard.append((time.monotonic(), message.twist.linear.x))

    def wait_for_drive(self):
        """Until the base is told to go at its limit."""
        wait_until(lambda: self.heard and self.heard[-1][1] == LIMIT_M_S, "a base in motion")

    def wait_for_zero(self):
        """Until the last thing that the base was told is to stand."""
        wait_until(lambda: self.heard[-1][1] == 0.0, "a base at rest")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Robot, server, command streamer and an active node, for all tests of this file in order."""
    folder = tmp_path_factory.mktemp("base")
    with own_domain() as domain, spinning_node(domain) as node, started(folder) as processes:
        rig = Rig(processes, node)
        base = Base(rig, folder, processes)
        rig.start_robot()
        rig.start_server("drive_policy:make_policy", embodiment=str(base.file))
        rig.move(embodiment=base.file, max_camera_age_s=2.0, max_joint_age_s=1.0)
        yield base
        rig.close()


def test_what_the_policy_asks_of_the_base_is_clamped_and_reaches_it_at_its_rate(base):
    """1 m/s asked, 0.5 allowed; 1 m/s^2; the height goes down by 0.1 m/s and stays in range."""
    base.wait_for_drive()
    twists = list(base.twists)
    speeds = np.array([t.twist.linear.x for t in twists])
    times_s = np.array([t.header.stamp.sec % 1000 + t.header.stamp.nanosec * 1e-9 for t in twists])
    assert max(speeds) == LIMIT_M_S
    # 1 m/s^2, by stamps that are read a little before the window is
    assert np.all(np.diff(speeds) <= np.abs(np.diff(times_s)) + 0.05)
    assert {t.header.frame_id for t in base.twists} == {"base_link"}
    assert base.twists[-1].twist.angular.z == pytest.approx(0.1)
    wait_until(lambda: base.heights and base.heights[-1].data == pytest.approx(0.6), "the height")
    assert base.heights[0].data <= 0.74


def stamps_of(messages):
    """The stamps of these messages so far."""
    return {(m.header.stamp.sec, m.header.stamp.nanosec) for m in list(messages)}


def test_all_windows_of_one_plan_bear_one_stamp(base):
    """Arm, gripper, base and height: whoever compares them sees one instant."""
    outputs = {"arm": base.rig.arm, "gripper": base.rig.gripper, **base.windows}
    for messages in outputs.values():
        messages.clear()

    def shared():
        """The stamps that every output has; a late machine withholds or loses single messages."""
        return set.intersection(*map(stamps_of, outputs.values()))

    wait_until(lambda: len(shared()) > 30, "30 instants with a window of each output")
    assert [w.joint_names for w in (base.windows["base"][-1], base.windows["height"][-1])] == [
        BASE,
        ["base_height"],
    ]


def test_the_operators_pause_and_an_estop_stand_the_base_still_and_leave_its_height(base):
    """Zero within the ticks that the stop takes, long before the arm's own ramp is over."""
    for ask, leave in (("pause", "resume"), ("estop", "reset")):
        base.wait_for_drive()
        base.heights.clear()
        before = len(base.heard) - 1
        assert base.rig.ask(ask).success
        base.wait_for_zero()
        speeds = [speed for _, speed in list(base.heard)[before:]]
        assert min(np.diff(speeds)) < -0.3, f"at once, not by the rate: {speeds}"
        base.rig.wait_for_mode("paused_by_operator", "fault")
        wait_until(lambda: base.heights and base.heights[-1].data == pytest.approx(0.6), "height")
        wait_until(lambda leave=leave: base.rig.ask(leave).success, leave)


def test_a_deactivation_ends_only_when_the_base_was_told_to_stand(base):
    """The transition's success means rest of all that was commanded."""
    base.wait_for_drive()
    wait_until(lambda: base.rig.change("deactivate"), "inactive")
    base.wait_for_zero()
    wait_until(lambda: base.rig.change("activate"), "active")


def test_a_streamer_that_falls_silent_stops_the_arm_and_latches_a_fault_that_names_it(base):
    """Stopped, not killed: the graph shows no difference; ~/reset is refused until it is back."""
    base.wait_for_drive()
    base.streamer.signal(signal.SIGSTOP)
    status = base.rig.wait_for_mode("fault")
    assert "gr00t_command_streamer, which plays output" in status.reason
    assert "last heard" in status.reason
    base.rig.assert_rest()
    answer = base.rig.reset()
    assert not answer.success and "start the streamer" in answer.message
    base.heard.clear()
    base.streamer.signal(signal.SIGCONT)
    wait_for_success(base.rig.reset, "a reset once it is there")
    base.wait_for_drive()


def test_a_streamer_that_is_started_again_in_motion_latches_a_fault(base):
    """A second process reads the windows at once, and has never played what was sent before."""
    base.wait_for_drive()
    first = base.streamer
    base.start_streamer()
    base.rig.wait_for_mode("fault")
    # the heartbeats or the graph show it, whichever comes first
    seen = ("gr00t_command_streamer", "another publisher commands /cmd_vel")
    assert any(one in line for one in seen for line in base.rig.told()[-2:])
    first.signal(signal.SIGTERM)
    first.wait()
    base.heard.clear()
    wait_for_success(base.rig.reset, "a reset by the one that is left")
    base.wait_for_drive()


def test_a_streamer_that_is_killed_stops_the_arm_and_a_reset_waits_for_a_new_one(base):
    """The graph lists it for its lease, as a second publisher of what it sent."""
    base.wait_for_drive()
    base.streamer.signal(signal.SIGKILL)
    base.streamer.wait()
    status = base.rig.wait_for_mode("fault")
    assert "gr00t_command_streamer, which plays output" in status.reason
    base.rig.assert_rest()
    answer = base.rig.reset()
    assert not answer.success and "start the streamer" in answer.message
    base.start_streamer()
    answers = []

    def reset():
        answers.append(base.rig.reset())
        return answers[-1].success

    base.heard.clear()
    wait_until(reset, "a reset once the dead one is dropped", 60.0)
    assert any("one that was killed is listed for its lease" in a.message for a in answers)
    base.wait_for_drive()


def test_a_streamer_that_the_graph_still_lists_refuses_a_reset_and_an_activation(base):
    """Before what the new one commands is known: else both are found, and fault what was begun."""
    base.wait_for_drive()
    dead = base.rig.node.create_publisher(String, "/gr00t_policy/windows/base/alive", qos.SENSOR)
    reason = "output base: 2 streamers are listed on /gr00t_policy/windows/base/alive"
    assert base.rig.ask("estop").success
    base.rig.wait_for_mode("fault")

    def refused():
        answer = base.rig.reset()
        if answer.success:  # it was not discovered yet
            assert base.rig.ask("estop").success
        return reason in answer.message

    wait_until(refused, "a reset that is refused for it")
    base.rig.node.destroy_publisher(dead)
    wait_for_success(base.rig.reset, "a reset without it")
    wait_until(lambda: base.rig.change("deactivate"), "inactive")
    dead = base.rig.node.create_publisher(String, "/gr00t_policy/windows/base/alive", qos.SENSOR)
    base.rig.wait_for_reason(reason)
    assert not base.rig.change("activate")
    base.rig.node.destroy_publisher(dead)
    wait_until(lambda: base.rig.change("activate"), "active")
    base.wait_for_drive()


def test_a_node_that_dies_leaves_a_base_at_rest(base):
    """SIGKILL: the streamer plays the last window, which ends at zero, and is silent then."""
    base.wait_for_drive()
    low = pytest.approx(0.6)
    wait_until(lambda: base.heights and base.heights[-1].data == low, "the policy's height")
    base.rig.policy.signal(signal.SIGKILL)
    base.rig.policy.wait()
    base.wait_for_zero()
    begun = time.monotonic()
    count = len(base.heard)

    def silent():
        nonlocal begun, count
        if len(base.heard) != count:
            begun, count = time.monotonic(), len(base.heard)
        return time.monotonic() - begun > 0.3

    wait_until(silent, "silence")
    assert base.heard[-1][1] == 0.0
    assert base.heights[-1].data == low, "a height is held, not zeroed"
