"""A session queries in time, waits after failures and queries at once for an instruction."""

from dataclasses import replace

import numpy as np
import pytest
from oracle import MS
from session_rig import FAULT, HELD_MODES, PAUSE, START_NS, Rig, at_mode

from gr00t_ros.observe.moment import QueryTimes
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.schedule import SessionSettings


@pytest.mark.parametrize("mode", [Mode.WAITING, Mode.READY, *HELD_MODES])
def test_a_session_that_must_not_move_asks_no_queries(mode) -> None:
    """However long it waits."""
    rig = at_mode(mode)
    assert not any(rig.session.query_due(rig.now_ns + n * MS) for n in range(0, 10_000, 100))


def test_a_stop_asks_only_if_it_would_hold() -> None:
    """An answer could not be used otherwise."""
    for finding, asks in ((None, True), (PAUSE, False), (FAULT, False)):
        rig = Rig().moving()
        if finding:
            rig.tick(finding)
        else:
            rig.session.change_instruction(rig.now_ns)
        assert rig.mode is Mode.STOPPING
        assert rig.session.query_due(rig.now_ns) is asks


def test_the_next_query_is_due_when_enough_steps_are_consumed_and_not_before() -> None:
    """Eight steps of 50 ms after the chunk's query."""
    rig = Rig().activate()
    rig.merge()
    due = [n for n in range(0, 700, 10) if rig.session.query_due(START_NS + n * MS)]
    assert due == list(range(400, 700, 10))


def test_a_long_latency_makes_the_next_query_due_before_the_steps_are_consumed() -> None:
    """The first latency is warm-up and does not count; those after it do."""
    for ages_ms, due in (((1200, 0), False), ((0, 1200, 0), True)):
        rig = Rig().activate()
        for age_ms in ages_ms:
            assert rig.merge(rad=0.05, age_ns=age_ms * MS).accepted
        assert rig.session.query_due(rig.now_ns + 850 * MS)
        rig.session.settings = SessionSettings(execute_steps=100)
        assert rig.session.query_due(rig.now_ns + 850 * MS) is due
        assert rig.session.query_due(rig.now_ns + 1900 * MS)


def test_the_latency_of_a_rolled_chunk_counts_from_its_observation() -> None:
    """Its stamp is ahead of what was seen; the next answer takes as long all the same."""
    rig = Rig().activate()
    rig.merge()
    chunk = replace(rig.chunk(age_ns=50 * MS), rolled_ns=150 * MS)
    assert chunk.observed_ns == rig.now_ns - 200 * MS
    assert rig.session.merge(chunk, rig.now_ns, rig.held).accepted
    assert rig.session.queries.delay_p99_ns == 200 * MS


def test_queries_as_late_as_is_safe_wait_for_the_latest_instant() -> None:
    """execute_steps 0: however many steps are consumed; the latency decides."""
    rig = Rig().activate()
    rig.session.settings = SessionSettings(execute_steps=0)
    rig.merge(rad=0.05)
    rig.merge(rad=0.05, age_ns=200 * MS)
    end_ns = rig.now_ns - 200 * MS + 39 * 50 * MS
    latest_ns = end_ns - 200 * MS - 100 * MS - 20 * MS
    assert not rig.session.query_due(latest_ns - 1)
    assert rig.session.query_due(latest_ns)
    assert rig.session.query_times() == QueryTimes(latest_ns, latest_ns)
    rig.session.queries.lead_ns = 33 * MS  # a camera's period, in which a new picture comes
    assert rig.session.query_times() == QueryTimes(latest_ns - 33 * MS, latest_ns)


def test_the_p99_of_the_delay_leaves_the_warm_up_out() -> None:
    """None at first; then nearest rank: one of the measured ones."""
    rig = Rig().activate()
    assert rig.session.queries.delay_p99_ns == 0
    for age_ms, p99_ms in ((1200, 0), (50, 50), (300, 300), (70, 300)):
        rig.merge(rad=0.05, age_ns=age_ms * MS)
        assert rig.session.queries.delay_p99_ns == p99_ms * MS


