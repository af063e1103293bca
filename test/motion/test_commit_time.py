"""The commit time follows the measured delivery, and no motion is cut off while it changes.

The limits are FR3's shipped defaults, as in test_oracle_laws.py.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import examples
from oracle import MS, START_NS, Events, Network, Policy, assert_lawful, fr3_limits, play, wander

from gr00t_ros.motion import commit_time
from gr00t_ros.motion.commit_time import EVIDENCE_NS, MEMORY_NS, RAREST_NS, SHORTER, CommitTime
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.ros.periodic import next_due_ns

TICK = 20 * MS
FAST = ReplaySettings(commit="measured")
SHORT_NS = 52 * MS
"""The rule with two rounds of 20 ms, 2 ms to publish and the least delivery of 10 ms."""
LONG_NS = FAST.commit_ns


def run_for(
    commit: CommitTime, now_ns: int, for_ns: int, transit_ns: int | None = MS
) -> tuple[int, int]:
    """States at 50 Hz, and windows; the time afterwards and the commit time then."""
    for at_ns in range(now_ns, now_ns + for_ns, TICK):
        commit.received(at_ns, transit_ns)
        commit.at(at_ns)
    return now_ns + for_ns, commit.commit_ns


def shortened() -> tuple[CommitTime, int]:
    """A commit time that has become short, and the time."""
    commit = CommitTime(FAST)
    now_ns, got_ns = run_for(commit, START_NS, EVIDENCE_NS + (LONG_NS - SHORT_NS) * SHORTER + TICK)
    assert got_ns == SHORT_NS
    return commit, now_ns


def test_it_begins_with_the_longest_and_becomes_shorter_slowly_after_enough_evidence() -> None:
    """5 ms in a second, to what the rule gives for a controller's cycle of 10 ms."""
    commit = CommitTime(FAST)
    now_ns, got_ns = run_for(commit, START_NS, EVIDENCE_NS)
    assert got_ns == LONG_NS
    now_ns, got_ns = run_for(commit, now_ns, 1_000 * MS)
    assert LONG_NS - got_ns == pytest.approx(1_000 * MS / SHORTER, abs=MS // 5)
    _, got_ns = run_for(commit, now_ns, 10_000 * MS)
    assert got_ns == SHORT_NS
    assert "1.0 ms at most" in commit.why


def test_a_state_that_takes_longer_makes_it_longer_at_once_and_for_the_memory() -> None:
    """Twice as long as that state took, then as much again until it is forgotten."""
    commit, now_ns = shortened()
    commit.received(now_ns, 12 * MS)
    assert commit.at(now_ns) == (40 + 2 + 24) * MS
    now_ns, got_ns = run_for(commit, now_ns + TICK, MEMORY_NS - 1_000 * MS)
    assert got_ns == (40 + 2 + 24) * MS
    _, got_ns = run_for(commit, now_ns, 10_000 * MS)
    assert got_ns == SHORT_NS


def test_windows_that_leave_late_make_it_longer() -> None:
    """As far as it was not time to publish anyway."""
    commit, now_ns = shortened()
    commit.late(now_ns, 7 * MS)
    assert commit.at(now_ns) == SHORT_NS + 5 * MS


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (lambda commit, now_ns: commit.doubt("withheld"), "withheld"),
        (lambda commit, now_ns: commit.received(now_ns, None), "does not tell"),
        (lambda commit, now_ns: commit.received(now_ns, -MS), "1.0 ms in the future"),
        (lambda commit, now_ns: commit.received(now_ns + RAREST_NS, MS), "no state"),
        (lambda commit, now_ns: commit.at(now_ns + RAREST_NS + MS), "no state"),
    ],
)
def test_what_puts_delivery_in_doubt_makes_it_the_longest_until_there_is_new_evidence(
    event: Any, why: str
) -> None:
    """A loss, a cut, a silence, another clock, a controller that tells nothing."""
    commit, now_ns = shortened()
    event(commit, now_ns)
    assert commit.commit_ns == LONG_NS
    assert why in commit.why
    _, got_ns = run_for(commit, now_ns + 2 * RAREST_NS, EVIDENCE_NS - 1_000 * MS)
    assert got_ns == LONG_NS


