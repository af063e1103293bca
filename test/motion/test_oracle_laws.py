"""Whatever policy, network and node do, the controller's samples stay inside every limit.

The limits are FR3's shipped defaults: 6 rad/s^2, 400 rad/s^3, half the velocity, 0.05 rad margin.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from laws import examples
from oracle import (
    MS,
    START_NS,
    Network,
    Policy,
    assert_lawful,
    fr3_limits,
    moved,
    play,
    run,
    wander,
)

from gr00t_ros.motion.guard import Verdict
from gr00t_ros.motion.reference import MERGES
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings

SHORT = settings(
    max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
LONG = settings(
    max_examples=examples(1500), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

FORMS = st.sampled_from([(16, 33_333_333), (40, 66_666_667), (50, 50 * MS)])
SEEDS = st.integers(0, 10_000)
POLICIES = st.builds(
    lambda form, path, latency, jitter, executed, wrong, speed, rtc: Policy(
        wander(path, speed), *form, latency * MS, jitter * MS, executed, wrong, rtc
    ),
    FORMS,
    SEEDS,
    st.integers(60, 500),
    st.integers(0, 60),
    st.sampled_from([4, 8, 16]),
    st.sampled_from([0.0, 0.02, 0.1, 0.3]),
    st.sampled_from([0.1, 0.5, 1.2]),
    st.booleans(),
)
# Every combination keeps the commit rule: (lost + 1) * refresh + jitter + |offset| + 2 ms.
NETWORKS = st.builds(
    lambda jitter, offset, tick, extra: Network(
        jitter_ns=jitter * MS, offset_ns=offset * MS, tick_jitter_ns=tick * MS, extra=extra
    ),
    st.sampled_from([0, 5, 20]),
    st.integers(-30, 30),
    st.integers(0, 6),
    st.sampled_from([0.0, 0.5, 1.0]),
)


def _check_any_policy_and_network(
    policy: Policy, network: Network, seed: int, merge: str, knot_ms: int, from_desired: bool
) -> None:
    chosen = ReplaySettings(merge=merge, knot_ns=knot_ms * MS)  # type: ignore[arg-type]
    limits = fr3_limits(jump=1.0)
    replay, early = Replay(limits, chosen), []
    verdicts: list[Verdict] = []
    # a chunk that comes just before the end moves nothing until it
    half = (START_NS + 1500 * MS, lambda _: early.append(sum(one.accepted for one in verdicts)))
    events = [*policy.events(replay, 3000 * MS, seed, verdicts=verdicts), half]
    record = play(replay, events, 3000 * MS, network, seed, from_desired=from_desired)
    assert_lawful(record, limits)
    assert early == [0] or moved(record) > 1e-3


ANY = {
    "policy": POLICIES,
    "network": NETWORKS,
    "seed": SEEDS,
    "merge": st.sampled_from(MERGES),
    "knot_ms": st.sampled_from([10, 20]),
    "from_desired": st.booleans(),
}


@SHORT
@given(st.fixed_dictionaries(ANY))
def test_no_policy_and_no_network_breaks_a_limit(drawn: dict[str, Any]) -> None:
    """Disagreeing chunks, or continued ones; latency, lost, late, doubled and overtaken windows."""
    _check_any_policy_and_network(**drawn)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@LONG
@given(st.fixed_dictionaries(ANY))
def test_no_policy_and_no_network_breaks_a_limit_for_long(drawn: dict[str, Any]) -> None:
    """The same, many times."""
    _check_any_policy_and_network(**drawn)


def _check_death(policy: Policy, network: Network, seed: int, death_ms: int) -> None:
    death_ns = START_NS + death_ms * MS
    record, _ = run(policy, replace(network, death_ns=death_ns), seed, duration_ms=3200)
    if not record.windows:
        return
    # the controller's clock, and with it the last window's end, may be off by the offset
    rest_ns = max(window.end_ns for window in record.windows) + 31 * MS
    assert rest_ns - death_ns <= 1000 * MS
    after = record.position[(rest_ns - START_NS) // MS :]
    np.testing.assert_array_equal(after, np.broadcast_to(after[0], after.shape))


DEATHS = {
    "policy": POLICIES,
    "network": NETWORKS,
    "seed": SEEDS,
    "death_ms": st.integers(100, 2000),
}


@SHORT
@given(st.fixed_dictionaries(DEATHS))
def test_a_node_that_dies_leaves_the_arm_at_rest_within_the_tail(drawn: dict[str, Any]) -> None:
    """At any instant; nothing but the last window that arrived is needed for it."""
    _check_death(**drawn)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@LONG
@given(st.fixed_dictionaries(DEATHS))
def test_a_node_that_dies_leaves_the_arm_at_rest_for_long(drawn: dict[str, Any]) -> None:
    """The same, many times."""
    _check_death(**drawn)


def _check_stall(policy: Policy, network: Network, seed: int, at_ms: int, for_ms: int) -> None:
    stalls = ((START_NS + at_ms * MS, for_ms * MS),)
    # The last window before a stall has to arrive and to be played: that it is lost, or that an
    # earlier one replaces it, is beyond the commit rule. A reader of DDS drops the earlier one.
    network = replace(network, stalls=stalls, lost=0.0, in_order=True)
    run(policy, network, seed, duration_ms=3500)


# An extra tick soon after a regular one, whose windows would change places on the way.
OVERTAKEN = {
    "policy": Policy(wander(0, 0.1), 16, 33_333_333, 170 * MS, 0, 4, 0.0),
    "network": Network(jitter_ns=20 * MS, tick_jitter_ns=1 * MS, extra=0.5),
    "seed": 1,
    "at_ms": 1021,
    "for_ms": 150,
}


STALLS = {
    "policy": POLICIES,
    "network": NETWORKS,
    "seed": SEEDS,
    "at_ms": st.integers(300, 2000),
    "for_ms": st.sampled_from([60, 150, 450, 1000]),
}


@SHORT
@example(OVERTAKEN)
@given(st.fixed_dictionaries(STALLS))
def test_a_node_that_stalls_goes_on_from_its_own_tail(drawn: dict[str, Any]) -> None:
    """Shorter and longer than commit and horizon; chunks that came meanwhile come all at once."""
    _check_stall(**drawn)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@LONG
@given(st.fixed_dictionaries(STALLS))
def test_a_node_that_stalls_goes_on_from_its_own_tail_for_long(drawn: dict[str, Any]) -> None:
    """The same, many times."""
    _check_stall(**drawn)


def _check_unrest(
    policy: Policy, network: Network, seed: int, stops_ms: list[int], pause_ms: int
) -> None:
    limits = fr3_limits(jump=1.0)
    replay = Replay(limits, ReplaySettings())
    rng = np.random.default_rng(seed)
    chunks = policy.events(replay, 3500 * MS, seed)
    # some answers get lost, some overtake others
    events = [(at_ns + int(rng.integers(0, 150)) * MS, call) for at_ns, call in chunks]
    events = [event for event in events if rng.random() > 0.2]
    for at_ms in stops_ms:
        at_ns = START_NS + at_ms * MS
        events.append((at_ns, lambda now_ns: replay.stop(now_ns, "new instruction")))
        events.append((at_ns + pause_ms * MS, lambda _: replay.resume()))
    record = play(replay, events, 3500 * MS, network, seed)
    assert_lawful(record, limits)


UNREST = {
    "policy": POLICIES,
    "network": NETWORKS,
    "seed": SEEDS,
    "stops_ms": st.lists(st.integers(200, 3000), min_size=1, max_size=4),
    "pause_ms": st.sampled_from([0, 40, 400]),
}


@SHORT
@given(st.fixed_dictionaries(UNREST))
def test_stops_pauses_and_reordered_answers_stay_inside_the_limits(drawn: dict[str, Any]) -> None:
    """A new instruction stops the arm and goes on at once, soon or later."""
    _check_unrest(**drawn)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@LONG
@given(st.fixed_dictionaries(UNREST))
def test_stops_pauses_and_reordered_answers_stay_lawful_for_long(drawn: dict[str, Any]) -> None:
    """The same, many times."""
    _check_unrest(**drawn)
