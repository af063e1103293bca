"""The real gr00t_command_streamer over real DDS plays its windows, and stops whatever dies."""

import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
from ros_fixtures import collect, wait_for_discovery, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from std_msgs.msg import Float64
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.ros.qos import COMMAND
from gr00t_ros.ros.windows import to_duration, to_time
from gr00t_ros.stream.commands import CommandStreamer

NAMES = {"base": ("lin_vel_x", "lin_vel_y", "ang_vel_z"), "base_height": ("base_height",)}


class Bench:
    """The policy node's side and the robot's side of one streamer."""

    def __init__(self, node, processes):
        self.node = node
        self.twists = collect(node, Twist, "/cmd_vel", COMMAND)
        self.heights = collect(node, Float64, "/base_height", COMMAND)
        self.diagnostics = collect(node, DiagnosticArray, "/diagnostics")
        self.windows = {
            name: node.create_publisher(JointTrajectory, f"/gr00t_policy/windows/{name}", COMMAND)
            for name in NAMES
        }
        self.streamer = processes.start(
            *("-m", "gr00t_ros.stream.commands", "--ros-args"),
            *("-p", "embodiment:=unitree_g1"),
            name="streamer",
        )
        for publisher in self.windows.values():
            wait_for_discovery(publisher.get_subscription_count, "a streamer that listens")
        wait_for_discovery(lambda: node.count_publishers("/cmd_vel"), "a streamer that speaks")
        wait_for_discovery(lambda: self.diagnostics, "a streamer that has discovered this node")

    def send(self, name, *rows, step_s=1.0):
        """Send a window of these rows, from now on."""
        message = JointTrajectory(joint_names=list(NAMES[name]))
        message.header.stamp = to_time(time.time_ns())
        message.points = [
            JointTrajectoryPoint(
                positions=list(map(float, row)), time_from_start=to_duration(int(k * step_s * 1e9))
            )
            for k, row in enumerate(rows)
        ]
        self.windows[name].publish(message)


@pytest.fixture
def bench(ros_node, processes):
    """A streamer of the G1's base."""
    return Bench(ros_node, processes)


DRIVE = ((0.3, 0, 0.2), (0.3, 0, 0.2), (0, 0, 0))


def test_windows_become_messages_and_the_last_one_ends_at_zero_and_in_silence(bench):
    """A policy node that died leaves a base that stands, and a topic that is free."""
    bench.send("base", *DRIVE, step_s=1.5)
    bench.send("base_height", (0.74,), (0.7,), step_s=1.5)
    wait_until(lambda: any(t.linear.x == pytest.approx(0.3) for t in bench.twists), "velocities")
    wait_until(lambda: bench.twists[-1].linear.x == 0.0, "a base at rest")
    assert {t.linear.y for t in bench.twists} == {0.0}
    wait_until(lambda: bench.heights and bench.heights[-1].data == pytest.approx(0.7), "the height")
    heights = [h.data for h in bench.heights]
    assert heights == sorted(heights, reverse=True)

    def silent():
        count = len(bench.twists)
        start = time.monotonic()
        wait_until(lambda: time.monotonic() - start > 0.2, "0.2 s")
        return len(bench.twists) == count

    wait_until(silent, "silence")
    assert bench.twists[-1] == Twist()


def test_sigterm_stops_the_base_at_once(bench):
    """The window still has seconds to go; the streamer leaves with zero all the same."""
    bench.send("base", *DRIVE, step_s=20.0)
    wait_until(lambda: any(t.linear.x > 0.29 for t in bench.twists), "velocities")
    bench.streamer.signal(signal.SIGTERM)
    wait_until(lambda: bench.twists[-1] == Twist(), "zero")
    assert bench.streamer.wait() == 0
    assert bench.twists[-1] == Twist()


def test_a_window_outside_the_files_limits_is_refused_and_told(bench):
    """Whoever sends it: no velocity above the range leaves the streamer."""
    bench.send("base", (0.9, 0, 0), (0, 0, 0))

    def told():
        return any("lin_vel_x: got 0.9" in s.message for d in bench.diagnostics for s in d.status)

    wait_until(told, "the reason")
    assert not bench.twists


class Broken:
    """A player or a sender all of whose calls raise."""

    accepted, topic, problem = 0, "/broken", ""

    def __getattr__(self, name):
        raise RuntimeError(f"{name} is broken")


def test_a_stream_that_raises_keeps_no_other_from_its_zero(ros_domain, monkeypatch):
    """The one behind it in the list is sent all the same, and the reason is told."""
    rclpy.init(args=["--ros-args", "-p", "embodiment:=unitree_g1"])
    try:
        monkeypatch.setattr("gr00t_ros.ros.periodic.PeriodicThread.start", lambda _: None)
        streamer = CommandStreamer()
        base, height = streamer._streams
        base.player = Broken()
        sent = []
        height.player = SimpleNamespace(accepted=0, sample=lambda *_: np.array([0.7]))
        height.sender = SimpleNamespace(
            topic="", problem="", send=lambda values, stamp: sent.append(values)
        )
        streamer._tick()
        assert sent == [0.7]
        assert base.last_rejection == "RuntimeError: sample is broken"
        streamer.destroy_node()
    finally:
        rclpy.shutdown()
