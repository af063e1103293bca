"""The controlled stop is exact, inside its limits and as short as the grid allows."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.motion.shaper import Rows, State, integrate, stop

# acceleration rad/s^2, jerk rad/s^3, knot s: FR3 on both grids, a G1 arm, a stiff gripper
LIMITS = [(6.0, 400.0, 0.02), (6.0, 400.0, 0.01), (6.0, 100.0, 0.02), (20.0, 5000.0, 0.02)]


def run(v0: float, a0: float, a: float, j: float, knot_s: float) -> Rows:
    """One joint's stop from position 1."""
    state = State(np.ones(1), np.array([v0]), np.array([a0]))
    return stop(state, np.array([a]), np.array([j]), knot_s)


@settings(max_examples=examples(200), deadline=None)
@given(st.sampled_from(LIMITS), st.floats(-3, 3), st.floats(-1, 1))
def test_every_stop_ends_exactly_at_rest_inside_its_limits(
    limits: tuple[float, float, float], v0: float, fraction: float
) -> None:
    """Velocity and acceleration end at 0.0, not near it, and no knot breaks a limit."""
    a, j, knot_s = limits
    rows = run(v0, fraction * a, *limits)
    assert rows.velocity[-1, 0] == 0.0
    assert rows.acceleration[-1, 0] == 0.0
    assert np.abs(rows.acceleration).max() <= a * (1 + 1e-8)
    jerk = np.diff(rows.acceleration[:, 0], prepend=fraction * a) / knot_s
    assert np.abs(jerk).max() <= j * (1 + 1e-8)


@settings(max_examples=examples(100), deadline=None)
@given(st.sampled_from(LIMITS), st.floats(-3, 3), st.floats(-1, 1))
def test_the_rows_are_the_integral_of_constant_jerk(
    limits: tuple[float, float, float], v0: float, fraction: float
) -> None:
    """Position and velocity of each row follow from the row before by its constant jerk."""
    a, _, knot_s = limits
    rows = run(v0, fraction * a, *limits)
    x, v, acc = 1.0, v0, fraction * a
    for row in zip(*(field[:, 0] for field in rows), strict=True):
        jerk = (row[2] - acc) / knot_s
        x += v * knot_s + acc * knot_s**2 / 2 + jerk * knot_s**3 / 6
        v += acc * knot_s + jerk * knot_s**2 / 2
        acc = row[2]
        np.testing.assert_allclose(row[:2], (x, v), rtol=0, atol=1e-12)


@settings(max_examples=examples(60), deadline=None)
@given(st.sampled_from(LIMITS[:2]), st.floats(-1.5, 1.5), st.floats(-1, 1))
def test_no_shorter_stop_of_three_phases_exists(
    limits: tuple[float, float, float], v0: float, fraction: float
) -> None:
    """Every (n1, n2, n3) with fewer knots breaks the acceleration or the jerk limit."""
    a, j, knot_s = limits
    a0 = fraction * a
    count = len(run(v0, a0, *limits).position)
    shortest = min(
        n1 + n2 + n3
        for n1, n2, n3 in itertools.product(range(1, 8), range(0, count), range(1, 5))
        if _admissible(v0, a0, a, j, (n1 * knot_s, n2 * knot_s, n3 * knot_s))
    )
    assert count <= shortest + 1  # a longer hold at a1 may ease the first jerk by one knot


def _admissible(
    v0: float, a0: float, a: float, j: float, times: tuple[float, float, float]
) -> bool:
    t1, t2, t3 = times
    a1 = -(v0 + a0 * t1 / 2) / (t1 / 2 + t2 + t3 / 2)
    return abs(a1) <= a and abs(a1 - a0) <= j * t1 and abs(a1) <= j * t3


def test_joints_stop_each_in_its_own_time_and_wait_at_rest() -> None:
    """The slow joint's rows are followed by rest until the fast one has stopped."""
    state = State(np.zeros(2), np.array([0.05, 2.0]), np.zeros(2))
    rows = stop(state, np.full(2, 6.0), np.full(2, 400.0), 0.02)
    resting = np.flatnonzero(rows.velocity[:, 0] == 0.0)
    assert len(resting) > 5
    np.testing.assert_array_equal(rows.acceleration[resting, 0], 0.0)
    assert np.ptp(rows.position[resting, 0]) < 1e-15


def test_an_acceleration_above_a_tightened_limit_is_brought_back() -> None:
    """A limit lowered in motion still ends in an exact stop inside the jerk limit."""
    rows = run(1.0, 6.0, 2.0, 100.0, 0.02)
    assert rows.velocity[-1, 0] == 0.0
    jerk = np.diff(rows.acceleration[:, 0], prepend=6.0) / 0.02
    assert np.abs(jerk).max() <= 100.0 * (1 + 1e-8)


def test_a_stop_at_rest_stays_where_it_is() -> None:
    """Nothing moves that did not move."""
    np.testing.assert_array_equal(run(0.0, 0.0, *LIMITS[0]).position, 1.0)


def test_integration_matches_a_known_ramp() -> None:
    """From rest, jerk 100 for two knots of 10 ms: v = j t^2/2, x = j t^3/6."""
    rows = integrate(State(*np.zeros((3, 1))), np.array([[1.0], [2.0]]), 0.01)
    assert rows.velocity[-1, 0] == pytest.approx(100 * 0.02**2 / 2)
    assert rows.position[-1, 0] == pytest.approx(100 * 0.02**3 / 6)


@settings(max_examples=examples(200), deadline=None)
@given(
    st.sampled_from([0.01, 0.02]),
    st.floats(0.3, 30),
    st.floats(0.9, 300),
    st.floats(-3, 3),
    st.floats(-1, 1),
)
def test_no_lawful_limits_make_a_longer_stop_than_trying_every_phase(
    knot_s: float, a: float, ratio: float, v0: float, fraction: float
) -> None:
    """Trying a few last phases finds what trying all of them finds, however small the jerk."""
    a0, j = fraction * a, a / (ratio * 0.01)
    rows = run(v0, a0, a, j, knot_s)
    assert (rows.velocity[-1, 0], rows.acceleration[-1, 0]) == (0.0, 0.0)
    jerk = np.diff(rows.acceleration[:, 0], prepend=a0) / knot_s
    assert np.abs(jerk).max() <= j * (1 + 1e-8)
    n1, n3 = (np.arange(1, np.ceil(k * a / (j * knot_s)) + 1) for k in (2, 1))
    n1, n3 = n1[:, None], n3[None]
    gained, ramps = v0 + a0 * n1 * knot_s / 2, (n1 + n3) / 2
    n2 = np.maximum(np.ceil(np.abs(gained) / (a * knot_s) - ramps - 1e-9), 0.0)
    a1 = -gained / ((ramps + n2) * knot_s)
    bound = j * knot_s * (1 + 1e-9)
    fits = (np.abs(a1 - a0) <= bound * n1) & (np.abs(a1) <= bound * n3)
    assert len(rows.position) == (n1 + n2 + n3)[fits].min()


def test_the_work_of_a_stop_grows_with_its_length_and_not_its_square() -> None:
    """A jerk of 0.3 rad/s^3 beside 6 rad/s^2 took 1.7 GB; now less than 100 MB are touched."""
    state = State(np.zeros(7), np.linspace(-2, 2, 7), np.ones(7))
    tracemalloc.start()
    try:
        rows = stop(state, np.full(7, 6.0), np.full(7, 0.3), 0.01)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not rows.velocity[-1].any()
    assert peak < 100e6
