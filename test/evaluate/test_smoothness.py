"""Velocity, acceleration, jerk and turns of a motion."""

import numpy as np
import pytest

from gr00t_ros.evaluate.measures import smoothness, turn_deadband, turning_points

DEADBAND = np.array([1e-3])


def test_a_parabola_has_constant_acceleration_and_no_jerk():
    """Differences of rows 0.1 s apart; a gap of NaN is left out."""
    times = np.arange(20) * 0.1
    motion = (1.5 * times**2)[:, None]
    motion[10] = np.nan
    found = smoothness(motion, 0.1, DEADBAND)
    assert found.most[1, 0] == pytest.approx(3.0) and found.rms[1, 0] == pytest.approx(3.0)
    assert found.most[2, 0] == pytest.approx(0.0, abs=1e-9)
    assert found.turns_hz[0] == 0.0


def test_turns_are_changes_of_direction_beyond_the_deadband():
    """Three periods of a cosine turn five times; a ripple inside the deadband never."""
    times = np.linspace(0.0, 3.0, 300)
    assert turning_points(np.cos(2 * np.pi * times), 0.1) == 5
    assert turning_points(times + 0.04 * np.sin(90 * times), 0.1) == 0
    assert turning_points(np.cos(2 * np.pi * times), 3.0) == 0


def test_the_deadband_is_a_share_of_the_recorded_span():
    """At least 1e-3, and nothing recorded gives that."""
    motion = np.stack([np.linspace(0.0, 2.0, 9), np.full(9, 0.3), np.full(9, np.nan)], axis=1)
    assert turn_deadband(motion).tolist() == [0.04, 1e-3, 1e-3]
