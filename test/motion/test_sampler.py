"""The controller's model has the semantics of ros2_control (control.md 1)."""

import numpy as np
import pytest

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.sampler import JtcSampler, Trajectory

MS = 1_000_000
AT_ZERO = np.zeros(1)


def line(stamp_ns: int, *points: tuple[int, float]) -> Trajectory:
    """One joint, positions only; each point is (milliseconds, position)."""
    times_ns = np.array([ms * MS for ms, _ in points], dtype=np.int64)
    return Trajectory(stamp_ns, times_ns, np.array([[position] for _, position in points]))


def curve(degree: int, velocity_only: bool = False) -> tuple[Trajectory, np.ndarray]:
    """A polynomial of `degree` sampled at irregular knots, ending wherever it ends."""
    c = np.array([0.3, -0.7, 2.0, -4.0, 9.0, 20.0])[: degree + 1]
    times_ns = np.array([0, 20, 50, 130], dtype=np.int64) * MS
    t = times_ns * 1e-9
    rows = [
        np.polynomial.polynomial.polyval(t, np.polynomial.polynomial.polyder(c, k))[:, None]
        for k in range(3)
    ]
    return Trajectory(1000 * MS, times_ns, rows[0], rows[1], None if velocity_only else rows[2]), c


def test_a_stamp_of_zero_starts_at_the_first_sample() -> None:
    """The time of arrival does not count, the next cycle does."""
    jtc = JtcSampler(1)
    assert jtc.accept(line(0, (100, 1.0)), 5 * MS, AT_ZERO) is None
    assert jtc.sample(50 * MS)[0][0] == 0.0
    assert jtc.sample(100 * MS)[0][0] == pytest.approx(0.5)
    assert jtc.sample(150 * MS)[0][0] == 1.0


def test_a_first_point_at_zero_is_a_step() -> None:
    """Nothing leads from the measured state to a first point that is due."""
    jtc = JtcSampler(1)
    jtc.accept(line(0, (0, 1.0), (100, 2.0)), 0, AT_ZERO)
    assert jtc.sample(10 * MS)[0][0] == 1.0


def test_a_future_stamp_ramps_from_the_start_state() -> None:
    """The old trajectory dies at once; the arm ramps to the new one's first point."""
    jtc = JtcSampler(1)
    jtc.accept(line(0, (0, 0.0), (1000, 1.0)), 0, AT_ZERO)
    jtc.sample(0)
    jtc.sample(500 * MS)
    jtc.accept(line(700 * MS, (0, 3.0)), 500 * MS, np.array([1.0]))
    assert jtc.sample(500 * MS)[0][0] == 1.0
    assert jtc.sample(600 * MS)[0][0] == pytest.approx(2.0)


def test_a_past_stamp_jumps_into_the_segment_that_contains_now() -> None:
    """The message's own time decides, whatever came before."""
    jtc = JtcSampler(1)
    jtc.accept(line(100 * MS, (0, 0.0), (100, 1.0), (200, 3.0)), 250 * MS, AT_ZERO)
    position, velocity, _ = jtc.sample(250 * MS)
    assert position[0] == pytest.approx(2.0)
    assert velocity[0] == pytest.approx(20.0)


def test_the_start_state_is_the_last_command_where_the_controller_says_so() -> None:
    """interpolate_from_desired_state: true ignores the measured state after the first."""
    for from_desired, expected in ((False, 5.0), (True, 1.0)):
        jtc = JtcSampler(1, interpolate_from_desired_state=from_desired)
        jtc.accept(line(0, (0, 1.0)), 0, AT_ZERO)
        jtc.sample(0)
        jtc.accept(line(0, (100, 9.0)), 0, np.array([5.0]))
        assert jtc.sample(0)[0][0] == expected


def test_the_desired_start_moves_twice_as_far_in_its_first_cycle() -> None:
    """The controller's known off-by-one: its last command is one period ahead of its stamp."""
    jtc = JtcSampler(1, interpolate_from_desired_state=True, period_ns=MS)
    jtc.accept(line(0, (0, 0.0), (1000, 1.0)), 0, AT_ZERO)
    before = [jtc.sample(k * MS)[0][0] for k in range(10)][-1]
    jtc.accept(line(0, (990, 1.0)), 10 * MS, AT_ZERO)
    assert jtc.sample(10 * MS)[0][0] - before == pytest.approx(0.002, rel=0.01)


