"""How much of the chunk before a new one continues: laws of the steps."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.session.overlap import Followed, overlap_with

MS = 1_000_000
STAMP_NS = 5_000 * MS

STEPS = st.integers(1, 64)
STEP_NS = st.integers(10 * MS, 100 * MS)


def followed(steps, step_ns, lag_ns=0, acts_after_ns=0):
    """A chunk that is followed, stamped STAMP_NS."""
    chunk = ActionChunk(1, 1, STAMP_NS, step_ns, np.zeros((steps, 1)), {})
    return Followed(chunk, lag_ns, acts_after_ns)


@given(
    steps=STEPS,
    step_ns=STEP_NS,
    lag_ns=st.integers(0, 500 * MS),
    acts_after_ns=st.integers(0, 3_000 * MS),
    later_ns=st.integers(-200 * MS, 8_000 * MS),
)
@settings(max_examples=examples(200), deadline=None)
def test_steps_are_in_order_and_at_the_same_time(steps, step_ns, lag_ns, acts_after_ns, later_ns):
    """Step k of the new chunk is step executed + k of the old one, as well as whole steps can."""
    overlap = overlap_with(followed(steps, step_ns, lag_ns, acts_after_ns), STAMP_NS + later_ns)
    since_ns = later_ns - lag_ns
    if overlap is None:
        assert since_ns < -step_ns / 2 or since_ns >= (steps - 0.5) * step_ns
        return
    assert 0 <= overlap.frozen_steps <= overlap.overlap_steps
    assert overlap.executed_steps + overlap.overlap_steps == steps
    assert abs(overlap.executed_steps * step_ns - since_ns) <= step_ns / 2
    covered_ns = overlap.frozen_steps * step_ns
    assert covered_ns >= acts_after_ns or overlap.frozen_steps == overlap.overlap_steps
    assert covered_ns < acts_after_ns + step_ns


@given(steps=STEPS, step_ns=STEP_NS, later_ns=st.integers(0, 3_000 * MS), lag=st.integers(0, 20))
@settings(max_examples=examples(60), deadline=None)
def test_a_lag_is_as_if_the_observation_was_earlier(steps, step_ns, later_ns, lag):
    """A plan that is behind its chunk has executed less of it."""
    late = overlap_with(followed(steps, step_ns, lag * step_ns), STAMP_NS + later_ns)
    assert late == overlap_with(followed(steps, step_ns), STAMP_NS + later_ns - lag * step_ns)


def test_the_steps_of_a_usual_query():
    """16 steps at 20 Hz, asked after 8 of them, 180 ms until the answer acts: 4 steps frozen."""
    overlap = overlap_with(followed(16, 50 * MS, 0, 180 * MS), STAMP_NS + 410 * MS)
    assert (overlap.executed_steps, overlap.overlap_steps, overlap.frozen_steps) == (8, 8, 4)
