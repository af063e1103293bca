"""The simulated controller accepts and rejects trajectories as ros2_control does."""

from types import SimpleNamespace

import numpy as np
import pytest

from gr00t_ros.motion.sampler import JtcSampler, Trajectory
from gr00t_ros.ros.windows import parse_trajectory
from gr00t_ros.sim.controller import Follower
from gr00t_ros.sim.record import ROW_NS

MS = 1_000_000
NAMES = ("first", "second")
START = np.array([0.1, -0.2])


def time_of(ns: int) -> SimpleNamespace:
    """A builtin_interfaces Time or Duration."""
    return SimpleNamespace(sec=ns // 1_000_000_000, nanosec=ns % 1_000_000_000)


def point(ms: int, **fields: list[float]) -> SimpleNamespace:
    """A JointTrajectoryPoint at ms milliseconds with these fields, the others empty."""
    empty: dict[str, list[float]] = dict(positions=[], velocities=[], accelerations=[], effort=[])
    return SimpleNamespace(**{**empty, **fields}, time_from_start=time_of(ms * MS))


def message(
    *points: SimpleNamespace, names: tuple[str, ...] = NAMES, stamp_ns: int = 0
) -> SimpleNamespace:
    """A JointTrajectory."""
    header = SimpleNamespace(stamp=time_of(stamp_ns))
    return SimpleNamespace(header=header, joint_names=list(names), points=list(points))


def accept(follower: Follower, got: SimpleNamespace, now_ns: int = 0, offset_ns: int = 0) -> object:
    """Offer a message to a follower whose joints stand still at the start."""
    return follower.accept(got, now_ns, offset_ns, START, np.zeros(2))


def test_it_holds_the_start_from_the_first_cycle() -> None:
    """A freshly activated controller commands where it is, at rest."""
    position, velocity, acceleration = Follower(NAMES, START).command(ROW_NS)
    np.testing.assert_array_equal(position, START)
    np.testing.assert_array_equal([velocity, acceleration], np.zeros((2, 2)))


def test_joints_in_another_order_reach_the_right_joints() -> None:
    """Names decide, not places."""
    follower = Follower(NAMES, START)
    swapped = message(point(10, positions=[5.0, 7.0]), names=("second", "first"))
    assert accept(follower, swapped) is None
    for cycle in range(1, 20):
        position = follower.command(cycle * ROW_NS)[0]
    np.testing.assert_array_equal(position, [7.0, 5.0])


def test_every_cycle_is_what_the_controllers_model_says() -> None:
    """Commands are the sampler's, one cycle ahead, on the controllers' clock."""
    stamp_ns, offset_ns = 90 * MS, 7_000 * MS
    points = [
        point(at, positions=[p, -p], velocities=[v, -v])
        for at, p, v in ((0, 0.0, 0.5), (100, 0.1, 1.0), (200, 0.2, 0.0))
    ]
    follower = Follower(NAMES, START)
    assert accept(follower, message(*points, stamp_ns=stamp_ns + offset_ns), 0, offset_ns) is None
    oracle = JtcSampler(2, period_ns=ROW_NS)
    times_ns = np.array([0, 100, 200]) * MS
    positions, velocities = np.array([0.0, 0.1, 0.2]), np.array([0.5, 1.0, 0.0])
    both = np.array([[1.0, -1.0]])
    oracle.accept(
        Trajectory(stamp_ns, times_ns, positions[:, None] * both, velocities[:, None] * both),
        0,
        START,
    )
    for cycle in range(1, 400):
        expected = oracle.sample((cycle - 1) * ROW_NS)
        np.testing.assert_array_equal(follower.command(cycle * ROW_NS), expected)


@pytest.mark.parametrize(
    ("got", "reason"),
    [
        (message(point(10, positions=[1.0, 2.0]), names=()), "got 0, expected 2"),
        (message(point(10, positions=[1.0]), names=("first",)), "got 1, expected 2"),
        (message(point(10, positions=[1.0, 2.0]), names=("first", "third")), "'third'"),
        (message(point(10, positions=[1.0, 2.0]), names=("first", "first")), "2 times"),
        (message(), "no points"),
        (message(point(10, positions=[1.0])), "positions at point 0: got 1, expected 2"),
        (message(point(10, velocities=[0.0, 0.0])), "positions at point 0: got 0, expected 2"),
        (
            message(
                point(10, positions=[1.0, 2.0], velocities=[0.0, 0.0]),
                point(20, positions=[1.0, 2.0], velocities=[0.0]),
            ),
            "velocities at point 1: got 1, expected 2",
        ),
        (message(point(10, positions=[1.0, 2.0]), stamp_ns=-1), "negative time point"),
        (message(point(10, positions=[1.0, 2.0], effort=[1.0, 1.0])), "effort"),
        (message(point(10, positions=[1.0, 2.0]), point(10, positions=[1.0, 2.0])), "increasing"),
        (message(point(10, positions=[1.0, 2.0], velocities=[0.0, 0.1])), "final velocity"),
        (message(point(10, positions=[1.0, 2.0]), stamp_ns=1), "past"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rejected_trajectory_says_why_and_leaves_the_hold(
    got: SimpleNamespace, reason: str
) -> None:
    """The controller's rejections come with their reason, and nothing moves."""
    follower = Follower(NAMES, START)
    follower.command(100 * MS)
    rejection = accept(follower, got, now_ns=100 * MS)
    assert isinstance(rejection, str)
    assert reason in rejection
    assert follower.counts == (0, 1)
    np.testing.assert_array_equal(follower.command(101 * MS)[0], START)


def test_a_negative_stamp_ends_the_controller() -> None:
    """rclcpp::Time throws in the real one's callback, and nobody catches it."""
    follower = Follower(NAMES, START)
    assert accept(follower, message(point(10, positions=[1.0, 2.0]), stamp_ns=-1)) is not None
    assert not follower.active


def test_points_that_lack_a_field_are_joined_by_what_both_ends_have() -> None:
    """The real controller takes them, and decides the interpolation for each segment."""
    follower = Follower(NAMES, START)
    mixed = message(
        point(100, positions=[0.0, 0.0], velocities=[1.0, 1.0]),
        point(200, positions=[0.1, 0.1]),
        point(300, positions=[0.1, 0.1], velocities=[0.0, 0.0]),
    )
    assert accept(follower, mixed) is None
    moved = [follower.command(cycle * MS) for cycle in range(1, 302)]
    assert moved[150][1][0] == pytest.approx(1.0)  # linear, as the end has no velocity
    assert moved[151][0][0] - moved[150][0][0] == pytest.approx(1e-3)
    assert moved[250][1][0] == 0.0


def test_what_is_wrong_is_told_while_inactive_too() -> None:
    """The real controller validates before it looks whether it is active."""
    follower = Follower(NAMES, START)
    follower.set_active(False, START)
    moving = message(point(10, positions=[1.0, 2.0], velocities=[0.0, 0.1]))
    assert "final velocity" in str(accept(follower, moving))


def test_nan_is_commanded_as_the_real_controller_does() -> None:
    """Nothing behind the policy node stops a NaN: the guard before it must."""
    follower = Follower(NAMES, START)
    assert accept(follower, message(point(1, positions=[float("nan"), 0.0]))) is None
    follower.command(1 * MS)
    assert np.isnan(follower.command(3 * MS)[0][0])


def test_an_inactive_controller_drops_trajectories_in_silence() -> None:
    """Neither a rejection nor a motion, and the last command stays."""
    follower = Follower(NAMES, START)
    follower.command(1 * MS)
    follower.set_active(False, START)
    assert accept(follower, message(point(1, positions=[1.0, 1.0]))) is None
    assert follower.counts == (0, 0)
    np.testing.assert_array_equal(follower.command(10 * MS)[0], START)


def test_deactivation_in_motion_stops_the_command_where_it_is() -> None:
    """A controller that is gone commands no velocity any more."""
    follower = Follower(NAMES, START)
    accept(follower, message(point(100, positions=[1.0, 1.0])))
    for cycle in range(1, 50):
        moving = follower.command(cycle * MS)
    assert moving[1][0] > 0
    follower.set_active(False, START)
    stopped = follower.command(50 * MS)
    np.testing.assert_array_equal(stopped[0], moving[0])
    np.testing.assert_array_equal(stopped[1], np.zeros(2))


def test_activation_holds_the_measured_position() -> None:
    """After an interruption the hold is where the joints are, not where they should be."""
    follower = Follower(NAMES, START)
    follower.command(1 * MS)
    follower.set_active(False, START)
    sagged = START + 0.01
    follower.set_active(True, sagged)
    np.testing.assert_array_equal(follower.command(2 * MS)[0], sagged)


def test_activating_an_active_controller_changes_nothing() -> None:
    """Only a transition re-seeds the hold."""
    follower = Follower(NAMES, START)
    follower.set_active(True, START + 0.01)
    np.testing.assert_array_equal(follower.command(1 * MS)[0], START)


def test_a_stamp_of_zero_stays_zero_under_an_offset() -> None:
    """Zero means the next cycle, whatever the ROS clock shows."""
    trajectory = parse_trajectory(message(point(10, positions=[0.0, 0.0])), NAMES, 5)
    assert isinstance(trajectory, Trajectory)
    assert trajectory.stamp_ns == 0


def test_cycles_that_come_late_do_not_see_a_trajectory_before_it_arrived() -> None:
    """On a loaded machine a window would otherwise lie in the future, and be ramped to."""
    follower = Follower(NAMES, START)
    window = message(
        point(0, positions=[0.5, 0.5]), point(500, positions=[0.5, 0.5]), stamp_ns=150 * MS
    )
    assert accept(follower, window, now_ns=200 * MS) is None
    before = [follower.command(cycle * MS)[0] for cycle in range(100, 201)]
    np.testing.assert_array_equal(before, np.tile(START, (101, 1)))
    np.testing.assert_array_equal(follower.command(201 * MS)[0], [0.5, 0.5])


def test_two_trajectories_that_wait_come_in_their_order() -> None:
    """A rejected one in between takes nothing from either."""
    follower = Follower(NAMES, START)
    assert accept(follower, message(point(1, positions=[1.0, 1.0])), now_ns=10 * MS) is None
    assert accept(follower, message(point(1, positions=[2.0])), now_ns=15 * MS) is not None
    assert accept(follower, message(point(1, positions=[3.0, 3.0])), now_ns=20 * MS) is None
    moved = {cycle: follower.command(cycle * MS)[0][0] for cycle in range(1, 31)}
    assert (moved[10], moved[20], moved[30]) == (START[0], 1.0, 3.0)


def test_what_waits_when_the_controller_is_deactivated_is_lost() -> None:
    """Activation starts from the measured position and nothing older."""
    follower = Follower(NAMES, START)
    assert accept(follower, message(point(1, positions=[1.0, 1.0])), now_ns=10 * MS) is None
    follower.set_active(False, START)
    follower.set_active(True, START)
    np.testing.assert_array_equal(follower.command(30 * MS)[0], START)
