"""Chunks of commands merge as their method says; a delta is executed once, and stops are zero."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.commands import CommandReference, Commands
from gr00t_ros.motion.reference import ENSEMBLE_RATE, MERGES
from gr00t_ros.robot.limits import CommandLimits

MS = 1_000_000
STEP_NS, FADE_NS = 50 * MS, 300 * MS
VELOCITY = np.array([True, False])


def chunk(rows, stamp_ns=0):
    """A chunk of a velocity and a level."""
    return ActionChunk(0, 0, stamp_ns, STEP_NS, np.zeros((len(rows), 0)), {}, np.array(rows))


def followed(merge, *stamped, splices=None):
    """A reference after chunks of (stamp, rows), each spliced at its stamp or where it is said."""
    reference = CommandReference(VELOCITY, merge, FADE_NS)
    splices = splices or [stamp_ns for stamp_ns, _ in stamped]
    for (stamp_ns, rows), splice_ns in zip(stamped, splices, strict=True):
        one = chunk(rows, stamp_ns)
        reference.follow(one, one.commands, splice_ns)
    return reference


def at(reference, *times_ms):
    """The targets at these times."""
    return reference.sample(np.array(times_ms) * MS)


FIRST, SECOND = [[0.1, 0.5]] * 16, [[0.3, 0.7]] * 16


@pytest.mark.parametrize("merge", MERGES)
def test_one_chunk_is_followed_as_it_is_and_ends_at_zero(merge):
    """Whatever the method; the level stays."""
    found = at(followed(merge, (0, FIRST)), 0, 400, 799, 800, 5000)
    np.testing.assert_allclose(found, [[0.1, 0.5]] * 3 + [[0.0, 0.5]] * 2)


def test_newest_takes_over_at_once():
    """Each step is executed as it was predicted last."""
    reference = followed("newest", (0, FIRST), (200 * MS, SECOND))
    np.testing.assert_allclose(at(reference, 200, 210, 900), [[0.3, 0.7]] * 3)


@pytest.mark.parametrize("merge", ["offset_decay", "crossfade"])
def test_the_difference_fades_out(merge):
    """From the old value at the splice, half at half of the fade, to the new one after it."""
    reference = followed(merge, (0, FIRST), (200 * MS, SECOND))
    found = at(reference, 200, 350, 500, 900)
    np.testing.assert_allclose(found, [[0.1, 0.5], [0.2, 0.6], [0.3, 0.7], [0.3, 0.7]])


def test_the_ensemble_is_act_s_weighted_mean_of_the_chunks_that_have_a_step():
    """Older chunks count more, and none after its last step."""
    reference = followed("ensemble", (0, FIRST), (200 * MS, SECOND))
    older, newer = 1.0, np.exp(-ENSEMBLE_RATE)
    mean = (0.1 * older + 0.3 * newer) / (older + newer)
    np.testing.assert_allclose(at(reference, 300)[0, 0], mean)
    np.testing.assert_allclose(at(reference, 850)[0], [0.3, 0.7])
    np.testing.assert_allclose(at(reference, 1000)[0], [0.0, 0.7])


def test_a_chunk_that_is_over_has_no_weight():
    """A long gap: nothing of the chunk before it comes back."""
    for merge in MERGES:
        reference = followed(merge, (0, [[0.5, 0.5]] * 4), (2000 * MS, SECOND))
        expected = [0.3, 0.7]
        np.testing.assert_allclose(at(reference, 2000 + 300)[0], expected, err_msg=merge)


@given(
    st.sampled_from(MERGES),
    st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=6),
    st.integers(20, 400),
)
@settings(max_examples=examples(30))
def test_targets_stay_between_the_chunks_and_windows_end_at_zero(merge, speeds, apart_ms):
    """A merge of allowed values is allowed, except that an offset may be added to a course."""
    limits = CommandLimits(
        ("vx", "height"), *(np.array(v) for v in ([-0.5, 0.0], [0.5, 1.0], [1.0, 1.0], [0.0, 0.5])),
        VELOCITY,
    )  # fmt: skip
    commands = Commands(limits, 20 * MS, 400 * MS, merge, FADE_NS)
    for number, speed in enumerate(speeds):
        now_ns = number * apart_ms * MS
        one = chunk([[speed, 0.5]] * 16, now_ns)
        commands.follow(one, one.commands, now_ns)
        window = commands.window(now_ns, 0)
        commands.keep()
        low, high = min(0.0, *speeds), max(0.0, *speeds)
        assert low - 1e-9 <= window.values[:, 0].min() and window.values[:, 0].max() <= high + 1e-9
        assert window.values[-1, 0] == 0.0
        assert np.abs(np.diff(window.values[:, 0])).max() <= 0.02 + 1e-9
    commands.stop()
    assert (commands.window(now_ns + 20 * MS, 0).values[:, 0] == 0.0).all()
