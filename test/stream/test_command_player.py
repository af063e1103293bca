"""The command player plays a window's values in time, and refuses windows that do not fit."""

from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from builtin_interfaces.msg import Time
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.outputs import CommandOutput
from gr00t_ros.ros.windows import to_duration, to_time
from gr00t_ros.stream.command_player import CommandPlayer
from gr00t_ros.stream.command_types import float64, twist, twist_stamped

MS = 1_000_000
FILE = Path(__file__).parents[2] / "config" / "embodiments" / "unitree_g1.yaml"
G1 = parse(yaml.safe_load(FILE.read_text()), FILE.name)
BASE, HEIGHT = G1.commands
OFFSET_NS = 5_000_000_000  # of ROS time to the plan clock


def window(rows, stamp_ns, names=BASE.names, step_ns=20 * MS):
    """The message of these rows, stamped in ROS time."""
    message = JointTrajectory(joint_names=list(names))
    message.header.stamp = to_time(stamp_ns + OFFSET_NS)
    message.points = [
        JointTrajectoryPoint(
            positions=list(map(float, row)), time_from_start=to_duration(k * step_ns)
        )
        for k, row in enumerate(rows)
    ]
    return message


RAMP = [[0.4, 0, 0], [0.2, 0, 0], [0, 0, 0]]


def playing(rows=RAMP, stamp_ns=1000 * MS, output=BASE, now_ns=1000 * MS):
    """A player that has accepted a window."""
    player = CommandPlayer(output, G1.command_limits)
    assert player.accept(window(rows, stamp_ns, output.names), OFFSET_NS, now_ns, now_ns) is None
    return player


def test_a_window_is_played_by_its_stamp_and_its_end_is_said_for_half_a_second():
    """Linear between its knots, then zero for a while, then the topic is free."""
    player = playing()
    values = [player.sample((1000 + t) * MS, (1000 + t) * MS) for t in (0, 10, 40, 500, 560)]
    np.testing.assert_allclose([v[0] for v in values[:4]], [0.4, 0.3, 0.0, 0.0])
    assert values[4] is None
    assert CommandPlayer(BASE, G1.command_limits).sample(0, 0) is None


def test_simulated_time_that_stands_still_ends_a_window_all_the_same():
    """A simulator that stopped publishing its clock must not keep a base in motion."""
    player = playing()
    assert player.sample(1000 * MS, 1000 * MS)[0] == pytest.approx(0.4)
    assert player.sample(1000 * MS, 1040 * MS)[0] == 0.0


def test_a_stop_is_zero_for_velocities_and_leaves_a_height():
    """What SIGTERM makes of each kind."""
    player = playing()
    player.stop(1010 * MS, 1010 * MS)
    assert player.sample(1011 * MS, 1011 * MS).tolist() == [0.0, 0.0, 0.0]
    height = playing([[0.7], [0.6]], output=HEIGHT)
    height.stop(1010 * MS, 1010 * MS)
    assert height.sample(1030 * MS, 1030 * MS).tolist() == pytest.approx([0.65])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (window([[np.nan, 0, 0], [0, 0, 0]], 1000 * MS), "NaN"),
        (window([[0.6, 0, 0], [0, 0, 0]], 1000 * MS), "lin_vel_x: got 0.6000 at point 0"),
        (window([[0.1, 0, 0]], 1000 * MS), "at the end, expected zero"),
        (window(RAMP, 2000 * MS), "ahead of this clock"),
        (window(RAMP, 100 * MS), "s ago, expected one to come"),
        (window(RAMP, 1000 * MS, step_ns=0), "do not increase"),
        (window(RAMP, 1000 * MS, ("a", "b", "c")), "doesn't match"),
        (window([], 1000 * MS), "no points"),
    ],
)
def test_an_unfit_window_is_refused_and_the_one_before_it_plays_on(message, expected):
    """No value reaches the robot that its file does not allow, and none that stays."""
    player = playing()
    assert expected in player.accept(message, OFFSET_NS, 1010 * MS, 1010 * MS)
    assert player.sample(1020 * MS, 1020 * MS)[0] == pytest.approx(0.2)
    assert player.accepted == 1


def test_three_velocities_are_planar_and_six_are_all_of_a_twist():
    """x, y and about z; or x, y, z and about x, y, z, stamped in the output's frame."""
    planar = twist(BASE, np.array([1.0, 2.0, 3.0]), Time())
    assert (planar.linear.x, planar.linear.y, planar.linear.z) == (1.0, 2.0, 0.0)
    assert (planar.angular.x, planar.angular.y, planar.angular.z) == (0.0, 0.0, 3.0)
    servo = CommandOutput("eef", "twist_stamped", "/twist", tuple("abcdef"), "base_link")
    stamped = twist_stamped(servo, np.arange(6.0), Time(sec=7))
    assert stamped.header.stamp.sec == 7
    assert stamped.header.frame_id == "base_link"
    linear, angular = stamped.twist.linear, stamped.twist.angular
    assert [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z] == list(range(6))
    assert float64(HEIGHT, np.array([0.7]), Time()).data == 0.7
