"""The plan never changes what was sent, and a joint that would break a limit keeps its course."""

import numpy as np
import pytest
from oracle import HOME, LOWER, UPPER, fr3_limits

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.plan import Course, breaks, extend, keep_within_limits, rest
from gr00t_ros.motion.sampler import JtcSampler
from gr00t_ros.motion.shaper import Rows, State, bounds, integrate, stop

MS = 1_000_000
KNOT_NS = 20 * MS
WITHIN = bounds(fr3_limits(), 0.5)
NO_LAG = np.zeros(0, dtype=np.int64)


def pushed(course: Course, branch: int, accelerations: list[float]) -> Rows:
    """All joints accelerate alike, knot by knot, then stop."""
    state = course.state(branch)
    rows = integrate(state, np.repeat(np.array(accelerations)[:, None], 7, axis=1), 0.02)
    end = State(*(field[-1] for field in rows))
    tail = stop(end, WITHIN.acceleration, WITHIN.jerk, 0.02)
    return Rows(*(np.concatenate(pair) for pair in zip(rows, tail, strict=True)))


def moving() -> Course:
    """From rest at knot 100, a push from knot 105 on."""
    course = rest(HOME, 100, KNOT_NS)
    new = pushed(course, 105, [3.0] * 8)
    return extend(course, 98, 105, new, np.zeros(8, dtype=np.int64))


def test_a_course_at_rest_holds_for_ever() -> None:
    """Before and after its one knot."""
    course = rest(HOME, 100, KNOT_NS)
    for knot in (0, 100, 10_000):
        np.testing.assert_array_equal(course.state(knot).position, HOME)
    assert course.end_ns == 100 * KNOT_NS


def test_a_start_that_is_not_finite_is_refused() -> None:
    """The plan would be NaN for ever after."""
    with pytest.raises(PlanError, match="start position"):
        rest(np.array([0.0, np.nan]), 0, KNOT_NS)


def test_a_course_between_knots_is_what_the_controller_makes_of_its_window() -> None:
    """Constant jerk is a cubic, which the controller's quintic reproduces."""
    course = moving()
    jtc = JtcSampler(7)
    jtc.accept(course.window(), 100 * KNOT_NS, HOME)
    for now_ns in range(100 * KNOT_NS, course.end_ns + 100 * MS, 7 * MS):
        for ours, theirs in zip(course.at(now_ns), jtc.sample(now_ns), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def test_a_window_ends_at_rest_and_names_its_horizon() -> None:
    """Stamp on the grid, times from 0, last velocity and acceleration exactly 0."""
    window = moving().window()
    assert window.stamp_ns == 98 * KNOT_NS
    assert window.times_ns[0] == 0
    assert set(np.diff(window.times_ns)) == {KNOT_NS}
    assert window.velocities is not None
    assert window.accelerations is not None
    assert not window.velocities[-1].any()
    assert not window.accelerations[-1].any()
    assert window.horizon_ns == 113 * KNOT_NS


def test_an_extension_keeps_the_old_rows_to_the_last_bit() -> None:
    """Up to and with the branch knot, in the middle of the old tail too."""
    course = moving()
    for branch in (108, 113, course.last_knot - 2, course.last_knot + 9):
        longer = extend(course, 101, branch, pushed(course, branch, [-2.0] * 4), NO_LAG)
        for old, new in zip(
            course.rows_between(101, branch), longer.rows_between(101, branch), strict=True
        ):
            np.testing.assert_array_equal(old, new)


def test_trimming_the_past_changes_nothing_else() -> None:
    """A stop that is sent again and again does not carry its whole history."""
    course = moving()
    shorter = course.since(107)
    assert shorter.first_knot == 107
    assert shorter.last_knot == course.last_knot
    np.testing.assert_array_equal(shorter.at(2_211 * MS).position, course.at(2_211 * MS).position)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("acceleration", 6.1),
        ("acceleration", np.nan),
        ("velocity", 2.7),
        ("velocity", -2.7),
        ("position", 9.0),
        ("position", -9.0),
        ("position", np.inf),
    ],
)
def test_a_joint_that_breaks_a_limit_keeps_its_course_and_the_others_go_on(
    field: str, value: float
) -> None:
    """Whatever the cause, a bug included: its old course was checked and ends at rest."""
    course = moving()
    good = pushed(course, 108, [1.0] * 4)
    bad = Rows(*(rows.copy() for rows in good))
    getattr(bad, field)[3, 5] = value
    assert breaks(course, 108, bad, WITHIN).tolist() == [False] * 5 + [True, False]
    rows, held = keep_within_limits(course, 108, bad, WITHIN)
    assert held == 1
    result = extend(course, 101, 108, rows, NO_LAG)
    old = course.rows_between(101, result.last_knot)
    np.testing.assert_array_equal(result.rows.position[:, 5], old.position[:, 5])
    np.testing.assert_array_equal(
        result.rows.velocity[8 : 8 + len(good.velocity), :5], good.velocity[:, :5]
    )
    assert not result.rows.velocity[-1].any()


def test_a_jerk_above_the_limit_is_seen_at_the_branch_knot_too() -> None:
    """The first new knot follows the last committed one."""
    course = rest(HOME, 100, KNOT_NS)
    assert not breaks(course, 105, pushed(course, 105, [6.0]), WITHIN).any()
    tight = bounds(fr3_limits(), 0.5)
    gentle = type(tight)(
        tight.sides, tight.velocity, tight.acceleration, tight.jerk / 2, tight.envelope
    )
    assert breaks(course, 105, pushed(course, 105, [6.0]), gentle).all()


def test_a_motion_that_does_not_end_at_rest_is_held_back() -> None:
    """A window without its tail must never leave."""
    course = moving()
    rows = integrate(course.state(108), np.full((5, 7), 1.0), 0.02)
    assert breaks(course, 108, rows, WITHIN).all()


def test_a_joint_outside_its_limits_may_only_come_back() -> None:
    """An arm that starts beyond the margin moves inward, not outward, nor is it stuck."""
    start = HOME.copy()
    start[0], start[1] = UPPER[0] - 0.02, LOWER[1] + 0.02
    course = rest(start, 100, KNOT_NS)
    assert breaks(course, 105, pushed(course, 105, [0.5] * 5), WITHIN)[0]
    assert breaks(course, 105, pushed(course, 105, [-0.5] * 5), WITHIN)[1]
    assert not breaks(course, 105, pushed(course, 105, [-0.5] * 5), WITHIN)[0]
    assert not breaks(course, 105, pushed(course, 105, [0.5] * 5), WITHIN)[1]
