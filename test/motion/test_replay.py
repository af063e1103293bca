"""Replay starts, follows chunks, stops and resumes as the node asks, and reports its state."""

from dataclasses import replace

import numpy as np
import pytest
from laws import QUICK
from oracle import HOME, MS, Policy, assert_lawful, fr3_limits, play, wander
from oracle import Network as Net

from gr00t_ros.errors import PlanError, SettingsError
from gr00t_ros.motion import planner
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.plan import Window
from gr00t_ros.motion.reference import Reference
from gr00t_ros.motion.replay import Replay, SentParts
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.motion.sampler import JtcSampler
from gr00t_ros.robot.limits import JointLimits

START_NS = 1_000 * MS
STEP_NS = 50 * MS
QUIET = Net(jitter_ns=0, lost=0.0, doubled=0.0, tick_jitter_ns=0)


def started(settings: ReplaySettings | None = None) -> Replay:
    """A replay that holds home at START_NS."""
    replay = Replay(fr3_limits(), settings or ReplaySettings())
    replay.start(START_NS, HOME)
    return replay


def shift(rad: float, stamp_ns: int = START_NS, steps: int = 40, sequence: int = 0) -> ActionChunk:
    """A chunk that leads all joints `rad` away within 16 steps and stays there."""
    rows = HOME + rad * np.minimum(np.arange(steps) / 16, 1.0)[:, None]
    return ActionChunk(sequence, 1, stamp_ns, STEP_NS, rows, {})


def run(replay: Replay, from_ns: int, to_ns: int) -> list[Window]:
    """The windows of the ticks every 20 ms in [from_ns, to_ns)."""
    ticks = (replay.tick(now_ns) for now_ns in range(from_ns, to_ns, 20 * MS))
    return [window for window in ticks if window is not None]


def test_a_held_position_is_not_published() -> None:
    """At rest with nothing to follow there is nothing to say."""
    replay = started()
    assert run(replay, START_NS, START_NS + 500 * MS) == []
    assert replay.at_rest(START_NS)
    np.testing.assert_array_equal(replay.position(START_NS + 77), HOME)


def test_a_chunk_moves_the_arm_to_its_end_and_the_windows_cease() -> None:
    """From rest to rest; the last window has played out before the replay falls silent."""
    replay = started()
    assert replay.accept(shift(0.3), START_NS).accepted
    windows = run(replay, START_NS, START_NS + 4000 * MS)
    end_ns = replay.planner.courses[0].end_ns
    assert windows[-1].end_ns >= end_ns
    assert replay.at_rest(end_ns)
    assert not replay.at_rest(end_ns - 1)
    np.testing.assert_allclose(replay.position(end_ns), HOME + 0.3, atol=1e-3)
    assert end_ns < START_NS + 3500 * MS


def test_nothing_moves_before_the_commit_time_is_over() -> None:
    """What was said of the next 100 ms stays true, even if it was silence."""
    replay = started()
    replay.accept(shift(0.3), START_NS)
    window = replay.tick(START_NS)
    assert window is not None
    committed = window.times_ns + window.stamp_ns <= START_NS + 100 * MS
    np.testing.assert_array_equal(window.positions[committed], np.tile(HOME, (committed.sum(), 1)))


def test_a_window_reaches_from_the_past_over_the_horizon_to_rest() -> None:
    """50 ms back, 0.4 s ahead, then the tail."""
    replay = started()
    replay.accept(shift(0.3), START_NS)
    window = run(replay, START_NS, START_NS + 500 * MS)[-1]
    now_ns = START_NS + 480 * MS
    assert now_ns - 70 * MS < window.stamp_ns <= now_ns - 50 * MS
    assert window.horizon_ns == now_ns + 400 * MS
    assert window.end_ns > window.horizon_ns
    assert window.velocities is not None
    assert not window.velocities[-1].any()


