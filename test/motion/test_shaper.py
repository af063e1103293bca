"""The shaper keeps velocity, acceleration and jerk limits, brakes in time and lags little."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from oracle import HOME, LOWER, UPPER, fr3_limits

from gr00t_ros.motion.shaper import Rows, Shaper, State, bounds

KNOT_S = 0.02
WITHIN = bounds(fr3_limits(), 0.5)
AT_HOME = State(HOME, np.zeros(7), np.zeros(7))


def shape(reference: np.ndarray, state: State = AT_HOME, knot_s: float = KNOT_S) -> Rows:
    """Follow (N, 7) positions from the state, whose knot is row 0."""
    shaper = Shaper(WITHIN, knot_s)
    held = np.repeat(reference[-1:], shaper.preview_knots, axis=0)
    return shaper.follow(state, np.vstack([reference, held]))


def assert_inside(rows: Rows, knot_s: float = KNOT_S) -> None:
    """Every knot is inside every limit."""
    assert np.abs(rows.acceleration).max() <= 6.0 * (1 + 1e-12)
    jerk = np.diff(rows.acceleration, axis=0) / knot_s
    assert np.abs(jerk).max() <= 400.0 * (1 + 1e-9)
    assert (np.abs(rows.velocity) <= WITHIN.velocity * (1 + 1e-12)).all()
    sides = np.stack([rows.position, -rows.position], axis=1)
    speeds = np.stack([rows.velocity, -rows.velocity], axis=1)
    assert (speeds <= WITHIN.speed(sides) + 1e-9).all()


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.02]), st.floats(0.001, 1.0))
def test_no_reference_breaks_velocity_acceleration_or_jerk(
    seed: int, knot_s: float, roughness: float
) -> None:
    """Noise, steps and jumps from one end of the range to the other."""
    rng = np.random.default_rng(seed)
    levels = rng.uniform(LOWER + 0.05, UPPER - 0.05, (6, 7))
    reference = HOME + roughness * (np.repeat(levels, 20, axis=0) - HOME)
    reference = np.vstack([reference, rng.uniform(LOWER + 0.05, UPPER - 0.05, (40, 7))])
    assert_inside(shape(reference, knot_s=knot_s), knot_s)


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 10_000))
def test_a_reference_at_a_position_limit_is_approached_without_passing_it(seed: int) -> None:
    """Braking distance, not clipping: acceleration and jerk hold on the way too."""
    rng = np.random.default_rng(seed)
    ends = np.where(rng.random((8, 7)) < 0.5, LOWER + 0.05, UPPER - 0.05)
    reference = np.repeat(ends, rng.integers(20, 150, 8), axis=0)
    rows = shape(np.vstack([HOME[None], reference]))
    assert_inside(rows)
    assert (rows.position <= UPPER - 0.05 + 1e-4).all()
    assert (rows.position >= LOWER + 0.05 - 1e-4).all()


def test_both_limits_are_reached_in_the_end() -> None:
    """Slowing down near a limit does not keep the arm away from it."""
    for end in (LOWER + 0.05, UPPER - 0.05):
        rows = shape(np.vstack([HOME[None], np.tile(end, (600, 1))]))
        np.testing.assert_allclose(rows.position[-1], end, atol=1e-3)


def test_a_known_future_is_followed_without_lag() -> None:
    """A sine of 0.3 Hz and 0.75 rad/s: 2 mrad rms, where a causal filter of 12 rad/s has 88."""
    t = np.arange(400) * KNOT_S
    ease = np.minimum(t, 1.0)[:, None] ** 2
    reference = HOME + ease * 0.4 * np.sin(2 * np.pi * 0.3 * t)[:, None]
    error = shape(reference).position - reference[1:]
    assert np.sqrt((error[60:] ** 2).mean()) < 0.002


def test_a_small_step_is_reached_with_little_overshoot() -> None:
    """Less than 10 % beyond the goal (Butterworth's 8), within 0.1 mrad of it after 1.2 s."""
    goal = HOME + 0.1
    rows = shape(np.vstack([HOME[None], np.tile(goal, (100, 1))]))
    assert (rows.position - goal).max() < 0.01
    np.testing.assert_allclose(rows.position[60:], np.tile(goal, (40, 1)), atol=1e-4)


def test_a_far_goal_is_approached_at_half_a_radian_a_second() -> None:
    """The pull is capped: a goal that is far away does not mean full speed."""
    rows = shape(np.vstack([HOME[None], np.tile(HOME + 1.0, (150, 1))]))
    cruising = rows.velocity[30:60]
    np.testing.assert_allclose(cruising, 0.5, atol=0.02)


def test_a_velocity_above_a_lowered_limit_is_brought_back() -> None:
    """Limits may be tightened in motion."""
    slow = bounds(fr3_limits(), 0.2)
    shaper = Shaper(slow, KNOT_S)
    ahead = HOME + np.arange(60 + shaper.preview_knots)[:, None] * KNOT_S * 1.0
    rows = shaper.follow(State(HOME, np.full(7, 1.0), np.zeros(7)), ahead)
    assert (np.abs(rows.velocity[20:]) <= slow.velocity * (1 + 1e-6)).all()


def test_the_velocity_envelope_is_libfrankas_formula() -> None:
    """Joint 1 near its upper end: -0.3 + sqrt(12 (2.7501 - q)), and never below zero."""
    q = np.tile(HOME, (2, 1))
    q[1] *= -1
    for position, expected in ((2.70, -0.3 + np.sqrt(12 * 0.0501)), (2.7501, 0.0), (0.0, 1.31)):
        q[0, 0] = position
        assert WITHIN.speed(q)[0, 0] == pytest.approx(expected)
