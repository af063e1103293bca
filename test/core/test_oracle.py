"""Whatever policy, network and node do, the controller's samples stay inside every limit.

The limits are FR3's shipped defaults: 6 rad/s^2, 400 rad/s^3, half the velocity, 0.05 rad margin.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import (
    HOME,
    MS,
    Events,
    Network,
    Policy,
    Record,
    assert_lawful,
    fr3_limits,
    play,
    wander,
)

from gr00t_ros.core.chunk import ActionChunk
from gr00t_ros.core.reference import MERGES
from gr00t_ros.core.replay import Replay, ReplaySettings
from gr00t_ros.core.sampler import JtcSampler, Trajectory

START_NS = 1_000 * MS
QUIET = Network(jitter_ns=0, lost=0.0, doubled=0.0, tick_jitter_ns=0)
SHORT = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONG = settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])

FORMS = st.sampled_from([(16, 33_333_333), (40, 66_666_667), (50, 50 * MS)])
SEEDS = st.integers(0, 10_000)
POLICIES = st.builds(
    lambda form, path, latency, jitter, executed, wrong, speed: Policy(
        wander(path, speed), *form, latency * MS, jitter * MS, executed, wrong
    ),
    FORMS,
    SEEDS,
    st.integers(60, 500),
    st.integers(0, 60),
    st.sampled_from([4, 8, 16]),
    st.sampled_from([0.0, 0.02, 0.1, 0.3]),
    st.sampled_from([0.1, 0.5, 1.2]),
)
# Every combination keeps the commit rule: (lost + 1) * refresh + jitter + |offset| + 2 ms.
NETWORKS = st.builds(
    lambda jitter, offset, tick: Network(
        jitter_ns=jitter * MS, offset_ns=offset * MS, tick_jitter_ns=tick * MS
    ),
    st.sampled_from([0, 5, 20]),
    st.integers(-30, 30),
    st.integers(0, 6),
)


def run(
    policy: Policy,
    network: Network = QUIET,
    seed: int = 0,
    duration_ms: int = 4000,
    extra: Events | None = None,
    chosen: ReplaySettings | None = None,
    **play_options: Any,
) -> tuple[Record, Replay]:
    """Play a policy; chunks may jump by 1 rad, so that the guard leaves the work to the shaper."""
    limits = fr3_limits(jump=1.0)
    replay = Replay(limits, chosen or ReplaySettings())
    events = policy.events(replay, duration_ms * MS, seed) + (extra or [])
    record = play(replay, events, duration_ms * MS, network, seed, **play_options)
    assert_lawful(record, limits)
    return record, replay


def moved(record: Record) -> float:
    """Farthest distance from the start, rad."""
    return float(np.abs(record.position - HOME).max())


def _check_any_policy_and_network(
    policy: Policy, network: Network, seed: int, merge: str, knot_ms: int, from_desired: bool
) -> None:
    chosen = ReplaySettings(merge=merge, knot_ns=knot_ms * MS)  # type: ignore[arg-type]
    record, replay = run(
        policy, network, seed, duration_ms=3000, chosen=chosen, from_desired=from_desired
    )
    assert replay.counts.accepted == 0 or moved(record) > 1e-3


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
    """Disagreeing chunks, latency, lost, late, doubled and overtaken windows, clock offsets."""
    _check_any_policy_and_network(**drawn)


@pytest.mark.soak
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
@LONG
@given(st.fixed_dictionaries(DEATHS))
def test_a_node_that_dies_leaves_the_arm_at_rest_for_long(drawn: dict[str, Any]) -> None:
    """The same, many times."""
    _check_death(**drawn)


def _check_stall(policy: Policy, network: Network, seed: int, at_ms: int, for_ms: int) -> None:
    stalls = ((START_NS + at_ms * MS, for_ms * MS),)
    # The last window before a stall has to arrive: its loss is beyond the commit rule.
    run(policy, replace(network, stalls=stalls, lost=0.0), seed, duration_ms=3500)


STALLS = {
    "policy": POLICIES,
    "network": NETWORKS,
    "seed": SEEDS,
    "at_ms": st.integers(300, 2000),
    "for_ms": st.sampled_from([60, 150, 450, 1000]),
}


@SHORT
@given(st.fixed_dictionaries(STALLS))
def test_a_node_that_stalls_goes_on_from_its_own_tail(drawn: dict[str, Any]) -> None:
    """Shorter and longer than commit and horizon; chunks that came meanwhile come all at once."""
    _check_stall(**drawn)


@pytest.mark.soak
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
@LONG
@given(st.fixed_dictionaries(UNREST))
def test_stops_pauses_and_reordered_answers_stay_lawful_for_long(drawn: dict[str, Any]) -> None:
    """The same, many times."""
    _check_unrest(**drawn)


@pytest.mark.parametrize("step_ms", [-50, 50])
def test_a_step_of_the_robots_clock_is_harmless(step_ms: int) -> None:
    """The plan is on steady time; only the stamps follow the clock."""
    network = Network(step_at_ns=START_NS + 1500 * MS, step_ns=step_ms * MS)
    record, _ = run(Policy(wander(3)), network)
    assert moved(record) > 0.05


def to_the_limits(period_s: float) -> Any:
    """A path that swings 0.04 rad beyond both shrunk position limits of every joint."""
    limits = fr3_limits()
    middle = (limits.upper + limits.lower) / 2 - HOME
    reach = (limits.upper - limits.lower) / 2 - limits.margin + 0.04

    def path(seconds: np.ndarray) -> np.ndarray:
        t = np.asarray(seconds)[:, None]
        ease = np.clip(t / 4, 0, 1)
        ease = ease * ease * (3 - 2 * ease)
        return np.asarray(ease * (middle + reach * np.sin(2 * np.pi * t / period_s)))

    return path


@pytest.mark.parametrize("period_s", [10.0, 14.0])
def test_a_policy_that_drives_into_the_limits_is_slowed_not_clipped(period_s: float) -> None:
    """Chunks up to 0.04 rad outside are clamped; acceleration and jerk hold at the limit too."""
    record, replay = run(Policy(to_the_limits(period_s)), Network(), duration_ms=12_000)
    assert replay.counts.clamped > 0
    limits = fr3_limits()
    room = np.minimum(limits.upper - record.position, record.position - limits.lower)
    assert room.min() < limits.margin[0] + 0.02


def test_a_policy_that_is_too_fast_is_slowed_for_all_joints_together() -> None:
    """The path stays; only its time stretches, and the lag says by how much."""
    ramp = np.array([1.0, 0.5, 0, 0, 0, 0, 0])

    def path(seconds: np.ndarray) -> np.ndarray:
        t = np.clip(np.asarray(seconds)[:, None] - 0.5, 0, 0.6)
        return np.asarray(t * 2.4 * ramp)

    record, replay = run(Policy(path, disagreement=0.0, executed=40), duration_ms=3500)
    way = record.position - HOME
    fast = record.derivative(1)[:, 0] > 0.8
    assert fast.sum() > 300
    np.testing.assert_allclose(way[1:][fast, 1], way[1:][fast, 0] / 2, atol=0.02)
    lags = [replay.lag_ns(START_NS + ms * MS) for ms in range(0, 3500, 20)]
    assert replay.counts.held_joints == 0
    assert max(lags) == 0  # the slow-down is caught up by the end of the path
    np.testing.assert_allclose(way[-1, :2], [1.44, 0.72], atol=1e-3)


def test_the_reference_is_followed_closely() -> None:
    """Preview makes up for the filter's lag: 0.01 rad rms on a path of 0.5 rad/s."""
    policy = Policy(wander(5), disagreement=0.0)
    record, _ = run(policy, Network(), duration_ms=6000)
    seconds = np.arange(len(record.position)) * 1e-3
    error = record.position - HOME - policy.path(seconds)
    assert np.sqrt((error[1500:] ** 2).mean()) < 0.01