def test_a_call_before_the_start_is_an_error() -> None:
    """No position is ever made up."""
    replay = Replay(fr3_limits(), ReplaySettings())
    with pytest.raises(PlanError, match="start"):
        replay.tick(START_NS)
    with pytest.raises(PlanError, match="start"):
        replay.accept(shift(0.1), START_NS)
    with pytest.raises(PlanError, match="start"):
        replay.position(START_NS)


def test_settings_that_contradict_are_refused_at_construction() -> None:
    """Nothing starts with them."""
    with pytest.raises(SettingsError, match="commit_ms"):
        Replay(fr3_limits(), replace(ReplaySettings(), commit_ns=60 * MS))


def test_a_refused_chunk_changes_nothing() -> None:
    """The plan goes on as if it had not come."""
    replay, twin = started(), started()
    for each in (replay, twin):
        assert each.accept(shift(0.3), START_NS).accepted
        run(each, START_NS, START_NS + 200 * MS)
    verdict = replay.accept(shift(9.0, START_NS + 100 * MS), START_NS + 200 * MS)
    assert not verdict.accepted
    ours = run(replay, START_NS + 200 * MS, START_NS + 800 * MS)
    theirs = run(twin, START_NS + 200 * MS, START_NS + 800 * MS)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)


def test_a_chunk_that_comes_after_its_last_step_is_late() -> None:
    """So a session counts it apart from what the guard refuses for its content."""
    replay = started()
    verdict = replay.accept(shift(0.1, steps=4), START_NS + 400 * MS)
    assert verdict.kind == "late"


def test_a_stop_in_motion_brings_the_arm_to_rest_at_once() -> None:
    """Committed motion plays, then the shortest stop; chunks are refused with its reason."""
    replay = started()
    replay.accept(shift(0.6), START_NS)
    run(replay, START_NS, START_NS + 500 * MS)
    stop_ns = START_NS + 500 * MS
    assert np.abs(replay.velocity(stop_ns)).max() > 0.5
    replay.stop(stop_ns, "camera frozen")
    assert not replay.at_rest(stop_ns)
    verdict = replay.accept(shift(0.6, stop_ns), stop_ns)
    assert (verdict.kind, verdict.reason) == ("stopped", "stopped: camera frozen")
    windows = run(replay, stop_ns, stop_ns + 1000 * MS)
    assert windows[-1].end_ns < stop_ns + 500 * MS
    assert replay.at_rest(windows[-1].end_ns)
    assert replay.remaining_ns(stop_ns) == 0


def test_a_stop_and_a_resume_go_on_from_the_tails_own_end() -> None:
    """Never re-seeded from a measured state: the plan's own position is where it goes on."""
    limits = fr3_limits(jump=1.0)
    replay = Replay(limits, ReplaySettings())
    policy = Policy(wander(2))
    events = policy.events(replay, 3000 * MS)
    events += [
        (START_NS + 1000 * MS, lambda now_ns: replay.stop(now_ns, "pause")),
        (START_NS + 1800 * MS, lambda _: replay.resume()),
    ]
    record = play(replay, events, 3000 * MS, QUIET)
    assert_lawful(record, limits)
    paused = record.position[1600:1800]
    np.testing.assert_array_equal(paused, np.broadcast_to(paused[0], paused.shape))
    assert np.abs(record.position[-1] - paused[0]).max() > 0.05


def test_a_stop_at_rest_is_over_soon() -> None:
    """Nothing moves, and at_rest comes back."""
    replay = started()
    replay.stop(START_NS, "deactivated")
    windows = run(replay, START_NS, START_NS + 400 * MS)
    assert windows
    np.testing.assert_array_equal(windows[-1].positions - HOME, 0.0)
    assert replay.at_rest(START_NS + 400 * MS)


