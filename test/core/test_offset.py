"""offset: drift is followed, steps are taken at once, noise and interrupted readings are not."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.core.offset import SHARE, STEP_NS, ClockOffset

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


@pytest.mark.parametrize(("width_ns", "moves"), [(STEP_NS - 2, True), (STEP_NS, False)])
def test_a_reading_is_smoothed_in_only_if_it_is_narrow(width_ns, moves) -> None:
    """Its middle is a quarter of the width off, as of an interrupt between two readings."""
    clock = ClockOffset(0)
    found_ns = clock.update(-(width_ns // 4), 0, width_ns - width_ns // 4)
    assert found_ns == (round(-SHARE * (width_ns // 2 - width_ns // 4)) if moves else 0)
    assert (found_ns != 0) is moves


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
    if before_ns + after_ns >= STEP_NS:
        assert found_ns == offset_ns


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


def test_the_noise_of_readings_becomes_far_smaller() -> None:
    """Jitter of up to 40 us between readings is smoothed to a few microseconds."""
    rng, clock = random.Random(1), ClockOffset()
    raw, smooth = [], []
    for n in range(2000):
        before_ns, after_ns = rng.randrange(40_000), rng.randrange(40_000)
        raw.append((before_ns - after_ns) / 2)
        smooth.append(clock.update(*reading(n * PERIOD_NS, 0, before_ns, after_ns)))
    steps = [abs(b - a) for a, b in zip(smooth[200:], smooth[201:], strict=False)]
    raw_steps = [abs(b - a) for a, b in zip(raw[200:], raw[201:], strict=False)]
    assert max(abs(s) for s in smooth[200:]) < max(map(abs, raw)) / 3
    assert sum(steps) < sum(raw_steps) / 20


def test_the_offset_of_a_real_ros_clock_stays_exact() -> None:
    """A float of that size would come in steps of 256 ns."""
    clock = ClockOffset()
    true_ns = FAR_NS + 123_456_789
    assert {clock.update(*reading(n * PERIOD_NS, true_ns, 300, 300)) for n in range(99)} == {
        true_ns
    }
    moved = [clock.update(*reading(n * PERIOD_NS, true_ns + 3200, 300, 300)) for n in range(2)]
    assert moved == [true_ns + 100, true_ns + 197]
