"""How far the plan moves the joints until a chunk is executed: as it was sent, or no answer."""

from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracle import HOME, MS, fr3_limits

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.plan import moved
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings

START_NS = 1_000 * MS
STEP_NS = 50 * MS
SETTINGS = ReplaySettings()
COMMIT_NS = SETTINGS.commit_ns
SPEED = 0.3  # rad/s


def ramp(speed, stamp_ns, position, sequence=0):
    """A chunk that leads all joints from `position` (J,) at one speed, rad/s."""
    rows = position + speed * 0.05 * np.arange(40)[:, None]
    return ActionChunk(sequence, 1, stamp_ns, STEP_NS, rows, {})


def moving(now_ns=START_NS + 1_000 * MS):
    """A replay that moves at SPEED since START_NS, up to a tick at now_ns."""
    replay = Replay(fr3_limits(), SETTINGS)
    replay.start(START_NS, HOME)
    replay.accept(ramp(SPEED, START_NS, HOME), START_NS)
    for tick_ns in range(START_NS, now_ns + 1, 20 * MS):
        replay.tick(tick_ns)
    return replay


kept = cache(moving)  # of replays that no test changes


@given(st.integers(0, 200), st.integers(0, 300))
@example(161, 0)  # both times are past
@settings(max_examples=20, deadline=None)
def test_it_is_what_was_sent_and_what_will_be_sent(age_ms, latency_ms):
    """The controller plays just this motion: no chunk comes before the one that is asked for."""
    now_ns = START_NS + 1_000 * MS
    replay, later = kept(now_ns), kept(now_ns + 400 * MS)
    stamp_ns = now_ns - age_ms * MS
    found = moved(replay.planner.courses, stamp_ns, latency_ns=latency_ms * MS, commit_ns=COMMIT_NS)
    assert found is not None and 0 < found.by_ns <= latency_ms * MS + COMMIT_NS
    until_ns = stamp_ns + found.by_ns
    assert until_ns <= now_ns + SETTINGS.horizon_ns
    expected = at(later, until_ns) - at(replay, stamp_ns)
    np.testing.assert_allclose(found.joints, expected, atol=1e-3)


def at(replay, at_ns):
    """The position that was sent for a time, by the newest course that has it."""
    course = next(c for c in replay.planner.courses if c.first_knot * c.knot_ns <= at_ns)
    return course.at(at_ns).position


def test_it_ends_where_the_stop_ramp_begins():
    """The ramp plays only if nothing follows; however late the chunk is expected."""
    replay, now_ns = moving(), START_NS + 1_000 * MS
    found = moved(replay.planner.courses, now_ns, 10_000 * MS, COMMIT_NS)
    assert found.by_ns == SETTINGS.horizon_ns
    np.testing.assert_allclose(found.joints, SPEED * SETTINGS.horizon_ns * 1e-9, rtol=0.02)


@pytest.mark.parametrize("case", ["no plan", "at rest", "older than what is kept", "stopped"])
def test_without_a_motion_that_is_known_there_is_no_answer(case):
    """Never a guess."""
    replay, stamp_ns = moving(), START_NS + 1_000 * MS
    if case == "no plan":
        replay = Replay(fr3_limits(), SETTINGS)
    elif case == "at rest":
        replay = Replay(fr3_limits(), SETTINGS)
        replay.start(START_NS, HOME)
    elif case == "older than what is kept":
        stamp_ns = START_NS - 10 * MS
    else:
        replay.stop(stamp_ns, "a reason")
        for _ in range(12):
            stamp_ns += 20 * MS
            replay.tick(stamp_ns)
    assert moved(replay.planner.courses, stamp_ns, 50 * MS, COMMIT_NS) is None


@pytest.mark.parametrize("relative", [True, False])
def test_a_chunk_from_the_rolled_state_begins_where_the_plan_is(relative):
    """A policy that now wants the other direction: its first row to play is no jump then.

    From the measured state the row that is due lies off the plan by the change of speed times the
    latency. relative: the server adds its actions to the state that it was sent.
    """
    replay, now_ns, latency_ns = moving(), START_NS + 1_000 * MS, 80 * MS
    stamp_ns = now_ns - 40 * MS
    measured = at(replay, stamp_ns)
    found = moved(replay.planner.courses, stamp_ns, latency_ns, COMMIT_NS)
    merged_ns = stamp_ns + latency_ns
    for tick_ns in range(now_ns + 20 * MS, merged_ns + 1, 20 * MS):
        replay.tick(tick_ns)
    splice_ns = merged_ns + COMMIT_NS
    held = at(replay, splice_ns)

    def jump(state, at_ns):
        chunk = ramp(-SPEED, at_ns, state)
        first = max(0, -(-(splice_ns - at_ns) // STEP_NS))
        due = chunk.joints[first] + SPEED * (first * STEP_NS - (splice_ns - at_ns)) * 1e-9
        return np.abs(due - held).max()

    assert jump(measured + found.joints, stamp_ns + found.by_ns) < 0.003
    assert jump(measured, stamp_ns) > 2 * SPEED * (latency_ns + COMMIT_NS) * 1e-9 * 0.9
    if relative:  # the rows of one state with the stamp of the other would be off by the motion
        assert jump(measured + found.joints, stamp_ns) > 0.03