def test_an_error_in_a_tick_leaves_the_plan_as_it_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is published, the last tail plays, and the next tick goes on lawfully."""
    limits = fr3_limits(jump=1.0)
    replay = Replay(limits, ReplaySettings())
    before = None

    def failing(*_: object) -> None:
        raise RuntimeError("bug")

    def break_once(now_ns: int) -> None:
        nonlocal before
        before = replay.position(now_ns + 50 * MS)
        with monkeypatch.context() as patch:
            patch.setattr(planner, "stop", failing)
            with pytest.raises(RuntimeError):
                replay.tick(now_ns)
        np.testing.assert_array_equal(replay.position(now_ns + 50 * MS), before)

    events = Policy(wander(2)).events(replay, 3000 * MS)
    events += [(START_NS + ms * MS, break_once) for ms in (305, 900, 901)]
    record = play(replay, events, 3000 * MS, QUIET)
    assert before is not None
    assert_lawful(record, limits)


def test_time_that_runs_back_is_an_error() -> None:
    """The plan's past is gone; the node has to start anew."""
    replay = started()
    replay.accept(shift(0.3), START_NS)
    run(replay, START_NS, START_NS + 600 * MS)
    with pytest.raises(PlanError, match="time ran back"):
        replay.tick(START_NS + 100 * MS)


def test_an_arm_that_a_stall_has_stopped_far_from_the_reference_stays_there() -> None:
    """The rest of the old chunk is dropped: catching up would be a motion nobody judged."""
    replay = started()
    rows = HOME + np.minimum(np.arange(40), 30)[:, None] * 0.04
    replay.accept(ActionChunk(0, 1, START_NS, STEP_NS, rows, {}), START_NS)
    run(replay, START_NS, START_NS + 300 * MS)
    resumed_ns = START_NS + 1500 * MS
    assert run(replay, resumed_ns, resumed_ns + 500 * MS) == []
    assert replay.at_rest(resumed_ns)
    assert replay.remaining_ns(resumed_ns) == 0


