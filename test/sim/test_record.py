"""The 1 kHz record keeps every command, and a file of it reads back the same."""

from pathlib import Path

import numpy as np

from gr00t_ros.sim.record import BLOCK_ROWS, ROW_NS, CommandRecorder, load_record, save_record


def filled(rows: int, span_s: float) -> CommandRecorder:
    """A recorder of two joints whose row k has the value k everywhere."""
    recorder = CommandRecorder(("a", "b"), span_s)
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
