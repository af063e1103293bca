"""Errors, baselines and seams, by numbers that can be checked by hand."""

import numpy as np
import pytest

from gr00t_ros.evaluate import accuracy

ROWS = np.array([0, 4, 8])
RAMP = np.arange(12.0)[:, None]
ALL = np.ones(12, bool)


def chunks_of(values, horizon=6):
    """Chunks (3, H, 1) that predict `values` exactly, and the last value beyond the end."""
    at = np.minimum(ROWS[:, None] + np.arange(horizon), len(values) - 1)
    return values[at]


def test_each_row_plays_the_newest_chunk_that_has_arrived():
    """With two steps of latency the first two rows have none, and each chunk begins two late."""
    assert accuracy.newest_chunk(ROWS, 6, 0, ALL).tolist() == [0] * 4 + [1] * 4 + [2] * 4
    late = accuracy.newest_chunk(ROWS, 6, 2, ALL)
    assert late.tolist() == [-1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    played = accuracy.executed(ROWS, chunks_of(RAMP), 2, ALL)
    assert np.isnan(played[:2]).all() and (played[2:] == RAMP[2:]).all()


def test_a_row_that_no_chunk_reaches_is_not_predicted():
    """A chunk of three steps leaves the fourth row open."""
    played = accuracy.executed(ROWS, chunks_of(RAMP, 3), 0, ALL)[:, 0]
    assert np.flatnonzero(np.isnan(played)).tolist() == [3, 7, 11]


def test_errors_leave_out_what_is_not_finite_or_does_not_count():
    """Mean over what is left, and how many that were."""
    predicted = np.array([[1.0], [3.0], [np.nan], [9.0]])
    counted = np.array([True, True, True, False])
    found = accuracy.errors(predicted, np.zeros((4, 1)), counted)
    assert (found.count[0], found.mse[0], found.mae[0]) == (2, 5.0, 2.0)
    nothing = accuracy.errors(predicted, np.zeros((4, 1)), np.zeros(4, bool))
    assert nothing.count[0] == 0 and np.isnan(nothing.mse[0])


def test_baselines_hold_repeat_and_shift():
    """The value at the query, the one before it, and the recording some rows later."""
    held = accuracy.held_since(ROWS, RAMP, 6, 0, back=0, counted=ALL)[:, 0]
    assert held.tolist() == [0.0] * 4 + [4.0] * 4 + [8.0] * 4
    repeated = accuracy.held_since(ROWS, RAMP, 6, 0, back=1, counted=ALL)[:, 0]
    assert np.isnan(repeated[:4]).all() and repeated[4:].tolist() == [3.0] * 4 + [7.0] * 4
    half = accuracy.shifted(RAMP, 1.5)[:, 0]
    assert np.isnan(half[:2]).all() and half[2:].tolist() == [i - 1.5 for i in range(2, 12)]


def test_errors_by_step_grow_with_a_held_prediction():
    """Step j of a chunk that holds is j away from a ramp of one a row."""
    held = np.repeat(RAMP[ROWS][:, None], 6, axis=1)
    found = accuracy.by_step(ROWS, held, RAMP, ALL)
    assert found.mae[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert found.count[:, 0].tolist() == [3, 3, 3, 3, 2, 2]  # the last chunk ends beyond the rows


def test_the_latency_of_a_recording_is_where_its_error_vanishes():
    """Chunks that differ from each other, played two rows late."""
    chunks = chunks_of(RAMP) + np.array([0.0, 5.0, -3.0])[:, None, None]
    recorded = accuracy.executed(ROWS, chunks, 2, ALL)
    found = accuracy.by_latency(ROWS, chunks, recorded, ALL, every=4)
    assert found[2, 0] == 0.0 and (found[:2, 0] > 0.0).all()


def test_seams_are_where_chunks_overlap():
    """Two rows of overlap; the offset is the later chunk less the earlier one."""
    chunks = chunks_of(RAMP) + np.array([0.0, 0.5, -0.5])[:, None, None]
    found = accuracy.seams(ROWS, chunks[:, :6], late=0, every=4, counted=ALL)
    assert found.rows.tolist() == [4, 8]
    assert found.apart[:, :, 0].tolist() == [[0.5, 0.5], [-1.0, -1.0]]
    assert found.offset[:, 0].tolist() == [0.5, -1.0]
    assert found.rms()[0] == pytest.approx(np.sqrt((0.25 + 1.0) / 2))
    assert len(accuracy.seams(ROWS, chunks[:, :4], late=0, every=4, counted=ALL).rows) == 0


def test_what_a_chunk_never_plays_is_no_disagreement():
    """Only the rows until the next chunk count for the offset; all are in the table by step."""
    chunks = np.zeros((3, 10, 1))
    chunks[1, 4:] = 7.0
    found = accuracy.seams(ROWS, chunks, late=0, every=4, counted=ALL)
    assert found.offset[0, 0] == 0.0 and found.apart[0, 5, 0] == 7.0
    assert found.rms()[0] == pytest.approx(np.sqrt(4 * 49.0 / 8))  # the seam after it


# Rows 0 to 4 and 7 to 11 count; the arm stood still in between.
BROKEN = np.array([*[True] * 5, False, False, *[True] * 5])
BROKEN_ROWS = np.array([0, 4, 7])


def test_a_chunk_is_not_played_after_the_break_that_ends_its_run():
    """With one row of latency, row 7 has no chunk: that of row 4 is of the run before."""
    newest = accuracy.newest_chunk(BROKEN_ROWS, 6, 1, BROKEN)
    assert newest.tolist() == [-1, 0, 0, 0, 0, -1, -1, -1, 2, 2, 2, 2]
    at_once = accuracy.newest_chunk(BROKEN_ROWS, 6, 0, BROKEN)
    assert at_once.tolist() == [0, 0, 0, 0, 1, -1, -1, 2, 2, 2, 2, 2]


def test_errors_by_step_end_with_the_run():
    """Steps 0 to 4, 0, and 0 to 4 reach; step 3 of row 4 is no prediction of row 7."""
    chunks = np.zeros((3, 6, 1))
    chunks[1, 3:] = 100.0
    found = accuracy.by_step(BROKEN_ROWS, chunks, np.zeros((12, 1)), BROKEN)
    assert found.count[:, 0].tolist() == [3, 2, 2, 2, 2, 0]
    assert np.nanmax(found.mae) == 0.0 and np.isnan(found.mae[5, 0])


def test_seams_are_inside_a_run():
    """Between rows 0 and 4, in row 4 alone; none between 4 and 7, however far they are apart."""
    chunks = np.array([1.0, 3.0, 50.0])[:, None, None] * np.ones((3, 6, 1))
    found = accuracy.seams(BROKEN_ROWS, chunks, late=0, every=4, counted=BROKEN)
    assert found.rows.tolist() == [4] and found.rms()[0] == 2.0
    assert found.apart[:, :, 0].tolist() == [[2.0, pytest.approx(np.nan, nan_ok=True)]]
    late = accuracy.seams(BROKEN_ROWS, chunks, late=1, every=4, counted=BROKEN)
    assert len(late.rows) == 0  # the chunk of row 4 arrives in row 5
