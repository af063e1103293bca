"""A session moves only after an activation and a chunk, and drops chunks that it must not play."""

import numpy as np
import pytest
from oracle import HOME, MS
from session_rig import ACTIVE, FAULT, HELD_MODES, PAUSE, START_NS, Rig, at_mode

from gr00t_ros.errors import ModeError, PlanError
from gr00t_ros.session.mode import Mode

# Readiness and activation.


def test_readiness_is_followed_while_inactive_and_ignored_while_active() -> None:
    """With its reason."""
    session = Rig().session
    session.set_ready(False, "no camera")
    assert (session.mode, session.reason) == (Mode.WAITING, "no camera")
    session.set_ready(True, "")
    assert (session.mode, session.reason) == (Mode.READY, "")
    session.set_ready(False, "no server")
    assert (session.mode, session.reason) == (Mode.WAITING, "no server")
    rig = Rig().activate()
    before = rig.session.reason
    rig.session.set_ready(False, "no server")
    assert (rig.mode, rig.session.reason) == (Mode.BLENDING_IN, before)


@pytest.mark.parametrize("mode", [Mode.WAITING, *ACTIVE])
def test_activation_is_refused_in_every_mode_but_ready(mode) -> None:
    """And disturbs nothing: the plan is not started again."""
    rig = at_mode(mode)
    episode = rig.session.episode
    plan = rig.session.replay.position(rig.now_ns) if mode is not Mode.WAITING else None
    with pytest.raises(ModeError):
        rig.session.activate(rig.now_ns, HOME + 1.0)
    assert (rig.mode, rig.session.episode) == (mode, episode)
    if plan is not None:
        np.testing.assert_array_equal(rig.session.replay.position(rig.now_ns), plan)


def test_an_activation_alone_moves_nothing_and_asks_at_once() -> None:
    """Until the first chunk there is nothing to publish."""
    rig = Rig().activate()
    assert rig.session.episode == 1
    assert rig.session.query_due(rig.now_ns)
    assert rig.tick(count=100) == []
    assert rig.mode is Mode.BLENDING_IN


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_activation_from_a_position_that_is_no_number_leaves_the_mode_as_it_was(bad) -> None:
    """The node answers FAILURE, so nothing may run on."""
    rig = Rig()
    rig.session.set_ready(True, "")
    with pytest.raises(PlanError):
        rig.session.activate(rig.now_ns, np.array([bad, *HOME[1:]]))
    assert rig.mode is Mode.READY and not rig.session.active
    assert rig.tick(count=3) == []


def test_the_first_chunk_moves_the_arm_and_counts_as_blended_in_after_a_while() -> None:
    """From the position that was held, 0.3 s later replaying."""
    rig = Rig().activate()
    assert rig.merge().accepted
    assert rig.session.reason == "blending in"
    rig.tick(count=15)
    assert rig.mode is Mode.BLENDING_IN
    rig.tick()
    assert (rig.mode, rig.session.reason) == (Mode.REPLAYING, "")
    np.testing.assert_array_equal(rig.windows[0].positions[0], HOME)


def test_a_clock_that_went_back_while_inactive_is_no_clock_jump_of_the_new_session() -> None:
    """A simulation that was started again may be activated."""
    rig = Rig().moving()
    rig.session.deactivate(rig.now_ns)
    rig.until(Mode.WAITING)
    rig.now_ns, rig.held = START_NS // 2, HOME.copy()
    rig.activate()
    rig.tick(count=3)
    assert rig.mode is Mode.BLENDING_IN


# Chunks.


def test_the_plans_end_stops_and_holds_and_a_later_chunk_goes_on() -> None:
    """With a reason that says that no chunk came; in the same episode."""
    rig = Rig().moving()
    rig.until(Mode.STOPPING)
    assert rig.session.reason == (
        "no chunk left to play: the next chunk did not arrive before the last one ended"
    )
    rig.assert_comes_to_rest()
    assert rig.mode is Mode.HOLDING
    assert rig.tick(count=50) == []
    assert rig.session.query_due(rig.now_ns)
    rest = rig.session.replay.position(rig.now_ns)
    rig.held = rest
    assert rig.merge().accepted
    assert (rig.mode, rig.session.episode) == (Mode.BLENDING_IN, 1)
    np.testing.assert_allclose(rig.tick()[0].positions[0], rest, atol=1e-12)
    rig.until(Mode.REPLAYING)


def test_the_plans_end_names_the_query_that_failed() -> None:
    """So that an operator knows why the arm holds."""
    rig = Rig().moving()
    rig.session.query_failed("deadline of 1 s", rig.now_ns, answered=False)
    rig.until(Mode.STOPPING)
    assert rig.session.reason == "no chunk left to play: deadline of 1 s"


