"""A reference that is too fast is slowed down for all joints together, and catches up later."""

import numpy as np
from oracle import HOME, fr3_limits

from gr00t_ros.motion.reference import CATCH_UP, VELOCITY_SHARE, time_scaled
from gr00t_ros.motion.shaper import bounds

MS = 1_000_000
KNOT_NS = 20 * MS
TIMES_NS = 1000 * MS + KNOT_NS * np.arange(60)
WITHIN = bounds(fr3_limits(), 0.5)
ALL = np.ones(7, dtype=bool)
FASTEST = 1.31 * VELOCITY_SHARE


def ramp(speed: np.ndarray, until_ms: int = 9000):  # type: ignore[no-untyped-def]
    """A sampler of HOME + speed * t from 1 s until `until_ms`."""

    def sample(times_ns: np.ndarray) -> np.ndarray:
        t = np.minimum(times_ns, until_ms * MS)[:, None] * 1e-9 - 1.0
        return np.asarray(HOME + t * speed)

    return sample


def speeds(raw: np.ndarray) -> np.ndarray:
    """Velocity between the knots."""
    return np.diff(raw, axis=0) / 0.02


def test_a_reference_inside_the_limits_is_left_alone() -> None:
    """Same times, no lag."""
    sample = ramp(np.full(7, 0.5))
    raw, lags = time_scaled(sample, TIMES_NS, 0, WITHIN, ALL)
    np.testing.assert_array_equal(raw, sample(TIMES_NS))
    assert not lags.any()


def test_one_joint_that_is_too_fast_slows_all() -> None:
    """The joints keep their proportions: the path stays."""
    speed = np.array([2.0, 1.0, -0.5, 0, 0, 0, 0.1])
    raw, lags = time_scaled(ramp(speed), TIMES_NS, 0, WITHIN, ALL)
    np.testing.assert_allclose(speeds(raw), np.tile(speed * FASTEST / 2.0, (59, 1)), atol=1e-6)
    np.testing.assert_allclose(lags[-1], 59 * KNOT_NS * (1 - FASTEST / 2.0), rtol=1e-6)


def test_the_lag_is_caught_up_where_the_reference_is_slow() -> None:
    """At most a quarter faster than its own time, until it is on time."""
    raw, lags = time_scaled(ramp(np.full(7, 0.4)), TIMES_NS, 80 * MS, WITHIN, ALL)
    np.testing.assert_allclose(speeds(raw)[:15], 0.4 * CATCH_UP, rtol=1e-6)
    np.testing.assert_allclose(speeds(raw)[20:], 0.4, rtol=1e-6)
    assert lags[0] == 80 * MS
    assert lags[-1] == 0


def test_catching_up_does_not_pass_the_limit() -> None:
    """A reference at the limit is followed at the limit, lag or not."""
    raw, lags = time_scaled(ramp(np.full(7, FASTEST)), TIMES_NS, 80 * MS, WITHIN, ALL)
    assert np.abs(speeds(raw)).max() <= FASTEST * (1 + 1e-6)
    assert lags[-1] >= 79 * MS


def test_step_commands_do_not_slow_the_others() -> None:
    """A gripper's step is unchecked and the filter's to smooth."""
    speed = np.array([0.5, 0, 0, 0, 0, 0, 40.0])
    checked = ALL.copy()
    checked[6] = False
    _, lags = time_scaled(ramp(speed, until_ms=1020), TIMES_NS, 0, WITHIN, checked)
    assert not lags.any()


def test_a_lag_that_is_no_multiple_of_the_knot_is_kept_exactly() -> None:
    """The first row is the reference at its own, late time."""
    sample = ramp(np.full(7, 0.4))
    raw, lags = time_scaled(sample, TIMES_NS, 33 * MS, WITHIN, ALL)
    np.testing.assert_allclose(raw[:1], sample(TIMES_NS[:1] - 33 * MS))
    assert lags[0] == 33 * MS
