"""Over real DDS a G1's arms get arm_sdk's weight and checksum, or the whole-body goals.

unitree_hg is a stand-in with the real fields; nothing here was run against a robot.
"""

import signal
import struct
import time

import numpy as np
import pytest
from ros_fixtures import collect, wait_for_discovery, wait_until
from stand_in_interfaces import unitree_hg  # noqa: F401
from streamer_child import STREAMER

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist, Vector3
from sensor_msgs.msg import JointState
from std_msgs.msg import ByteMultiArray, Float64
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.ros.qos import COMMAND
from gr00t_ros.ros.windows import to_duration, to_time
from gr00t_ros.stream.points import WBC_STATUS, message_class
from gr00t_ros.stream.unitree import LEAD_NS, checksum
from gr00t_ros.wire.codec import decode, encode

JOINTS = ["left_elbow_joint", "right_elbow_joint"]
MOTORS = (18, 25)
START = np.array([0.4, -0.3])
GOAL = START + [0.2, -0.1]


def window(start=START, goal=GOAL, seconds=0.6):
    """A message: at rest for what DDS takes, then minimum-jerk to the goal."""
    times = np.arange(0.0, seconds + 0.3, 0.02)
    u = np.clip(times - 0.28, 0.0, seconds) / seconds
    s = np.clip(10 * u**3 - 15 * u**4 + 6 * u**5, 0.0, 1.0)
    message = JointTrajectory(joint_names=JOINTS)
    message.header.stamp = to_time(time.time_ns() - 20_000_000)
    message.points = [
        JointTrajectoryPoint(
            positions=(start + k * (goal - start)).tolist(), time_from_start=to_duration(int(t))
        )
        for k, t in zip([*s, 1.0], [*(times * 1e9), (seconds + 0.4) * 1e9], strict=True)
    ]
    return message


class Bench:
    """The robot and the policy node of one streamer of two elbows."""

    def __init__(self, node, processes, kind, message_type, *more):
        self.node = node
        self.sent = collect(node, message_type, "/arm_commands", 5000)
        self._windows = node.create_publisher(JointTrajectory, "/windows", COMMAND)
        self.joints = node.create_publisher(JointState, "/joint_states", 1)
        options = (
            f"joints:=[{','.join(JOINTS)}]",
            *("window_topic:=/windows", "command_topic:=/arm_commands", "rate_hz:=100"),
            *(f"command_type:={kind}", *more),
        )
        words = [word for one in options for word in ("-p", one)]
        self.streamer = processes.start(STREAMER, "--ros-args", *words, name="streamer")

    def tell(self, *told):
        """Publish the positions of each (publisher, positions) from now on, in this order."""
        for publisher, _ in told:
            wait_for_discovery(publisher.get_subscription_count, "the streamer's ear for joints")

        def publish():
            for publisher, positions in told:
                state = JointState(name=JOINTS, position=list(positions))
                state.header.stamp = to_time(time.time_ns())
                publisher.publish(state)

        return self.node.create_timer(0.01, publish)

    def play(self, moved, start=START, goal=GOAL):
        """Send windows until one is played: `moved` says so."""

        def sent():
            self._windows.publish(window(start, goal))
            end = time.monotonic() + 0.5
            while not moved() and time.monotonic() < end:
                time.sleep(0.01)
            return moved()

        wait_until(sent, "a window that is played")


