"""The reference keeps each row at its own time and fades what a new chunk changes."""

import numpy as np
import pytest

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.reference import MERGES, Merge, Reference

MS = 1_000_000
STEP_NS = 100 * MS
FADE_NS = 300 * MS


def ramp(stamp_ms: int, start: float, steps: int = 11) -> ActionChunk:
    """One joint that rises 0.1 rad a step."""
    joints = (start + 0.1 * np.arange(steps))[:, None]
    return ActionChunk(0, 1, stamp_ms * MS, STEP_NS, joints, {})


def following(merge: Merge, *chunks: tuple[ActionChunk, int]) -> Reference:
    """A reference after chunks, each merged at its splice (ms), from position 0."""
    reference = Reference(merge, FADE_NS)
    for chunk, splice_ms in chunks:
        reference.merge(chunk, chunk.joints, splice_ms * MS, np.zeros(1), 0)
    return reference


def at(reference: Reference, *times_ms: float) -> np.ndarray:
    """The reference of the joint at these times."""
    return reference.sample(np.array([round(t * MS) for t in times_ms]))[:, 0]


@pytest.mark.parametrize("merge", MERGES)
def test_a_row_is_for_its_own_time_however_late_it_comes(merge: Merge) -> None:
    """Stamp + k*step, linear between rows; the steps already due are gone."""
    reference = following(merge, (ramp(0, 0.4), 0), (ramp(0, 0.4), 400))
    np.testing.assert_allclose(at(reference, 800, 850, 1000), [1.2, 1.25, 1.4])


@pytest.mark.parametrize("merge", MERGES)
def test_the_last_row_is_held_after_the_end(merge: Merge) -> None:
    """A chunk that ends leaves a position, not a velocity."""
    reference = following(merge, (ramp(0, 0.0), 0))
    np.testing.assert_allclose(at(reference, 1000, 5000), 1.0)
    assert reference.end_ns == 1000 * MS


@pytest.mark.parametrize("merge", MERGES)
def test_the_first_chunk_starts_from_the_held_position(merge: Merge) -> None:
    """Its own rows take over while the jump fades."""
    reference = following(merge, (ramp(0, 0.5), 200))
    assert at(reference, 200)[0] == 0.0
    np.testing.assert_allclose(at(reference, 500, 700), [1.0, 1.2])


@pytest.mark.parametrize("merge", ["offset_decay", "crossfade"])
def test_a_new_chunk_takes_over_without_a_jump(merge: Merge) -> None:
    """At the splice the reference is the old one, after the fade the new one."""
    first, second = (ramp(0, 0.0), 0), (ramp(400, 0.9), 600)
    old, new = following(merge, first), following(merge, first, second)
    np.testing.assert_allclose(at(new, 600), at(old, 600))
    np.testing.assert_allclose(at(new, 900, 1100), [1.4, 1.6])
    between = at(new, 750)[0]
    assert at(old, 750)[0] < between < 1.25


def test_offset_decay_needs_no_overlap() -> None:
    """The old chunk ends before the new one is there; the offset to its last row fades."""
    reference = following("offset_decay", (ramp(0, 0.0, steps=3), 0), (ramp(300, 0.6), 500))
    assert at(reference, 500)[0] == pytest.approx(0.2)
    assert at(reference, 650)[0] == pytest.approx(0.95 - 0.6 / 2)


def test_newest_jumps_at_once() -> None:
    """The new chunk alone, as it is."""
    reference = following("newest", (ramp(0, 0.0), 0), (ramp(400, 0.9), 600))
    assert at(reference, 600)[0] == pytest.approx(1.1)


def test_the_ensemble_is_the_mean_of_the_chunks_that_reach_a_time() -> None:
    """Older chunks weigh a little more; beyond them the newest stands alone."""
    reference = following("ensemble", (ramp(0, 0.0), 0), (ramp(400, 0.5), 600))
    weight = np.exp(-0.1)
    np.testing.assert_allclose(at(reference, 800)[0], (0.8 + weight * 0.9) / (1 + weight))
    assert at(reference, 1200)[0] == pytest.approx(1.3)


def test_the_jump_of_a_start_still_fades_when_a_second_chunk_joins_the_ensemble() -> None:
    """A chunk that says the same changes nothing: the reference goes on fading from the arm."""
    alone = following("ensemble", (ramp(0, 0.5), 100))
    joined = following("ensemble", (ramp(0, 0.5), 100), (ramp(100, 0.6), 200))
    assert at(alone, 200)[0] < 0.65  # its own rows say 0.7
    weight = np.exp(-0.1)
    np.testing.assert_allclose(
        at(joined, 200, 300), (at(alone, 200, 300) + weight * np.array([0.7, 0.8])) / (1 + weight)
    )


@pytest.mark.parametrize("merge", MERGES)
def test_chunks_that_play_no_part_are_forgotten(merge: Merge) -> None:
    """A day of chunks does not grow."""
    reference = following(merge, *((ramp(400 * k, 0.0), 400 * k + 100) for k in range(50)))
    assert len(reference._chunks) <= 8


@pytest.mark.parametrize("merge", MERGES)
def test_merging_for_ever_does_not_drift(merge: Merge) -> None:
    """Merges of raw chunks that agree stay exactly on them."""
    agreeing = [(ramp(200 * k, 0.2 * k), 200 * k + 150) for k in range(1, 200)]
    reference = following(merge, (ramp(0, 0.0), 0), *agreeing)
    assert at(reference, 200 * 199 + 400)[0] == pytest.approx(0.001 * (200 * 199 + 400), abs=1e-9)


def test_a_restart_goes_on_from_another_position() -> None:
    """After a stall the arm is elsewhere: the newest chunk is reached from there."""
    reference = following("offset_decay", (ramp(0, 0.0), 0))
    reference.restart(500 * MS, np.array([0.3]))
    np.testing.assert_allclose(at(reference, 500, 800), [0.3, 0.8])


def test_a_lagging_reference_is_taken_over_where_it_is() -> None:
    """What the pace has lost fades out with the offset."""
    reference = following("offset_decay", (ramp(0, 0.0), 0))
    chunk = ramp(400, 0.3)
    reference.merge(chunk, chunk.joints, 600 * MS, np.zeros(1), 200 * MS)
    assert at(reference, 600)[0] == pytest.approx(0.4)


def test_an_empty_reference_says_so() -> None:
    """Before the first chunk and after a clear there is nothing to follow."""
    reference = following("offset_decay", (ramp(0, 0.0), 0))
    assert reference
    assert reference.settled_ns == 1000 * MS
    reference.clear()
    assert not reference
    assert reference.end_ns is None
    assert reference.settled_ns is None
