"""Chosen motions stay inside all limits in the controller's model; slow-down, splice, losses.

The limits are FR3's shipped defaults: 6 rad/s^2, 400 rad/s^3, half the velocity, 0.05 rad margin.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from oracle import (
    HOME,
    MS,
    QUIET,
    START_NS,
    Events,
    Network,
    Policy,
    Record,
    assert_lawful,
    assert_spliced,
    count_held_joints,
    fr3_limits,
    moved,
    play,
    run,
    wander,
)

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.guard import Verdict
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import CLOCK_OFFSET_NS, ReplaySettings
from gr00t_ros.motion.sampler import JtcSampler, Trajectory
from gr00t_ros.robot.limits import JointLimits


@pytest.mark.parametrize("step_ms", [-50, 50])
def test_a_step_of_the_robots_clock_is_harmless(step_ms: int) -> None:
    """The plan is on steady time; only the stamps follow the clock."""
    network = Network(step_at_ns=START_NS + 1500 * MS, step_ns=step_ms * MS)
    record, _ = run(Policy(wander(3)), network)
    assert moved(record) > 0.05


@pytest.mark.parametrize(
    ("step_ms", "from_desired", "most_rad"),
    [
        (2000, False, 0.0),  # in the controller's past: refused, the next one is right
        (10, False, 0.006),
        (-10, False, 0.006),
        (50, True, 0.030),
        (-50, True, 0.030),
        (-2000, False, 0.030),  # what the arm lags behind: the controller starts where it measures
        (-2000, True, 0.0),
    ],
)
def test_a_step_of_the_robots_clock_while_a_window_is_under_way(
    step_ms: int, from_desired: bool, most_rad: float
) -> None:
    """What remains (docs/motion.md): that window is played at another time, until the next one.

    The arm jumps at once by what the policy moves in the clock's step; at 0.6 rad/s here.
    """
    network = Network(
        lost=0.0, step_at_ns=START_NS + 1439 * MS, step_ns=step_ms * MS, step_in_flight=True
    )
    limits = fr3_limits(jump=1.0)
    replay = Replay(limits, ReplaySettings())
    events = Policy(wander(3)).events(replay, 3000 * MS, 3)
    record = play(replay, events, 3000 * MS, network, 3, from_desired=from_desired)
    assert len(record.rejections) == (step_ms == 2000)
    lawful_rad = float(np.abs(record.derivative(1)).max()) if most_rad == 0.0 else 0.0
    jump_rad = float(np.abs(np.diff(record.position, axis=0)).max())
    assert jump_rad > 0.003 if most_rad else lawful_rad < 1.1
    assert jump_rad < max(most_rad, 0.0015)


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
    verdicts: list[Verdict] = []
    policy = Policy(to_the_limits(period_s))
    record, _ = run(policy, Network(), duration_ms=12_000, verdicts=verdicts)
    assert any(verdict.clamped for verdict in verdicts)
    limits = fr3_limits()
    room = np.minimum(limits.upper - record.position, record.position - limits.lower)
    assert room.min() < limits.margin[0] + 0.02


def test_a_policy_that_is_too_fast_is_slowed_for_all_joints_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The path stays; only its time stretches, and the lag says by how much."""
    held = count_held_joints(monkeypatch)
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
    assert held and not any(held)
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
    assert_spliced(record)


@pytest.mark.parametrize("offset_ms", [-CLOCK_OFFSET_NS / MS, CLOCK_OFFSET_NS / MS])
def test_a_robots_clock_that_is_allowed_to_differ_does_no_harm(offset_ms: float) -> None:
    """Either way."""
    run(Policy(wander(3)), Network(offset_ns=round(offset_ms) * MS))


@pytest.mark.parametrize("offset_ms", [-80, 200])
def test_the_oracle_sees_a_robots_clock_that_differs_more(offset_ms: int) -> None:
    """Behind, each window begins in its future; ahead, it comes too late: steps of the arm."""
    with pytest.raises(AssertionError, match="acceleration|velocity"):
        run(Policy(wander(3)), Network(jitter_ns=2 * MS, lost=0.0, offset_ns=offset_ms * MS))


def test_a_chunk_in_motion_leaves_no_trace_of_its_sequence() -> None:
    """The same events give the same motion: nothing depends on time of day or on order of calls."""
    runs = [run(Policy(wander(4), disagreement=0.1), Network(), seed=7)[0] for _ in range(2)]
    np.testing.assert_array_equal(runs[0].position, runs[1].position)


class Listening(Replay):
    """Keeps the chunks that come."""

    def __init__(self, limits: JointLimits, chosen: ReplaySettings) -> None:
        super().__init__(limits, chosen)
        self.came: list[ActionChunk] = []

    def accept(self, chunk: ActionChunk, now_ns: int) -> Any:
        """As Replay's."""
        self.came.append(chunk)
        return super().accept(chunk, now_ns)


@pytest.mark.parametrize("rtc", [False, True])
def test_with_rtc_the_oracles_chunks_continue_the_one_that_is_followed(rtc: bool) -> None:
    """The steps that will be executed before a chunk acts are those of the one before, exactly."""
    limits = fr3_limits(jump=1.0)
    replay = Listening(limits, ReplaySettings())
    policy = Policy(wander(2, 0.1), disagreement=0.1, rtc=rtc)
    verdicts: list[Verdict] = []
    events = policy.events(replay, 4000 * MS, verdicts=verdicts)
    assert_lawful(play(replay, events, 4000 * MS, Network()), limits)
    chosen = replay.settings
    acts_ns = policy.latency_ns + chosen.commit_ns + chosen.knot_ns
    steps, executed = acts_ns // policy.step_ns + 1, policy.executed
    assert all(verdict.accepted for verdict in verdicts) and len(replay.came) >= 6
    for old, new in pairwise(replay.came):
        same = old.joints[executed : executed + steps] == new.joints[:steps]
        assert same.all() if rtc else not same.any()


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