def test_the_arms_are_taken_over_2_s_held_when_windows_stop_and_given_back_over_2_s(
    unitree_hg,  # noqa: F811
    ros_node,
    processes,
):
    """Right motors, gains and checksum in each; the weight falls after SIGTERM alone."""
    low_cmd = message_class("unitree_hg", "LowCmd", "the stand-in")
    gains = ("stiffness:=[60.0, 80.0]", "damping:=[1.5, 2.0]")
    bench = Bench(ros_node, processes, "unitree_low_cmd", low_cmd, *gains)
    bench.tell((bench.joints, START))
    sent = bench.sent
    positions = lambda: np.array([[m.motor_cmd[i].q for i in MOTORS] for m in list(sent)])  # noqa: E731
    weights = lambda: np.array([m.motor_cmd[29].q for m in list(sent)])  # noqa: E731

    wait_until(lambda: sent and sent[-1].motor_cmd[29].q > 0.2, "a weight that rises")
    bench._windows.publish(window())
    bench.streamer.wait_for_line("rejected window: weight: the arms are not taken over yet")
    wait_until(lambda: sent[-1].motor_cmd[29].q == 1.0, "full weight")
    held = positions()
    np.testing.assert_allclose(held, np.tile(START, (len(held), 1)), atol=1e-6)
    rising = weights()
    assert rising[0] < 0.1 and (np.diff(rising) >= 0.0).all()
    assert np.diff(rising).max() <= 0.0251  # 50 ms of a ramp of 2 s at most, however late a tick is

    bench.play(lambda: np.abs(positions()[-1] - START).max() > 0.1)
    wait_until(lambda: np.allclose(positions()[-50:], GOAL, atol=1e-6), "the goal, held")
    assert set(weights()[len(rising) :]) == {1.0}, "no window since, and full weight all the same"
    for message in sent[:: len(sent) // 20]:
        assert message.crc == checksum(_without_crc(message))
        kp_kd = [(message.motor_cmd[i].kp, message.motor_cmd[i].kd) for i in MOTORS]
        assert kp_kd == [(60.0, 1.5), (80.0, 2.0)]
        others = [m for i, m in enumerate(message.motor_cmd) if i not in (*MOTORS, 29)]
        assert all((m.q, m.dq, m.tau, m.kp, m.kd, m.mode) == (0,) * 6 for m in others)

    asked_at = len(weights())
    bench.streamer.signal(signal.SIGTERM)
    assert bench.streamer.wait() == 0
    wait_until(lambda: sent[-1].motor_cmd[29].q == 0.0, "the arms given back")
    falling, held = weights()[asked_at:], positions()[asked_at:]
    assert (np.diff(falling) <= 0.0).all() and np.diff(falling).min() >= -0.0251
    np.testing.assert_allclose(held, np.tile(GOAL, (len(held), 1)), atol=1e-6)


@pytest.mark.parametrize("zeros_first", [True, False])
def test_while_two_publishers_send_the_arms_joints_the_arms_are_not_taken_over(
    unitree_hg,  # noqa: F811
    ros_node,
    processes,
    zeros_first,
):
    """One of zeros, whoever is heard first: no message; when it has left, the true position."""
    low_cmd = message_class("unitree_hg", "LowCmd", "the stand-in")
    gains = ("stiffness:=[60.0, 80.0]", "damping:=[1.5, 2.0]")
    bench = Bench(ros_node, processes, "unitree_low_cmd", low_cmd, *gains)
    diagnostics = collect(ros_node, DiagnosticArray, "/diagnostics")
    zeros = ros_node.create_publisher(JointState, "/joint_states", 1)
    both = [(zeros, (0.0, 0.0)), (bench.joints, START)]
    timer = bench.tell(*(both if zeros_first else reversed(both)))
    mixed = "two publishers at once of left_elbow_joint, right_elbow_joint on /joint_states"
    told = lambda: sum(mixed in m.status[0].message for m in diagnostics)  # noqa: E731
    # a warning a second: longer than one publisher alone has to be heard
    wait_until(lambda: told() > 6, "seven warnings")
    assert not bench.sent

    ros_node.destroy_timer(timer)
    ros_node.destroy_publisher(zeros)
    bench.tell((bench.joints, START))
    wait_until(lambda: bench.sent and bench.sent[-1].motor_cmd[29].q == 1.0, "full weight")
    held = np.array([[m.motor_cmd[i].q for i in MOTORS] for m in bench.sent])
    np.testing.assert_allclose(held, np.tile(START, (len(held), 1)), atol=1e-6)


def _without_crc(message):
    """The words that the checksum is made of, packed here from the fields of the message."""
    motors = b"".join(
        struct.pack("<B3x5fI", m.mode, m.q, m.dq, m.tau, m.kp, m.kd, m.reserve)
        for m in message.motor_cmd
    )
    head = struct.pack("<2B2x", message.mode_pr, message.mode_machine)
    return head + motors + struct.pack("<4I", *message.reserve)


def test_whole_body_goals_are_sent_only_where_the_robots_clock_is_this_hosts(ros_node, processes):
    """Nothing by another clock; then goals 40 ms ahead, the last one held, a base that stands."""
    base = ("walk_topic:=/cmd_vel", "height_topic:=/base_height")
    bench = Bench(ros_node, processes, "wbc_upper_body", ByteMultiArray, *base)
    bench.tell((bench.joints, START))
    walks = ros_node.create_publisher(Twist, "/cmd_vel", COMMAND)
    heights = ros_node.create_publisher(Float64, "/base_height", COMMAND)
    status = ros_node.create_publisher(ByteMultiArray, WBC_STATUS, 1)
    ahead_s = [5000.0]

    def tell():
        content = encode({"timestamp": time.monotonic() + ahead_s[0]}, "msgpack_numpy")
        status.publish(ByteMultiArray(data=[bytes([byte]) for byte in content]))

    ros_node.create_timer(0.02, tell)

    def refused():
        bench._windows.publish(window())
        return "from this one's, expected the same clock" in bench.streamer.text()

    wait_until(refused, "the other clock to be refused")
    assert not bench.sent
    ahead_s[0] = 0.0
    bench.play(lambda: bench.sent)
    goals = lambda: [decode(b"".join(m.data)) for m in list(bench.sent)]  # noqa: E731
    wait_until(
        lambda: np.allclose([g["target_upper_body_pose"] for g in goals()[-20:]], GOAL),
        "the goal, held",
    )
    assert goals()[-1]["navigate_cmd"] == [0.0, 0.0, 0.0]
    assert "base_height_command" not in goals()[-1]
    wait_until(
        lambda: (
            walks.publish(Twist(linear=Vector3(x=0.25), angular=Vector3(z=-0.5)))
            or heights.publish(Float64(data=0.7))
            or goals()[-1].get("base_height_command") == 0.7
            and [0.25, 0.0, -0.5] in [g["navigate_cmd"] for g in goals()[-20:]]
        ),
        "velocities and height in the goals",
    )
    wait_until(lambda: not any(goals()[-1]["navigate_cmd"]), "a base that stands when nobody walks")
    assert goals()[-1]["base_height_command"] == 0.7
    ahead = {round((g["target_time"] - g["timestamp"]) * 1e9) for g in goals()}
    assert all(abs(each - LEAD_NS) < 1000 for each in ahead)
    assert 0.0 <= time.monotonic() - goals()[-1]["timestamp"] < 20.0
    ahead_s[0] = -60.0
    wait_until(lambda: _silent(bench.sent), "no goal by a clock that went away")
    ahead_s[0] = 0.0
    assert _silent(bench.sent), "the receiver may have been started anew elsewhere"
    count = len(bench.sent)
    bench.play(lambda: len(bench.sent) > count, start=GOAL, goal=START)
    np.testing.assert_allclose(goals()[count]["target_upper_body_pose"], GOAL, atol=1e-3)
    wait_until(
        lambda: np.allclose(goals()[-1]["target_upper_body_pose"], START, rtol=0, atol=1e-7),
        "the goal where the arms are measured",
    )
    ahead_s[0] = -60.0
    wait_until(lambda: _silent(bench.sent), "no goal by a clock that went away again")
    count = len(bench.sent)
    ahead_s[0] = 0.0
    wait_until(
        lambda: (
            walks.publish(Twist(linear=Vector3(x=0.25)))
            or [0.25, 0.0, 0.0] in [g["navigate_cmd"] for g in goals()[count:]]
        ),
        "a base that walks again without a window",
    )
    poses = [g["target_upper_body_pose"] for g in goals()[count:]]
    np.testing.assert_allclose(poses, np.tile(START, (len(poses), 1)), atol=1e-6)


def _silent(received):
    count, end = len(received), time.monotonic() + 0.3
    while time.monotonic() < end:
        time.sleep(0.01)
    return len(received) == count


def test_a_robot_without_its_package_is_told_by_name(ros_domain, processes):
    """The streamer ends and says what is missing, and from where."""
    options = ("joints:=[left_elbow_joint]", "window_topic:=/w", "command_topic:=/arm_sdk",
               "command_type:=unitree_low_cmd", "stiffness:=[60.0]", "damping:=[1.5]")  # fmt: skip
    words = [word for one in options for word in ("-p", one)]
    child = processes.start(
        "-c", "import sys; sys.modules['unitree_hg'] = None; import gr00t_ros.stream.joints as s;"
        "sys.exit(s.main())", "--ros-args", *words, name="streamer")  # fmt: skip
    assert child.wait() != 0
    assert "unitree_hg: not installed here" in child.text()