@pytest.mark.parametrize(("degree", "velocity_only"), [(3, True), (3, False), (5, False)])
def test_the_fields_decide_the_degree(degree: int, velocity_only: bool) -> None:
    """Cubic with velocities and quintic with accelerations reproduce such a polynomial."""
    trajectory, c = curve(degree, velocity_only)
    jtc = JtcSampler(1, allow_nonzero_velocity_at_trajectory_end=True)
    assert jtc.accept(trajectory, 1000 * MS, AT_ZERO) is None
    poly = np.polynomial.polynomial
    for ms in range(1000, 1130, 7):
        t = (ms - 1000) * 1e-3
        got = jtc.sample(ms * MS)
        expected = [poly.polyval(t, poly.polyder(c, k)) for k in range(3)]
        np.testing.assert_allclose([field[0] for field in got], expected, rtol=1e-9, atol=1e-9)


def test_positions_alone_are_joined_linearly() -> None:
    """No acceleration is known, and the velocity steps at the knots."""
    jtc = JtcSampler(1)
    jtc.accept(line(1000 * MS, (0, 0.0), (100, 1.0), (200, 1.0)), 1000 * MS, AT_ZERO)
    position, velocity, acceleration = jtc.sample(1025 * MS)
    assert (position[0], velocity[0], acceleration[0]) == pytest.approx((0.25, 10.0, 0.0))


def test_the_last_point_is_held_after_the_end() -> None:
    """The message's own last row is reported, zeros where a field is empty."""
    jtc = JtcSampler(1)
    jtc.accept(line(0, (0, 0.0), (100, 1.0)), 0, AT_ZERO)
    jtc.sample(0)
    assert [float(field[0]) for field in jtc.sample(10_000 * MS)] == [1.0, 0.0, 0.0]


def test_time_that_runs_back_keeps_the_last_command() -> None:
    """Before the message's own start the controller has nothing new to command."""
    jtc = JtcSampler(1)
    jtc.accept(line(0, (0, 0.0), (100, 1.0)), 500 * MS, AT_ZERO)
    jtc.sample(500 * MS)
    moved = jtc.sample(550 * MS)
    assert jtc.sample(400 * MS) is moved


def test_a_hold_is_played_before_any_message() -> None:
    """Activation holds the measured position."""
    jtc = JtcSampler(2)
    jtc.hold(np.array([0.1, 0.2]))
    np.testing.assert_array_equal(jtc.sample(7)[0], [0.1, 0.2])


def test_nothing_to_play_is_an_error() -> None:
    """A sampler without trajectory has no position to make up."""
    with pytest.raises(PlanError, match="hold"):
        JtcSampler(1).sample(0)


def rows(*velocities: float) -> np.ndarray:
    """One joint's field as (N, 1)."""
    return np.array(velocities)[:, None]


@pytest.mark.parametrize(
    ("trajectory", "reason"),
    [
        (Trajectory(0, np.array([0, MS]), np.zeros((2, 3))), "joint count"),
        (Trajectory(0, np.zeros(0, np.int64), np.zeros((0, 1))), "points"),
        (Trajectory(0, np.array([0, MS]), rows(0, 0), rows(0, 1.3e-7)), "final velocity"),
        (line(10 * MS, (0, 0.0), (80, 1.0)), "end"),
        (line(0, (0, 0.0), (20, 0.0), (20, 0.0)), "times"),
        (line(0, (30, 0.0), (20, 0.0)), "times"),
        (Trajectory(0, np.array([0, MS]), np.zeros((3, 1))), "positions"),
        (Trajectory(0, np.array([0, MS]), rows(0, 0), rows(0)), "velocities"),
        (Trajectory(0, np.array([0, MS]), rows(0, 0), rows(0, 0), rows(0)), "accelerations"),
    ],
)
def test_the_controller_rejects_what_ros2_control_rejects(
    trajectory: Trajectory, reason: str
) -> None:
    """Each rejection names its reason, and the trajectory before it plays on."""
    jtc = JtcSampler(1)
    jtc.hold(np.array([0.4]))
    jtc.sample(99 * MS)
    answer = jtc.accept(trajectory, 100 * MS, AT_ZERO)
    assert answer is not None
    assert answer.startswith(reason)
    assert jtc.sample(100 * MS)[0][0] == 0.4


def test_a_final_velocity_below_the_controllers_bound_passes() -> None:
    """The bound is FLT_EPSILON, not zero; a parameter lifts it."""
    slow = Trajectory(0, np.array([0, MS]), rows(0, 0), rows(0, 1.1e-7))
    fast = Trajectory(0, np.array([0, MS]), rows(0, 0), rows(0, 1.0))
    assert JtcSampler(1).accept(slow, 0, AT_ZERO) is None
    lenient = JtcSampler(1, allow_nonzero_velocity_at_trajectory_end=True)
    assert lenient.accept(fast, 0, AT_ZERO) is None


def test_not_a_number_is_not_checked() -> None:
    """The controller plays NaN: the guard in front of it is what keeps it out."""
    jtc = JtcSampler(1)
    assert jtc.accept(line(0, (0, np.nan)), 0, AT_ZERO) is None
    assert np.isnan(jtc.sample(0)[0][0])