def test_it_stays_the_longest_where_states_are_rare_or_tell_nothing() -> None:
    """Below 10 Hz, or without a time of arrival."""
    rare, mute, fixed = CommitTime(FAST), CommitTime(FAST), CommitTime(ReplaySettings())
    for index in range(400):
        now_ns = START_NS + index * (RAREST_NS + TICK)
        rare.received(now_ns, MS)
        assert rare.at(now_ns) == LONG_NS
    assert run_for(mute, START_NS, 40_000 * MS, None)[1] == LONG_NS
    assert run_for(fixed, START_NS, 40_000 * MS)[1] == LONG_NS and fixed.why == "fixed"


def test_slow_states_ask_for_more_than_the_parameter_and_get_that() -> None:
    """The parameter is the maximum."""
    assert run_for(CommitTime(FAST), START_NS, 40_000 * MS, 45 * MS)[1] == LONG_NS


def test_to_ask_whether_an_extra_tick_pays_changes_no_commit_time() -> None:
    """It is asked for a time to come: that is neither time that passed nor a silence."""
    now_ns = START_NS
    replay = Replay(fr3_limits(jump=1.0), FAST)
    replay.start(now_ns, np.zeros(7))
    run_for(replay.commit, now_ns, EVIDENCE_NS + 1_000 * MS)
    now_ns += EVIDENCE_NS + 1_000 * MS
    before_ns = replay.commit.commit_ns
    assert before_ns < LONG_NS
    for ahead_ns in (2 * TICK, RAREST_NS + TICK):
        replay.new_earlier(now_ns - TICK, now_ns + ahead_ns)
        assert replay.commit.commit_ns == before_ns


def test_one_of_two_controllers_that_is_silent_is_a_doubt() -> None:
    """States of the other one say nothing about the way to this one."""
    commit, now_ns = CommitTime(FAST), START_NS
    for now_ns in range(START_NS, START_NS + EVIDENCE_NS + 1_000 * MS, TICK):
        for controller in range(2):
            commit.received(now_ns, MS, controller)
        commit.at(now_ns)
    assert commit.commit_ns < LONG_NS
    for at_ns in range(now_ns + TICK, now_ns + 2 * EVIDENCE_NS, TICK):
        commit.received(at_ns, MS, 0)
        short = commit.at(at_ns) < LONG_NS
        assert short == (at_ns - now_ns <= RAREST_NS)
    assert "no state" in commit.why


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("state"), st.integers(-MS, 40 * MS)),
        st.tuples(st.just("late"), st.integers(0, 30 * MS)),
        st.tuples(st.just("doubt"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 300 * MS)),
        st.tuples(st.just("calm"), st.integers(0, 30)),
    ),
    max_size=40,
)


@settings(max_examples=examples(30), deadline=None)
@given(EVENTS, st.sampled_from([10, 20]), st.integers(0, 2))
def test_the_rule_holds_and_no_window_branches_before_the_one_before(
    events: list[tuple[str, int]], refresh_ms: int, lost: int
) -> None:
    """Whatever is measured; t + commit never decreases."""
    chosen = replace(FAST, refresh_ns=refresh_ms * MS, lost_windows=lost, commit_ns=120 * MS)
    commit, now_ns, final_ns = CommitTime(chosen.check()), START_NS, 0
    for name, value in events:
        if name == "state":
            commit.received(now_ns, value)
        elif name == "late":
            commit.late(now_ns, value)
        elif name == "doubt":
            commit.doubt("drawn")
        elif name == "calm":
            now_ns = run_for(commit, now_ns, value * 1_000 * MS)[0]
        else:
            now_ns += value
        got_ns = commit.at(now_ns)
        least_ns = chosen.rounds_ns + commit_time.PUBLISH_NS + commit_time.LEAST_NS
        assert least_ns <= got_ns <= chosen.commit_ns
        assert chosen.delivery_within(got_ns) + chosen.rounds_ns <= got_ns
        assert now_ns + got_ns >= final_ns
        final_ns = now_ns + got_ns


# The oracle: the controller's samples while the commit time changes from tick to tick.