def test_an_arm_that_a_stall_has_stopped_near_the_reference_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within the jump that the guard allows, the reference begins anew where the arm is."""
    replay = started()
    replay.accept(shift(0.1), START_NS)
    run(replay, START_NS, START_NS + 300 * MS)
    resumed_ns = START_NS + 1300 * MS
    restarts, restart = [], Reference.restart
    monkeypatch.setattr(
        Reference, "restart", lambda *args: restarts.append(args[1:]) or restart(*args)
    )
    windows = run(replay, resumed_ns, resumed_ns + 1500 * MS)
    assert len(restarts) == 1
    np.testing.assert_allclose(windows[-1].positions[-1], HOME + 0.1, atol=1e-3)


def test_consumed_steps_are_those_since_the_query() -> None:
    """When a chunk arrives and takes over does not matter; nor a picture that was old already."""
    replay = started()
    assert replay.consumed_at_ns(1) is None
    replay.accept(shift(0.1, steps=20), START_NS + 120 * MS)
    assert replay.consumed_at_ns(0) is None
    assert replay.consumed_at_ns(1) == START_NS + 50 * MS
    assert replay.consumed_at_ns(19) == START_NS + 950 * MS
    assert replay.consumed_at_ns(20) is None
    asked_ns = START_NS + 130 * MS
    replay.accept(replace(shift(0.1, steps=20), asked_ns=asked_ns), START_NS + 150 * MS)
    assert replay.consumed_at_ns(1) == asked_ns + 50 * MS
    rolled = replace(shift(0.1, steps=20), asked_ns=asked_ns, rolled_ns=-300 * MS)
    replay.accept(rolled, START_NS + 160 * MS)
    assert replay.consumed_at_ns(1) == START_NS + 350 * MS


def test_the_remaining_reference_and_the_latest_query_follow_from_the_chunks_end() -> None:
    """Query by: end - latency - commit - 20 ms."""
    replay = started()
    assert replay.remaining_ns(START_NS) == 0
    assert replay.query_by_ns(100 * MS) is None
    replay.accept(shift(0.1, steps=21), START_NS)
    assert replay.remaining_ns(START_NS + 300 * MS) == 700 * MS
    assert replay.remaining_ns(START_NS + 1300 * MS) == 0
    assert replay.query_by_ns(150 * MS) == START_NS + 730 * MS


def test_a_grippers_step_command_closes_it_smoothly() -> None:
    """The jump is unchecked, the motion is not; and it never closes before it is told to."""
    limits = JointLimits(
        names=("gripper",),
        lower=np.array([0.0]),
        upper=np.array([0.8]),
        velocity=np.array([2.0]),
        acceleration=np.array([10.0]),
        jerk=np.array([400.0]),
        margin=np.array([0.0]),
        jump=np.array([np.inf]),
        held=np.array([np.inf]),
        envelope=np.full((1, 4), np.nan),
    )
    replay = Replay(limits, replace(ReplaySettings(), velocity_scale=1.0))
    rows = np.where(np.arange(40) < 10, 0.0, 0.8)[:, None]
    chunk = ActionChunk(0, 1, START_NS, STEP_NS, rows, {})
    events = [(START_NS, lambda now_ns: replay.accept(chunk, now_ns))]
    record = play(replay, events, 2500 * MS, QUIET, held=np.zeros(1))
    assert_lawful(record, limits, velocity_scale=1.0)
    np.testing.assert_array_equal(record.position[:450], 0.0)
    assert record.at(START_NS + 1900 * MS)[0] > 0.79
    assert record.position.max() <= 0.8 + 1e-4
    assert record.position.min() >= -1e-4


def test_extending_the_plan_is_the_same_as_planning_it_anew() -> None:
    """Only what a new chunk changes is computed again, to the last bit."""
    extending, anew = started(), started()
    for now_ns in range(START_NS, START_NS + 2000 * MS, 20 * MS):
        for replay in (extending, anew):
            if (now_ns - START_NS) % (400 * MS) == 0:
                chunk = shift(0.02 * (now_ns // MS % 7), now_ns)
                assert replay.accept(chunk, now_ns).accepted
        anew.planner._replan = True
        one, other = extending.tick(now_ns), anew.tick(now_ns)
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.positions, other.positions)


def test_what_was_sent_is_told_for_the_time_that_windows_reach_back() -> None:
    """As the sampler plays it, position and velocity; before that it is no longer kept."""
    replay = started()
    assert replay.sent(START_NS - 21 * MS) is None
    assert replay.accept(shift(0.2), START_NS).accepted
    windows = run(replay, START_NS, START_NS + 500 * MS)
    now_ns = START_NS + 480 * MS
    sampler = JtcSampler(7, interpolate_from_desired_state=True)
    sampler.accept(windows[-1], now_ns, HOME)
    for at_ns in range(now_ns, now_ns + 200 * MS, 7 * MS):
        position, velocity = replay.sent(at_ns)
        played = sampler.sample(at_ns)
        np.testing.assert_allclose(position, played[0], atol=1e-9)
        np.testing.assert_allclose(velocity, played[1], atol=1e-7)
    assert replay.sent(now_ns - 50 * MS) is not None
    assert replay.sent(now_ns - 80 * MS) is None


def moving(ticks: int = 15) -> Replay:
    """A replay in motion towards a chunk, all windows sent."""
    replay = Replay(fr3_limits(), ReplaySettings())
    replay.start(START_NS, HOME)
    ramp = HOME + 0.3 * np.minimum(np.arange(40) / 16, 1.0)[:, None]
    assert replay.accept(ActionChunk(0, 1, START_NS, 50 * MS, ramp, {}), START_NS).accepted
    for k in range(ticks):
        assert replay.tick(START_NS + k * 20 * MS) is not None
    return replay


def rows_of(window) -> np.ndarray:
    """Everything that a window says, (N, 3 J)."""
    return np.hstack([window.positions, window.velocities, window.accelerations])


def test_a_window_that_did_not_leave_is_no_part_of_the_plan() -> None:
    """The next one is as if it had never been made: what is sent is what is planned on."""
    for stopping in (False, True):
        replay, other = moving(), moving()
        now_ns = START_NS + 300 * MS
        for one in (replay, other):
            if stopping:
                one.stop(now_ns, "a test")
        for late_ns in range(0, 60 * MS, 20 * MS):
            assert replay.propose(now_ns + late_ns) is not None
        later_ns = now_ns + 80 * MS
        np.testing.assert_array_equal(replay.position(later_ns), other.position(later_ns))
        one, two = replay.tick(later_ns), other.tick(later_ns)
        np.testing.assert_array_equal(rows_of(one), rows_of(two))


def test_a_stop_that_did_not_leave_is_asked_for_again() -> None:
    """It is not at rest before it was sent."""
    replay = moving()
    now_ns = START_NS + 300 * MS
    replay.stop(now_ns, "a test")
    long = replay.motion_left_ns(now_ns)
    replay.propose(now_ns)
    assert replay.motion_left_ns(now_ns) == long
    replay.tick(now_ns + 20 * MS)
    assert replay.motion_left_ns(now_ns) < long


def test_joints_whose_message_left_go_on_and_the_others_as_they_were_sent() -> None:
    """A process that stops between two outputs; each joint is lawful by itself, and at rest."""
    replay, other = moving(), moving()
    now_ns = START_NS + 300 * MS
    replay.stop(now_ns, "a test")
    new = replay.propose(now_ns)
    left = np.arange(7) < 3
    replay.keep(SentParts(left, np.empty(0, bool), frozenset()))
    for at_ns in range(now_ns, now_ns + 900 * MS, 20 * MS):
        row = min((at_ns - new.stamp_ns) // (20 * MS), len(new.times_ns) - 1)
        was = other.position(at_ns)
        np.testing.assert_array_equal(
            replay.position(at_ns), np.where(left, new.positions[row], was)
        )
    end = replay.motion_left_ns(now_ns)
    assert end == other.motion_left_ns(now_ns)
    assert replay.tick(now_ns + 20 * MS) is not None  # the stop of the others is still to be said
    assert replay.motion_left_ns(now_ns) < end


def test_a_window_says_up_to_when_it_may_arrive_unnoticed() -> None:
    """Up to its commit time where the motion is new, else up to the old one's horizon."""
    replay = moving()
    now_ns = START_NS + 300 * MS
    following = replay.propose(now_ns)
    assert following.same_until_ns >= now_ns + 300 * MS  # the same chunk as before
    replay.keep()
    replay.stop(now_ns + 20 * MS, "a test")
    assert replay.propose(now_ns + 20 * MS).same_until_ns == now_ns + 120 * MS