def test_a_chunk_of_a_stamp_that_is_ahead_took_no_time_below_zero() -> None:
    """In slow simulated time /clock may be behind the messages; frozen steps are counted by it."""
    rig = Rig().activate()
    for age_ms in (0, -150):
        rig.merge(rad=0.05, age_ns=age_ms * MS)
    assert rig.session.queries.delay_p99_ns == 0
    assert not rig.session.query_due(rig.now_ns)


def test_the_longest_latency_is_forgotten_after_a_while() -> None:
    """One slow answer does not make every later query early."""
    rig = Rig().activate()
    rig.session.settings = SessionSettings(execute_steps=100, latency_memory=4)
    due = []
    for age_ms in (0, 1200, 0, 0, 0, 0):
        assert rig.merge(rad=0.05, age_ns=age_ms * MS).accepted
        due.append(rig.session.query_due(rig.now_ns + 850 * MS))
    assert due == [False, True, True, True, True, False]


def test_after_a_failed_query_the_next_waits() -> None:
    """0.2 s, also with nothing to play."""
    rig = Rig().activate()
    rig.session.query_failed("nobody listens", rig.now_ns, answered=False)
    assert not rig.session.query_due(rig.now_ns + 200 * MS - 1)
    assert rig.session.query_due(rig.now_ns + 200 * MS)


def test_an_arm_that_waits_for_its_first_chunk_reports_why_none_came() -> None:
    """A failed query, and a chunk that came too late; the first accepted one ends the reason."""
    rig = Rig().activate()
    assert rig.session.reason == "activated: waiting for the first action chunk"
    rig.session.query_failed("nobody listens", rig.now_ns, answered=False)
    assert rig.session.reason == "waiting for the first action chunk: nobody listens"
    verdict = rig.merge(age_ns=60_000 * MS)
    assert not verdict.accepted
    assert rig.session.reason == f"waiting for the first action chunk: {verdict.reason}"
    assert rig.merge(rad=0.05).accepted
    rig.session.query_failed("busy", rig.now_ns, answered=False, passing=True)
    assert (rig.mode, rig.session.reason) == (Mode.BLENDING_IN, "blending in")


def test_errors_that_may_pass_never_fault_by_their_number_and_are_tried_again_ever_later() -> None:
    """0.2 s, twice as long for each in a row up to 4 s; a chunk begins anew."""
    rig = Rig().activate()
    waits = []
    for _ in range(8):
        rig.session.query_failed("busy", rig.now_ns, answered=False, passing=True)
        due = (n for n in range(0, 10_000, 100) if rig.session.query_due(rig.now_ns + n * MS))
        waits.append(next(due))
    assert waits == [200, 400, 800, 1600, 3200, 4000, 4000, 4000]
    assert (rig.mode, rig.session.counts.refused) == (Mode.BLENDING_IN, 0)
    assert rig.merge(rad=0.05).accepted
    rig.session.query_failed("busy", rig.now_ns, answered=False, passing=True)
    assert rig.session.query_due(rig.now_ns + 10_000 * MS)
    rig.session.change_instruction(rig.now_ns)
    assert rig.session.query_due(rig.now_ns)


def test_a_server_with_errors_is_not_hammered_whatever_the_wait_after_a_failure_is() -> None:
    """0 doubles to nothing; a wait above the longest stays."""
    for retry_ms, expected in ((0, [100, 200, 400]), (3000, [3000, 4000]), (10_000, [10_000])):
        rig = Rig().activate()
        rig.session.settings = SessionSettings(retry_ns=retry_ms * MS)
        for wait_ms in expected:
            rig.session.query_failed("busy", rig.now_ns, answered=False, passing=True)
            assert not rig.session.query_due(rig.now_ns + wait_ms * MS - 1)
            assert rig.session.query_due(rig.now_ns + wait_ms * MS)