def evidence(replay: Replay, seed: int, duration_ms: int) -> Events:
    """States that take 0 to 25 ms, and doubts, so that the commit time rises and falls."""
    rng = np.random.default_rng(seed)
    slow_ms = int(rng.choice([2, 10, 25]))
    events: Events = []
    for at_ms in range(0, duration_ms, 5):
        transit_ns = int(rng.integers(0, slow_ms * MS))
        events.append((START_NS + at_ms * MS, _state(replay, transit_ns, rng.random() < 0.01)))
    return events


def _state(replay: Replay, transit_ns: int, doubted: bool) -> Any:
    def call(now_ns: int) -> None:
        replay.commit.received(now_ns, transit_ns)
        if doubted:
            replay.commit.doubt("drawn")

    return call


def moving_commit(
    seed: int,
    refresh_ms: int,
    knot_ms: int,
    lost: int,
    offset_ms: int,
    stop_ms: int | None,
    delivery_ms: int = 12,
    rtc: bool = False,
    follows: bool = False,
) -> tuple[set[int], Any]:
    """Play a policy while the commit time changes; the commit times, and the record.

    follows: the ticks drift to a commit time before a knot, as the replay thread's; else each is
    anywhere in 3 ms after its grid.
    """
    chosen = replace(
        FAST,
        refresh_ns=refresh_ms * MS,
        knot_ns=knot_ms * MS,
        lost_windows=lost,
        commit_ns=120 * MS,
    )
    limits = fr3_limits(jump=1.0)
    replay = Replay(limits, chosen)
    policy = Policy(wander(seed), 16, 33_333_333, 60 * MS, 20 * MS, 4, 0.1, rtc)
    events = policy.events(replay, 2500 * MS, seed) + evidence(replay, seed, 2500)
    seen: set[int] = set()
    events += [(e, lambda _: seen.add(replay.planner.sent_commit_ns // MS)) for e, _ in events]
    if stop_ms is not None:
        at_ns = START_NS + stop_ms * MS
        events.append((at_ns, lambda now_ns: replay.stop(now_ns, "drawn")))
        events.append((at_ns + 400 * MS, lambda _: replay.resume()))
    network = Network(
        jitter_ns=(delivery_ms - abs(offset_ms)) * MS,
        lost=0.3 if lost else 0.0,
        lost_running=lost,
        offset_ns=offset_ms * MS,
        tick_jitter_ns=0 if follows else 3 * MS,
    )

    def next_tick(due_ns: int) -> int:
        return next_due_ns(due_ns, chosen.refresh_ns, -replay.commit.commit_ns, chosen.knot_ns)

    record = play(
        *(replay, events, 2500 * MS, network, seed),
        refresh_ns=refresh_ms * MS,
        next_tick=next_tick if follows else None,
    )
    assert_lawful(record, limits)
    return seen, record


CASES = {
    "seed": st.integers(0, 10_000),
    "refresh_ms": st.sampled_from([10, 20]),
    "knot_ms": st.sampled_from([10, 20]),
    "lost": st.sampled_from([0, 1, 2]),
    "offset_ms": st.sampled_from([0, -8, 8]),
    "stop_ms": st.one_of(st.none(), st.integers(300, 2000)),
    "rtc": st.booleans(),
    "follows": st.booleans(),
}


@settings(
    max_examples=examples(16),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.fixed_dictionaries(CASES))
def test_a_commit_time_that_changes_breaks_no_limit(
    monkeypatch: pytest.MonkeyPatch, drawn: dict[str, Any]
) -> None:
    """Lost, late, doubled and overtaken windows inside what was measured; with RTC and without.

    It is shortened much faster here.
    """
    monkeypatch.setattr(commit_time, "EVIDENCE_NS", 0)
    monkeypatch.setattr(commit_time, "SHORTER", 2)
    moving_commit(**drawn)


def test_the_commit_time_does_change_in_these_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above sees what it is for: windows beyond what was measured break limits."""
    monkeypatch.setattr(commit_time, "EVIDENCE_NS", 0)
    monkeypatch.setattr(commit_time, "SHORTER", 2)
    seen = set().union(*(moving_commit(seed, 20, 20, 1, 0, None)[0] for seed in range(2)))
    assert min(seen) < 65 and max(seen) == 120
    with pytest.raises(AssertionError, match="acceleration|jerk|velocity"):
        for seed in range(4, 12):
            moving_commit(seed, 20, 20, 1, 0, None, delivery_ms=60)