@pytest.mark.parametrize("from_desired", [False, True])
@pytest.mark.parametrize("stopping", [False, True])
def test_a_window_that_arrives_as_late_as_it_says_is_lawful(
    stopping: bool, from_desired: bool
) -> None:
    """What no check can see, a stall between the check and the kernel: up to the commit time."""
    limits, late = fr3_limits(), []
    for late_ns in range(0, 160 * MS, (20 if QUICK else 4) * MS):
        replay, jtc = moving(ticks=0), JtcSampler(7, interpolate_from_desired_state=from_desired)
        jtc.hold(HOME)
        held_back, position = None, []
        for index in range(900):
            now_ns = START_NS + index * MS
            if index <= 300 and index % 20 == 0:
                if index == 300 and stopping:
                    replay.stop(now_ns, "a test")
                window = replay.tick(now_ns)
                if index == 300:
                    held_back = window
                else:
                    assert jtc.accept(window, now_ns, HOME) is None
            if held_back is not None and now_ns == START_NS + 300 * MS + late_ns:
                assert jtc.accept(held_back, now_ns, position[-1]) is None
            position.append(jtc.sample(now_ns)[0])
        second = np.diff(np.array(position), n=2, axis=0) * 1e6
        lawful = bool((np.abs(second) <= limits.acceleration * (1 + 1e-3)).all())
        if START_NS + 300 * MS + late_ns <= held_back.same_until_ns:
            assert lawful, f"{late_ns / MS} ms late"
        late.append(lawful)
    assert all(late) is not stopping  # the sampler does see one that is too late
