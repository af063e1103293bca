"""The commit time sees how long a controller's states took, at any rate and whatever was lost.

The real Source pulls from a reader's queue and the real CommitTime decides; times are integers.
"""

import copy
from collections import deque
from dataclasses import dataclass, replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.inputs.source import History, Source  # noqa: E402
from gr00t_ros.motion.commit_time import (  # noqa: E402
    EVIDENCE_NS,
    LEAST_NS,
    MARGIN,
    SHORTER,
    SHORTEST_NS,
    CommitTime,
)
from gr00t_ros.motion.replay_settings import MS, PUBLISH_NS, ReplaySettings  # noqa: E402
from gr00t_ros.observe.buffer import CONTROLLER_MAX_AGE_NS  # noqa: E402
from gr00t_ros.observe.joint_states import JointPublishers  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402

S = 1000 * MS
START_NS = 10**15
PULL_NS = 20 * MS
WAY_NS = MS // 3
BEFORE_NS, AFTER_NS = 100 * MS, 300 * MS
RATES_HZ = (50, 100, 500, 1000, 2000)


class Queue:
    """Stands where PulledSubscription does: a reader that keeps the last messages."""

    topic, depth, number, sent_ns, received_ns = "/arm/state", qos.JOINTS.depth, None, 0, 0

    def __init__(self):
        self.waiting = deque(maxlen=self.depth)

    def take(self):
        if not self.waiting:
            return None
        self.number, self.sent_ns, self.received_ns = self.waiting.popleft()
        return self.sent_ns, "state"


@dataclass(frozen=True)
class Case:
    """States at rate_hz; from begin_ns on nothing arrives for stall_ns, and all of it then.

    sleeps: the pull thread stands still as well. pull_ns, tick_ns: when the first pull and tick
    are. extra_ns: when the replay thread pulls too, after the stall. lost: states that are lost on
    their way.
    """

    rate_hz: int = 1000
    stall_ns: int = 0
    begin_ns: int = 0
    sleeps: bool = False
    pull_ns: int = 0
    tick_ns: int = 0
    refresh_ms: int = 20
    extra_ns: tuple[int, ...] = ()
    lost: frozenset[int] = frozenset()


@cache
def calm(refresh_ms):
    """A commit time that has become as short as it gets, at START_NS."""
    chosen = ReplaySettings(commit="measured", refresh_ns=refresh_ms * MS, knot_ns=10 * MS)
    commit = CommitTime(chosen.check())
    for_ns = EVIDENCE_NS + (chosen.commit_ns - SHORTEST_NS) * SHORTER
    for now_ns in range(START_NS - for_ns, START_NS, refresh_ms * MS):
        commit.received(now_ns, WAY_NS)
        commit.at(now_ns)
    return commit, chosen


def longest_commit(case):
    """The longest commit time after the stall, the rule's for the longest way, and the calm one."""
    commit, chosen = calm(case.refresh_ms)
    least_ns, commit = commit.commit_ns, copy.deepcopy(commit)
    queue, publishers = Queue(), JointPublishers(CONTROLLER_MAX_AGE_NS)
    source = Source(queue, lambda m: m, History(0, 10**6), PULL_NS, publishers=publishers)
    begin_ns = START_NS + BEFORE_NS + case.begin_ns
    end_ns = begin_ns + case.stall_ns
    events, slowest_ns, period_ns = [], 0, S // case.rate_hz
    until_ns = end_ns + AFTER_NS
    for number, sent_ns in enumerate(range(START_NS, until_ns, period_ns)):
        at_ns = sent_ns + WAY_NS
        at_ns = end_ns if begin_ns <= at_ns < end_ns else at_ns
        if number not in case.lost and at_ns < until_ns - PULL_NS - 2 * chosen.refresh_ns:
            events.append((at_ns, 0, (number + 1, sent_ns, at_ns)))
            slowest_ns = max(slowest_ns, at_ns - sent_ns)
    pulls = [*range(START_NS + case.pull_ns, until_ns, PULL_NS)]
    pulls += [end_ns + one for one in case.extra_ns]
    if case.sleeps:
        pulls = [one if not begin_ns <= one < end_ns else end_ns for one in pulls]
    events += [(at_ns, 1, None) for at_ns in pulls]
    ticks = range(START_NS + case.tick_ns, until_ns, chosen.refresh_ns)
    events += [(at_ns, 2, None) for at_ns in ticks]
    seen, found_ns = None, 0
    for at_ns, kind, message in sorted(events, key=lambda event: event[:2]):
        if kind == 0:
            queue.waiting.append(message)
        elif kind == 1:
            source.pull(at_ns)
        else:
            newest = source.buffer.latest()
            if newest is not None and newest is not seen:
                commit.received(at_ns, newest.transit_ns)
                seen = newest
            found_ns = max(found_ns, commit.at(at_ns)) if at_ns >= end_ns else found_ns
    delivery_ns = PUBLISH_NS + max(LEAST_NS, MARGIN * slowest_ns)
    rule_ns = min(chosen.commit_ns, max(SHORTEST_NS, chosen.rounds_ns + delivery_ns))
    return found_ns, rule_ns, least_ns


def up_to(longest_ms):
    """Times to half a millisecond: larger numbers would be drawn near 0 mostly."""
    return st.integers(0, 2 * longest_ms).map(lambda halves: halves * MS // 2)


PHASES = {
    "begin_ns": up_to(20),
    "pull_ns": up_to(19),
    "tick_ns": up_to(9),
    "refresh_ms": st.sampled_from([10, 20]),
}


@pytest.mark.parametrize("stall_ms", [30, 60, 78])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_stall_is_seen_at_every_rate(rate_hz, stall_ms):
    """Twice each of these is more than the longest commit time, so that is what is used."""
    found_ns, rule_ns, _ = longest_commit(Case(rate_hz, stall_ms * MS))
    assert found_ns >= rule_ns == 100 * MS


@settings(max_examples=examples(300), deadline=None)
@given(
    rate_hz=st.sampled_from([*RATES_HZ, 20, 5000]),
    stall_ns=up_to(120),
    sleeps=st.booleans(),
    extra_ns=st.lists(up_to(20), max_size=6).map(tuple),
    lost=st.frozensets(st.integers(0, 500), max_size=20),
    **PHASES,
)
def test_the_commit_time_is_what_the_rule_asks_for_after_any_stall(**drawn):
    """Wherever it falls between pulls and ticks, and whatever else is lost."""
    found_ns, rule_ns, _ = longest_commit(Case(**drawn))
    assert found_ns >= rule_ns


@settings(max_examples=examples(60), deadline=None)
@given(
    rate_hz=st.sampled_from(RATES_HZ),
    lost=st.sets(st.integers(0, 400), max_size=20),
    **PHASES,
)
def test_single_states_that_are_lost_change_nothing(rate_hz, lost, **phases):
    """A network without retransmission loses some always; and so does nothing at all."""
    single = frozenset(one for one in lost if one - 1 not in lost)
    case = Case(rate_hz, lost=single, **phases)
    for one in (case, replace(case, lost=frozenset())):
        found_ns, _, least_ns = longest_commit(one)
        assert found_ns == least_ns
