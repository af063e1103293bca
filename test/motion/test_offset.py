"""The clock offset follows drift and steps, but not noise and interrupted readings."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.motion.clocks import SHARE, STEP_NS, ClockOffset
from gr00t_ros.motion.sampler import JtcSampler, Trajectory
from gr00t_ros.motion.shaper import State, stop

MS = 1_000_000
PERIOD_NS = 20 * MS
FAR_NS = 1_700_000_000_000_000_000  # ROS time beside a steady clock that began at boot


def reading(own_ns: int, offset_ns: int, before_ns: int = 0, after_ns: int = 0):
    """A reading made at own_ns exactly, between two of the own clock so far apart."""
    return own_ns - before_ns, own_ns + offset_ns, own_ns + after_ns


def test_the_first_reading_is_believed() -> None:
    """The middle of its interval."""
    assert ClockOffset().update(1_000, 51_010, 1_020) == 50_000


@pytest.mark.parametrize("ppm", [-500, -50, 50, 500])
def test_a_drift_is_followed_within_a_third_of_a_millisecond(ppm) -> None:
    """NTP slews by 500 ppm at most."""
    clock, lags = ClockOffset(), []
    for n in range(1000):
        true_ns = 5 * MS + n * PERIOD_NS * ppm // 1_000_000
        lags.append(abs(clock.update(*reading(n * PERIOD_NS, true_ns)) - true_ns))
    assert max(lags) < 320_000 * abs(ppm) // 500
    assert lags[-1] > 0


@given(st.integers(STEP_NS + 1, 10**12), st.booleans(), st.sampled_from([0, FAR_NS]))
def test_a_step_is_taken_at_once(step_ns, back, start_ns) -> None:
    """The reading after it already has the new offset."""
    clock = ClockOffset()
    for n in range(5):
        clock.update(*reading(n * PERIOD_NS, start_ns))
    after_ns = start_ns + (-step_ns if back else step_ns)
    assert clock.update(*reading(5 * PERIOD_NS, after_ns)) == after_ns


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_deviation_of_just_a_step_is_still_smoothed_and_one_more_is_taken(sign) -> None:
    """The threshold belongs to the smooth side."""
    for beyond, expected_ns in ((0, STEP_NS * SHARE), (1, STEP_NS + 1)):
        clock = ClockOffset(0)
        moved_ns = clock.update(*reading(0, sign * (STEP_NS + beyond)))
        assert moved_ns == round(sign * expected_ns)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1))
def test_a_reading_that_does_not_rule_the_estimate_out_moves_nothing(
    before_ns, after_ns, where
) -> None:
    """However far its middle is off, and however wide it is."""
    estimate_ns = round(where * (before_ns + after_ns)) - after_ns
    clock = ClockOffset(estimate_ns)
    assert clock.update(*reading(0, 0, before_ns, after_ns)) == estimate_ns


@pytest.mark.parametrize("away_ns", [-1000, -2, -1, 1, 7, 1000])
def test_what_an_earlier_reading_was_too_coarse_for_is_made_up_slowly(away_ns) -> None:
    """A nanosecond a reading: five between two windows are 13 rad/s^3 at 1.3 rad/s."""
    clock, found = ClockOffset(0), 0
    for _ in range(abs(away_ns)):
        before, found = found, clock.update(*reading(0, away_ns))
        assert abs(found - before) == 1
    assert found == away_ns


def test_the_beginning_of_a_stop_stays_inside_its_limits_under_the_noise_of_readings() -> None:
    """6.2 rad/s^2 and 420 rad/s^3, by differences of positions at 1 kHz, at 1.3 rad/s.

    Readings as recorded on a busy machine: most are 0.2 to 3 us wide, some are interrupted for up
    to 20 us, and the clock was read anywhere between. Five are made between two windows.
    """
    rng = random.Random(3)

    def noisy():
        wide = rng.randrange(3_000, 20_000) if rng.random() < 0.05 else rng.randrange(200, 3_000)
        before_ns = rng.randrange(wide + 1)
        return reading(0, FAR_NS, before_ns, wide - before_ns)

    cruise = np.arange(40)[:, None] * (1.3 * 0.02)
    state = State(cruise[-1], np.array([1.3]), np.zeros(1))
    end = stop(state, np.array([6.0]), np.array([400.0]), 0.02)
    ahead = np.zeros((40, 1))
    rows = [np.concatenate(pair) for pair in zip((cruise, ahead + 1.3, ahead), end, strict=True)]
    for _ in range(20):
        clock = ClockOffset()
        clock.update(*min((noisy() for _ in range(100)), key=lambda r: r[2] - r[0]))
        jtc, commanded, offsets = JtcSampler(1, period_ns=MS), [], []
        jtc.hold(np.zeros(1))
        for tick in range(3, len(rows[0]) - 1):
            offset_ns = [clock.update(*noisy()) for _ in range(5)][-1] - FAR_NS
            offsets.append(offset_ns)
            part = slice(tick - 3, None)
            times_ns = np.arange(len(rows[0]) - tick + 3) * PERIOD_NS
            window = Trajectory(
                (tick - 2) * PERIOD_NS + offset_ns, times_ns, *(r[part] for r in rows)
            )
            now_ns = (tick + 1) * PERIOD_NS
            assert jtc.accept(window, now_ns, np.zeros(1)) is None
            commanded += [jtc.sample(now_ns + k * MS)[0][0] for k in range(20)]
        assert np.abs(np.diff(commanded[20:], 2)).max() / 1e-6 < 6.2
        assert np.abs(np.diff(commanded[20:], 3)).max() / 1e-9 < 420
        assert np.abs(np.diff(offsets)).max() <= 5


@given(
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(-(10**7), 10**7),
)
def test_an_honest_reading_never_moves_the_truth_beyond_its_interval(
    before_ns, after_ns, offset_ns
) -> None:
    """However long it was interrupted: a right estimate stays within what the reading allows."""
    clock = ClockOffset(offset_ns)
    found_ns = clock.update(*reading(0, offset_ns, before_ns, after_ns))
    assert offset_ns - after_ns <= found_ns <= offset_ns + before_ns


@given(
    st.integers(-(10**9), 10**9),
    st.integers(0, 10**8),
    st.integers(-(10**9), 10**9),
    st.integers(0, 10**8),
)
def test_the_estimate_only_ever_moves_towards_the_reading(
    estimate_ns, before_ns, other_ns, width
) -> None:
    """And never past its middle."""
    clock = ClockOffset(estimate_ns)
    found_ns = clock.update(-before_ns, other_ns, width)
    middle_ns = other_ns + (before_ns - width) / 2
    low_ns, high_ns = sorted((estimate_ns, middle_ns))
    assert low_ns - 1 <= found_ns <= high_ns + 1


def test_the_offset_of_a_real_ros_clock_stays_exact() -> None:
    """A float of that size would come in steps of 256 ns."""
    clock = ClockOffset()
    true_ns = FAR_NS + 123_456_789
    assert {clock.update(*reading(n * PERIOD_NS, true_ns, 300, 300)) for n in range(99)} == {
        true_ns
    }
    moved = [clock.update(*reading(n * PERIOD_NS, true_ns + 3200, 300, 300)) for n in range(2)]
    assert moved == [true_ns + 91, true_ns + 179]
