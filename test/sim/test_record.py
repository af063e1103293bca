"""The 1 kHz record keeps what was commanded, and its extremes tell a step from a motion."""

from pathlib import Path

import numpy as np
import pytest

from gr00t_ros.sim.record import (
    BLOCK_ROWS,
    ROW_NS,
    Record,
    Recorder,
    load_record,
    motion_extremes,
    save_record,
)


def record_of(position: np.ndarray, velocity: np.ndarray, acceleration: np.ndarray) -> Record:
    """A one-joint record of N consecutive rows, each argument (N,)."""
    rows = [values[:, None] for values in (position, velocity, acceleration, position)]
    return Record(("joint",), 0, np.arange(len(position)) * ROW_NS, *rows)


def filled(rows: int, span_s: float) -> Recorder:
    """A recorder of two joints whose row k has the value k everywhere."""
    recorder = Recorder(("a", "b"), span_s)
    for row in range(rows):
        value = np.full(2, float(row))
        recorder.append(row * ROW_NS, value, value, value, value)
    return recorder


def test_a_saved_record_loads_with_the_same_content(tmp_path: Path) -> None:
    """Names, times, offset and all four fields survive the file."""
    record = filled(7, 1.0).snapshot(ros_offset_ns=-5)
    save_record(tmp_path / "run.npz", record)
    loaded = load_record(tmp_path / "run.npz")
    assert (loaded.joint_names, loaded.ros_offset_ns) == (("a", "b"), -5)
    np.testing.assert_array_equal(loaded.time_ns, np.arange(7) * ROW_NS)
    for field in ("position", "velocity", "acceleration", "measured"):
        np.testing.assert_array_equal(getattr(loaded, field), np.arange(7.0)[:, None] * [1, 1])


def test_a_long_run_keeps_its_newest_rows() -> None:
    """The oldest block goes, the span that was asked for stays without a gap."""
    record = filled(3 * BLOCK_ROWS + 1, span_s=10.0).snapshot(0)
    assert record.time_ns[-1] == 3 * BLOCK_ROWS * ROW_NS
    assert len(record.time_ns) >= 10_000
    assert set(np.diff(record.time_ns)) == {ROW_NS}


def test_an_empty_record_has_no_motion() -> None:
    """Before the first row there is nothing to difference."""
    extremes = motion_extremes(filled(0, 1.0).snapshot(0))
    np.testing.assert_array_equal(extremes.jerk, np.zeros(2))


def test_extremes_of_a_smooth_motion_are_its_derivatives_maxima() -> None:
    """A sine of 1 rad at 2 rad/s: 2 rad/s, 4 rad/s^2, 8 rad/s^3."""
    t = np.arange(4000) * 1e-3
    record = record_of(np.sin(2 * t), 2 * np.cos(2 * t), -4 * np.sin(2 * t))
    extremes = motion_extremes(record)
    assert extremes.velocity[0] == pytest.approx(2.0, rel=1e-3)
    assert extremes.acceleration[0] == pytest.approx(4.0, rel=1e-3)
    assert extremes.jerk[0] == pytest.approx(8.0, rel=1e-2)


def test_a_position_step_that_hides_behind_zero_velocities_shows_in_all_extremes() -> None:
    """1 mrad in one cycle is 1 rad/s, 1000 rad/s^2 and at least 1e6 rad/s^3."""
    position = np.zeros(10)
    position[5:] = 1e-3
    extremes = motion_extremes(record_of(position, np.zeros(10), np.zeros(10)))
    assert extremes.velocity[0] == pytest.approx(1.0)
    assert extremes.acceleration[0] == pytest.approx(1000.0)
    assert extremes.jerk[0] >= 1e6


def test_a_velocity_step_shows_although_the_position_is_continuous() -> None:
    """Linear waypoints: the corner is an acceleration that no field of theirs states."""
    t = np.arange(20) * 1e-3
    position = np.where(t < 0.01, 0.0, 0.1 * (t - 0.01))
    velocity = np.where(t < 0.01, 0.0, 0.1)
    extremes = motion_extremes(record_of(position, velocity, np.zeros(20)))
    assert extremes.acceleration[0] == pytest.approx(100.0)