def test_the_oracle_sees_a_window_that_comes_after_its_commit_time() -> None:
    """Commit is a hard deadline: 200 ms beyond the rule the same policy breaks the limits."""
    policy = Policy(wander(1), disagreement=0.3)
    with pytest.raises(AssertionError, match="acceleration|jerk|velocity"):
        run(policy, Network(jitter_ns=300 * MS))


def test_the_oracle_sees_what_a_whole_chunk_on_arrival_does() -> None:
    """Positions only, straight to the controller: far above 6 rad/s^2."""
    chunk = Policy(wander(1)).path(np.arange(16) / 30)
    jtc = JtcSampler(7)
    jtc.hold(HOME)
    times_ns = np.arange(16, dtype=np.int64) * 33_333_333
    assert jtc.accept(Trajectory(0, times_ns, HOME + chunk), 0, HOME) is None
    record = Record(0, np.array([jtc.sample(ms * MS)[0] for ms in range(600)]), [])
    with pytest.raises(AssertionError, match="acceleration"):
        assert_lawful(record, fr3_limits())


def test_the_oracle_sees_a_stall_after_a_lost_window() -> None:
    """Stall and loss together are beyond the commit rule: only the controller's state tells."""
    stall = ((START_NS + 461 * MS, 150 * MS),)
    policy = Policy(wander(0, speed=0.1), 16, 33_333_333, 60 * MS, 0, 4, 0.0)
    with pytest.raises(AssertionError, match="acceleration"):
        run(policy, Network(0, doubled=0.0, tick_jitter_ns=0, stalls=stall), seed=1)


def test_each_window_repeats_the_one_before_it_up_to_its_commit_time() -> None:
    """The splice is exact to the last bit, past knots included (design decision 12)."""
    record, _ = run(Policy(wander(2), disagreement=0.1))
    knot_ns = 20 * MS
    for earlier, later in zip(record.windows, record.windows[1:], strict=False):
        now_ns = later.stamp_ns + 50 * MS
        until_ns = now_ns + 100 * MS - 20 * MS
        knots = np.arange(later.stamp_ns, until_ns + 1, knot_ns)
        for name in ("positions", "velocities", "accelerations"):
            rows = [
                getattr(w, name)[np.searchsorted(w.times_ns + w.stamp_ns, knots)]
                for w in (earlier, later)
            ]
            np.testing.assert_array_equal(*rows)


def test_a_chunk_in_motion_leaves_no_trace_of_its_sequence() -> None:
    """The same events give the same motion: nothing depends on time of day or on order of calls."""
    runs = [run(Policy(wander(4), disagreement=0.1), Network(), seed=7)[0] for _ in range(2)]
    np.testing.assert_array_equal(runs[0].position, runs[1].position)


def test_an_answer_that_comes_after_the_stop_moves_nothing() -> None:
    """The chunk is refused until the node resumes."""
    limits = fr3_limits()
    replay = Replay(limits, ReplaySettings())
    late = ActionChunk(1, 1, START_NS, 50 * MS, HOME + np.full((40, 7), 0.1), {})
    verdicts = []
    events: Events = [
        (START_NS, lambda now_ns: replay.stop(now_ns, "operator")),
        (START_NS + 300 * MS, lambda now_ns: verdicts.append(replay.accept(late, now_ns))),
    ]
    record = play(replay, events, 2000 * MS, QUIET)
    assert verdicts[0].kind == "stopped"
    np.testing.assert_array_equal(record.position, np.broadcast_to(HOME, record.position.shape))