def test_a_chunk_during_a_stop_that_would_hold_takes_the_motion_up_again() -> None:
    """After the plan's end, before rest, and still to the chunk's own end."""
    rig = Rig().moving().until(Mode.STOPPING)
    verdict = rig.merge(rad=0.1)
    assert verdict.accepted
    assert rig.mode is Mode.BLENDING_IN
    goal = rig.chunk(rad=0.1).joints[-1]
    rig.until(Mode.REPLAYING).until(Mode.HOLDING)
    np.testing.assert_allclose(rig.session.replay.position(rig.now_ns), goal, atol=0.01)


@pytest.mark.parametrize("mode", [Mode.WAITING, Mode.READY, *HELD_MODES])
def test_a_chunk_is_dropped_in_a_mode_that_must_not_move(mode) -> None:
    """Of the right episode as well; and nothing is published after it."""
    rig = at_mode(mode)
    before = rig.session.counts.dropped
    chunk = Rig().activate().chunk()
    chunk = type(chunk)(0, rig.session.episode, rig.now_ns, chunk.step_ns, chunk.joints, {})
    assert rig.session.merge(chunk, rig.now_ns, rig.held).kind == "unwanted"
    assert rig.session.counts.dropped == before + 1
    assert rig.session.counts.accepted <= 1
    assert rig.tick(PAUSE, count=5) == []
    assert rig.mode is mode


@pytest.mark.parametrize("finding", [PAUSE, FAULT])
def test_a_chunk_during_a_stop_for_a_reason_does_not_move_the_arm_on(finding) -> None:
    """The stop ends where it would have ended."""
    ends = []
    for merges in (False, True):
        rig = Rig().moving()
        rig.tick(finding)
        if merges:
            assert rig.merge().kind == "unwanted"
        rig.until(*HELD_MODES, findings=(finding,))
        ends.append(rig.session.replay.position(rig.now_ns))
    np.testing.assert_array_equal(ends[0], ends[1])


@pytest.mark.parametrize("older", [1, 2])
def test_chunks_of_older_episodes_are_dropped(older) -> None:
    """Asked before the instruction changed, answered after."""
    rig = Rig().activate()
    rig.session.change_instruction(rig.now_ns)
    rig.session.change_instruction(rig.now_ns)
    assert rig.merge(episode=rig.session.episode - older).kind == "unwanted"
    assert (rig.session.counts.dropped, rig.session.counts.accepted) == (1, 0)
    rig.until(Mode.HOLDING)
    assert rig.merge().accepted


def test_a_late_chunk_is_dropped_and_is_no_failure() -> None:
    """Its reason shows when the plan ends."""
    rig = Rig().moving()
    for _ in range(5):
        verdict = rig.merge(age_ns=10_000 * MS)
        assert verdict.kind == "late"
    assert (rig.session.counts.dropped, rig.session.counts.refused) == (5, 0)
    assert rig.mode is Mode.REPLAYING
    rig.until(Mode.STOPPING)
    assert "steps due" in rig.session.reason


@pytest.mark.parametrize("mode", [Mode.BLENDING_IN, Mode.REPLAYING, Mode.STOPPING, Mode.HOLDING])
def test_refused_chunks_in_a_row_fault_in_every_mode_that_takes_chunks(mode) -> None:
    """At the third; two are only counted."""
    rig = at_mode(mode)
    for count in (1, 2):
        verdict = rig.merge_far()
        assert verdict.kind == "jump"
        assert (rig.mode, rig.session.counts.refused) == (mode, count)
    rig.merge_far()
    assert rig.mode is Mode.STOPPING
    rig.assert_comes_to_rest()
    assert rig.mode is Mode.FAULT
    assert rig.session.reason.startswith("3 answers of the policy server refused in a row")


def test_an_accepted_chunk_ends_the_row_of_refusals() -> None:
    """Two, a good one, two: no fault."""
    rig = Rig().moving()
    for refuse in (True, True, False, True, True):
        assert (rig.merge_far() if refuse else rig.merge()).accepted is not refuse
    assert rig.mode is Mode.REPLAYING
    assert (rig.session.counts.refused, rig.session.counts.accepted) == (4, 2)


def test_a_clamped_chunk_is_accepted_and_counted() -> None:
    """A little beyond a position limit."""
    rig = Rig(held=np.array([2.68, *HOME[1:]])).activate()
    assert rig.merge(rad=0.03).clamped
    assert (rig.session.counts.accepted, rig.session.counts.clamped) == (1, 1)