def test_silence_never_faults_and_errors_do() -> None:
    """The arm holds as long as nobody answers; three errors in a row are a fault."""
    rig = Rig().activate()
    for _ in range(10):
        rig.session.query_failed("deadline", rig.now_ns, answered=False)
    assert (rig.mode, rig.session.counts.failures) == (Mode.BLENDING_IN, 10)
    told = [rig.session.query_failed("KeyError", rig.now_ns, answered=True) for _ in range(4)]
    assert told == [False, False, True, False]
    assert rig.until(Mode.FAULT).session.reason.endswith("the last: KeyError")
    assert rig.windows == []


def test_failed_queries_while_inactive_are_counted_and_fault_nothing() -> None:
    """An answer may come after the deactivation."""
    session = Rig().session
    for _ in range(5):
        session.query_failed("error", START_NS, answered=True)
    assert (session.mode, session.counts.failures) == (Mode.WAITING, 5)


def test_a_late_error_neither_ends_nor_renews_a_fault() -> None:
    """The first reason stays."""
    rig = Rig().faulted()
    for _ in range(5):
        rig.session.query_failed("error", rig.now_ns, answered=True)
    assert (rig.mode, rig.session.reason) == (Mode.FAULT, FAULT.reason)


def test_a_changed_instruction_slows_the_arm_down_and_begins_an_episode() -> None:
    """And asks at once, even right after a failure; the new chunk goes on without rest."""
    rig = Rig().moving()
    rig.session.query_failed("late", rig.now_ns, answered=False)
    rig.session.change_instruction(rig.now_ns)
    assert (rig.mode, rig.session.episode) == (Mode.STOPPING, 2)
    assert rig.session.query_due(rig.now_ns)
    rig.tick(count=3)
    assert rig.merge(rad=0.05).accepted
    assert rig.until(Mode.REPLAYING).session.episode == 2


def test_a_changed_instruction_without_a_new_chunk_ends_in_holding() -> None:
    """The old instruction is not played on."""
    rig = Rig().moving()
    before = rig.session.replay.position(rig.now_ns)
    rig.session.change_instruction(rig.now_ns)
    rig.assert_comes_to_rest(limit=50)
    assert rig.mode is Mode.HOLDING
    assert np.abs(rig.session.replay.position(rig.now_ns) - before).max() < 0.1


@pytest.mark.parametrize("mode", [Mode.WAITING, Mode.READY, Mode.HOLDING, *HELD_MODES])
def test_a_changed_instruction_at_rest_only_counts_the_episode(mode) -> None:
    """A fault stays a fault."""
    rig = at_mode(mode)
    before = rig.session.episode
    rig.session.change_instruction(rig.now_ns)
    assert (rig.mode, rig.session.episode) == (mode, before + 1)


def test_the_answer_to_a_query_continues_the_chunk_that_is_followed() -> None:
    """Not before a latency is known, nor after a stop, nor in another episode."""
    rig = Rig().activate()
    assert rig.session.followed(rig.now_ns) is None
    rig.merge(rad=0.05)
    assert rig.session.followed(rig.now_ns) is None, "no latency is known: the first is warm-up"
    rig.merge(rad=0.05, age_ns=60 * MS)
    followed = rig.session.followed(rig.now_ns)
    assert followed is not None and followed.chunk.stamp_ns == rig.now_ns - 60 * MS
    settings = rig.session.replay.settings
    assert followed.acts_after_ns == 60 * MS + settings.commit_ns + settings.knot_ns
    rig.merge_far()
    assert rig.session.followed(rig.now_ns) == followed, "a refused chunk is not followed"
    rig.session.settings = SessionSettings(shadow=True)
    assert rig.session.followed(rig.now_ns) is None, "others move the arm"
    rig.session.settings = SessionSettings()
    rig.session.change_instruction(rig.now_ns)
    assert rig.session.followed(rig.now_ns) is None
