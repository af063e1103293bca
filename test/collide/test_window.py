"""A window that is called clear touches nothing on its whole way; what touches is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rod_arm import KNOT_S, LENGTHS, LIMITS, Balls, rods

from gr00t_ros.collide.window import LEAVING_M, SUBDIVISIONS, WindowCheck, path_of
from gr00t_ros.motion.shaper import Rows, State, integrate, stop

MARGIN = 0.002


def window(position, accelerations):
    """Rows from rest at `position` with accelerations at knots, and the exact stop at the end."""
    start = State(np.asarray(position, float), np.zeros(2), np.zeros(2))
    body = integrate(start, np.asarray(accelerations, float), KNOT_S)
    end = State(*(field[-1] for field in body))
    ramp = stop(end, LIMITS["acceleration"], LIMITS["jerk"], KNOT_S)
    return Rows(
        *(
            np.vstack([first, rows, last])
            for first, rows, last in zip(start, body, ramp, strict=True)
        )
    )


def moving(position, speed, knots=15):
    """Rows that move every joint with `speed` (2,) rad/s, reached within 5 knots."""
    push = np.asarray(speed) / (5 * KNOT_S)
    ramp = [push * part for part in (0.5, 1.0, 1.0, 1.0, 1.0, 0.5)]
    return window(position, [*ramp, *[np.zeros(2)] * knots])


def judged(rows, balls, position=None, **of_pairs):
    """What the check says of the rows, of an arm at their start."""
    check = WindowCheck(balls.pairs(**of_pairs), balls)
    check.begin(rows.position[0] if position is None else np.asarray(position, float))
    return check.look(rows, KNOT_S)


def exact(rows, per_knot=40):
    """Positions of the motion every half millisecond, from its jerks alone."""
    x, v, a = (field[:-1, None] for field in rows)
    jerk = np.diff(rows.acceleration, axis=0)[:, None] / KNOT_S
    t = np.arange(per_knot)[:, None] * (KNOT_S / per_knot)
    found = x + t * (v + t * (a / 2 + t * jerk / 6))
    return np.vstack([found.reshape(-1, 2), rows.position[-1:]])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_window_that_passes_comes_nearer_than_its_margin(seed):
    """Random windows among random balls from 2 mm; what is refused was near, or not proven."""
    random = np.random.default_rng(seed)
    balls = Balls(random.uniform(-0.9, 0.9, (8, 2)), random.uniform(0.002, 0.1, 8))
    position = random.uniform(-2.5, 2.5, 2)
    if balls(position).min() < MARGIN:
        return
    knots = random.integers(3, 20)
    accelerations = np.cumsum(random.uniform(-3, 3, (knots, 2)), axis=0).clip(-5, 5)
    rows = window(position, accelerations)
    ahead = judged(rows, balls)
    least = balls(exact(rows)).min()
    if ahead.clear:
        assert least >= MARGIN
    else:
        nearly = MARGIN + 0.9 * 2.0 * KNOT_S / SUBDIVISIONS  # what one interval cannot tell apart
        assert least < nearly or "no proof" in ahead.why


def test_a_thin_thing_between_two_knots_is_not_jumped_over():
    """A ball of 2 mm and a rod of 8 mm at 2 rad/s: no knot touches, the way between does."""
    position = np.array([0.0, 0.0])
    rows = moving(position, (2.0, 0.0))
    tip = np.array([rods(q)[2] for q in rows.position])
    between = 0.5 * (tip[9] + tip[10])
    balls = Balls([between], [0.001])
    assert min(balls(q).min() for q in rows.position) > MARGIN
    ahead = judged(rows, balls)
    assert not ahead.clear
    assert "rod 2 comes within" in ahead.why and "of ball 0" in ahead.why


def test_the_stop_ramp_belongs_to_the_window():
    """The body ends clear of the ball, its stop ramp does not."""
    rows = moving((0.0, 0.0), (1.0, 0.0))
    body = 6 + 15
    turned = rows.position[-1, 0]
    centre = sum(LENGTHS) * np.array([np.cos(turned), np.sin(turned)])
    balls = Balls([centre], [0.01])
    assert min(balls(q).min() for q in rows.position[: body + 1]) > MARGIN
    assert not judged(rows, balls).clear


def test_a_clear_way_costs_few_evaluations_and_says_what_is_nearest():
    """30 cm away two looks are enough; beyond 10 cm the distance is only said to be large."""
    far = judged(moving((0.0, 0.0), (1.0, 0.0)), Balls([[-0.4, 0.0]], [0.05]))
    assert far.clear and far.evaluations == 2 and 0.1 < far.distance_m < 0.35
    balls = Balls([[-0.11, 0.0]], [0.05])
    ahead = judged(moving((0.0, 0.0), (1.0, 0.0)), balls)
    assert ahead.clear and ahead.evaluations <= 20
    assert ahead.pair == ("rod 1", "ball 0")
    assert ahead.distance_m == pytest.approx(0.056, abs=1e-6)


def test_a_pair_inside_its_margin_may_leave_but_not_come_nearer():
    """The tip stands 1 mm from a ball; it leaves, and it is refused the other way."""
    angle = 0.01
    centre = sum(LENGTHS) * np.array([np.cos(angle), np.sin(angle)])
    balls = Balls([centre], [sum(LENGTHS) * 2 * np.sin(angle / 2) - 0.005])
    assert 0.0 < balls(np.zeros(2)).min() < MARGIN
    assert judged(moving((0.0, 0.0), (-0.5, 0.0)), balls).clear
    refused = judged(moving((0.0, 0.0), (0.5, 0.0)), balls)
    assert "rod 2 comes within" in refused.why


def test_what_is_left_cannot_be_come_near_in_small_steps():
    """However often the plan begins anew, the limit does not fall with the distance."""
    balls = Balls([[0.9, 0.0062]], [0.001])
    check = WindowCheck(balls.pairs(), balls)
    check.begin(np.zeros(2))
    start = float(balls(np.zeros(2)).min())
    assert 0.0 < start < MARGIN
    for angle in np.linspace(0.0, 4e-4, 9):
        check.begin(np.array([angle, 0.0]))
        assert check.limits.min() == pytest.approx(start - LEAVING_M)
    check.begin(np.array([-0.5, 0.0]))
    assert check.limits.min() == MARGIN


def test_a_pair_that_nearly_touches_may_not_come_to_touch():
    """The tolerance of 0.5 mm is larger than the 0.2 mm that are left."""
    balls = Balls([[0.9, 0.0052]], [0.001])
    check = WindowCheck(balls.pairs(), balls)
    check.begin(np.zeros(2))
    assert 0.0 < float(balls(np.zeros(2)).min()) < LEAVING_M
    assert check.limits.min() > 0.0


def test_after_a_stop_that_was_not_proven_the_arm_may_leave():
    """It has come nearer than any window said: from there a way out is no way nearer."""
    balls = Balls([[0.9, 0.0066]], [0.001])
    check = WindowCheck(balls.pairs(), balls)
    check.begin(np.zeros(2))
    stopped = np.array([0.001, 0.0])
    check.begin(stopped)
    left = float(balls(stopped).min())
    assert 0.0 < left < float(balls(np.zeros(2)).min()) - LEAVING_M < MARGIN
    assert check.limits.min() == pytest.approx(left - LEAVING_M)


@pytest.mark.parametrize(("speed", "clear"), [(0.05, True), (0.6, False)])
def test_wanted_contact_is_reached_slowly(speed, clear):
    """The second rod may touch the ball, with at most 0.1 m/s within 5 cm."""
    balls = Balls([[0.9, 0.06]], [0.02])
    rows = moving((0.0, 0.0), (speed, 0.0), knots=30)
    ahead = judged(rows, balls, wanted=(0,))
    assert ahead.clear is clear, ahead.why
    assert clear or "rod 2 approaches ball 0 with" in ahead.why
    far = Balls([[-0.9, 0.06]], [0.02])
    assert judged(rows, far, wanted=(0,)).clear


def test_leaving_wanted_contact_may_be_fast():
    """Only coming nearer is slow."""
    balls = Balls([[0.9, 0.02]], [0.02])
    assert judged(moving((0.0, 0.0), (-0.6, 0.0)), balls, wanted=(0,)).clear


def test_what_costs_more_than_the_budget_is_not_proven():
    """It is refused, and says so."""
    balls = Balls([[0.9, 0.0095]], [0.003])
    rows = moving((0.0, 0.0), (-1.0, 0.0))
    check = WindowCheck(balls.pairs(margin=0.002), balls, budget=3)
    check.begin(np.zeros(2))
    ahead = check.look(rows, KNOT_S)
    assert "no proof within the time of one tick" in ahead.why and ahead.over_budget
    assert judged(rows, balls).clear and not judged(rows, balls).over_budget
    assert balls.evaluations <= 3 + 200


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_travel_and_speed_bound_the_motion(seed):
    """Compared with the exact motion, sampled finely."""
    random = np.random.default_rng(seed)
    rows = window(random.uniform(-1, 1, 2), random.uniform(-5, 5, (8, 2)))
    path, fine = path_of(rows, KNOT_S), exact(rows)
    np.testing.assert_allclose(path.positions, fine[:: 40 // SUBDIVISIONS], atol=1e-12)
    steps = np.abs(np.diff(fine, axis=0))
    moved = np.vstack([np.zeros(2), np.cumsum(steps, axis=0)])[:: 40 // SUBDIVISIONS]
    assert np.all(path.travel >= moved - 1e-12)
    assert np.all(np.diff(path.travel, axis=0) >= np.diff(moved, axis=0) - 1e-12)
    fastest = steps.reshape(-1, 40 // SUBDIVISIONS, 2).max(axis=1) / (KNOT_S / 40)
    assert np.all(path.speed >= fastest - 1e-9)
