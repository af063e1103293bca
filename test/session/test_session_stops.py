"""Pauses end by themselves, faults only by a reset, and a deactivation ends in waiting."""

from dataclasses import replace

import numpy as np
import pytest
from laws import QUICK
from oracle import HOME, MS, fr3_limits
from session_rig import (
    ACTIVE,
    ADRIFT,
    DROP,
    FAULT,
    HELD_MODES,
    INACTIVE,
    PAUSE,
    TICK_NS,
    Rig,
    at_mode,
)

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.replay import Replay, SentParts
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.motion.sampler import JtcSampler
from gr00t_ros.session.mode import Mode
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.session.session import Session
from gr00t_ros.watch.arm import windows_may_be_lost
from gr00t_ros.watch.finding import Finding, Reaction

# Pauses.


@pytest.mark.parametrize(
    "mode", [m for m in ACTIVE if m not in (Mode.FAULT, Mode.PAUSED_BY_OPERATOR)]
)
def test_a_pause_finding_stops_every_active_mode_into_paused(mode) -> None:
    """And stays there as long as it is found."""
    rig = at_mode(mode)
    rig.until(Mode.PAUSED, findings=(PAUSE,))
    assert not rig.session.replay.velocity(rig.now_ns).any()
    assert rig.tick(PAUSE, count=50) == []
    assert (rig.mode, rig.session.reason) == (Mode.PAUSED, PAUSE.reason)


def test_a_pause_ends_by_itself_with_a_new_episode_after_so_many_healthy_ticks() -> None:
    """Ten; the arm stays until a chunk of the new episode comes."""
    rig = Rig().paused()
    old = rig.session.episode
    rig.tick(count=9)
    assert (rig.mode, rig.session.episode) == (Mode.PAUSED, old)
    assert rig.tick() == []
    assert (rig.mode, rig.session.episode) == (Mode.BLENDING_IN, old + 1)
    assert rig.session.query_due(rig.now_ns)
    assert rig.merge(episode=old).kind == "unwanted"
    assert rig.tick(count=50) == []
    rig.held = rig.session.replay.position(rig.now_ns)
    assert rig.merge().accepted
    rig.until(Mode.REPLAYING)


def test_a_starved_node_is_the_reason_for_a_while_and_then_what_is_still_wrong() -> None:
    """Two seconds of ticks: what a stall made old is well again by then."""
    starved = Finding(
        "replay_starvation", Reaction.PAUSE, "replay thread: 0.50 s between two ticks"
    )
    old = Finding("stream_age", Reaction.PAUSE, "video.wrist: newest sample is 9.00 s old")
    rig = at_mode(Mode.REPLAYING)
    rig.tick(starved, old)
    rig.tick(old, count=100)
    assert rig.session.reason == starved.reason
    rig.tick(old)
    assert (rig.mode, rig.session.reason) == (Mode.PAUSED, old.reason)


def test_one_unhealthy_tick_begins_the_wait_anew() -> None:
    """Nine healthy, one not, nine healthy: still paused."""
    rig = Rig().paused()
    rig.tick(count=9)
    rig.tick(PAUSE)
    rig.tick(count=9)
    assert rig.mode is Mode.PAUSED
    rig.tick()
    assert rig.mode is Mode.BLENDING_IN


def test_healthy_ticks_during_the_stop_do_not_count() -> None:
    """Nor those of an earlier pause."""
    rig = Rig().paused()
    rig.tick(count=9)
    rig.tick(PAUSE)
    rig.until(Mode.BLENDING_IN)
    rig.held = rig.session.replay.position(rig.now_ns)
    rig.merge()
    rig.until(Mode.REPLAYING)
    rig.tick(PAUSE)
    rig.until(Mode.PAUSED)
    rig.tick(count=9)
    assert rig.mode is Mode.PAUSED


def test_a_drop_finding_stops_nothing() -> None:
    """It concerns a chunk."""
    rig = Rig().moving()
    rig.tick(DROP, count=3)
    assert rig.mode is Mode.REPLAYING


# Faults and reset.


@pytest.mark.parametrize("order", [(PAUSE, FAULT), (FAULT, PAUSE), (FAULT,), (DROP, PAUSE, FAULT)])
@pytest.mark.parametrize("mode", ACTIVE)
def test_a_fault_finding_stops_every_active_mode_into_the_fault(mode, order) -> None:
    """Whatever else is found, in any order; the reason is the fault's."""
    rig = at_mode(mode)
    rig.until(Mode.FAULT, findings=order)
    assert rig.session.reason == FAULT.reason
    assert not rig.session.replay.velocity(rig.now_ns).any()


@pytest.mark.parametrize("mode", ACTIVE)
def test_a_fault_asked_for_by_the_caller_latches_too(mode) -> None:
    """A tick that raised, or an answer that needs a person."""
    rig = at_mode(mode)
    rig.session.fault(rig.now_ns, "internal error")
    rig.until(Mode.FAULT)
    assert rig.session.reason == "internal error"


@pytest.mark.parametrize("first", [PAUSE, FAULT])
def test_a_fault_during_a_pause_stop_wins_and_a_pause_during_a_fault_stop_does_not(first) -> None:
    """Of two reasons to stop the graver one decides where it ends."""
    rig = Rig().moving()
    rig.tick(first)
    assert rig.mode is Mode.STOPPING
    rig.tick(FAULT if first is PAUSE else PAUSE)
    rig.until(*HELD_MODES)
    assert (rig.mode, rig.session.reason) == (Mode.FAULT, FAULT.reason)


def test_a_fault_stays_without_its_cause_whatever_comes() -> None:
    """Healthy ticks, chunks, instructions and pauses do not end it."""
    rig = Rig().faulted()
    for _ in range(30):
        rig.tick()
        rig.merge()
        rig.session.change_instruction(rig.now_ns)
        rig.tick(PAUSE)
        assert (rig.mode, rig.session.reason) == (Mode.FAULT, FAULT.reason)
    assert not rig.session.query_due(rig.now_ns)


@pytest.mark.parametrize("held_known", [True, False])
def test_a_clock_that_runs_back_does_not_end_a_fault(held_known) -> None:
    """A pause would end by itself and unlatch it."""
    rig = Rig().faulted()
    rig.held = HOME.copy() if held_known else None
    rig.now_ns -= 500 * MS
    assert rig.tick(count=100) == []
    assert (rig.mode, rig.session.reason) == (Mode.FAULT, FAULT.reason)


def test_a_reset_is_refused_while_a_finding_persists() -> None:
    """Of any reaction, by its reason; afterwards it works."""
    rig = Rig().faulted()
    for finding in (FAULT, PAUSE):
        answer = rig.session.reset(rig.now_ns, HOME, (finding,))
        assert answer == f"the cause persists: {finding.reason}"
        assert rig.mode is Mode.FAULT
    episode = rig.session.episode
    rig.held = rig.session.replay.position(rig.now_ns)
    assert rig.session.reset(rig.now_ns, rig.held, ()) == ""
    assert (rig.mode, rig.session.episode) == (Mode.BLENDING_IN, episode + 1)
    assert rig.session.query_due(rig.now_ns)
    assert rig.tick(count=20) == []
    assert rig.merge().accepted
    rig.until(Mode.REPLAYING)


@pytest.mark.parametrize(
    "mode", [m for m in (*INACTIVE, *ACTIVE) if m not in (Mode.FAULT, Mode.FAULT_INACTIVE)]
)
def test_a_reset_of_anything_but_a_fault_is_refused_and_disturbs_nothing(mode) -> None:
    """Above all not a pause, nor a stop that is to end in a fault."""
    rig = at_mode(mode)
    episode = rig.session.episode
    answer = rig.session.reset(rig.now_ns, HOME, ())
    assert answer == f"mode is {mode.value}, only a fault can be reset"
    assert (rig.mode, rig.session.episode) == (mode, episode)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_reset_from_a_position_that_is_no_number_leaves_the_fault(bad) -> None:
    """The service answers with the error."""
    rig = Rig().faulted()
    rig.tick(count=20)
    episode = rig.session.episode
    with pytest.raises(PlanError):
        rig.session.reset(rig.now_ns, np.array([bad, *HOME[1:]]), ())
    assert (rig.mode, rig.session.episode) == (Mode.FAULT, episode)


def test_refusals_before_a_reset_do_not_count_after_it() -> None:
    """A new episode begins with a clean sheet."""
    rig = Rig().moving()
    for _ in range(3):
        rig.merge_far()
    rig.until(Mode.FAULT)
    rig.session.reset(rig.now_ns, rig.session.replay.position(rig.now_ns), ())
    rig.held = rig.session.replay.position(rig.now_ns)
    rig.merge_far()
    rig.merge_far()
    assert rig.mode is Mode.BLENDING_IN


# Deactivation.


@pytest.mark.parametrize("mode", ACTIVE)
def test_deactivation_ends_at_rest_and_inactive_from_every_active_mode(mode) -> None:
    """Active until the arm rests, then silent; a fault stays latched."""
    rig = at_mode(mode)
    rig.session.deactivate(rig.now_ns)
    assert rig.session.active
    rig.assert_comes_to_rest()
    assert rig.mode is (Mode.FAULT_INACTIVE if mode is Mode.FAULT else Mode.WAITING)
    assert not rig.session.active
    assert rig.tick(count=20) == []


@pytest.mark.parametrize("finding", [PAUSE, None])
def test_nothing_turns_a_deactivation_into_anything_else(finding) -> None:
    """Neither a finding nor a chunk nor an instruction nor a pause of the operator."""
    rig = Rig().moving()
    rig.session.deactivate(rig.now_ns)
    rig.tick(*([finding] if finding else []))
    rig.merge()
    rig.session.change_instruction(rig.now_ns)
    assert rig.session.pause(rig.now_ns) == "mode is stopping: there is no motion to pause"
    rig.until(Mode.WAITING, Mode.FAULT_INACTIVE, *HELD_MODES)
    assert rig.mode is Mode.WAITING


def test_a_session_can_be_activated_again_after_its_deactivation() -> None:
    """From the position held then, in a new episode."""
    rig = Rig().moving()
    rig.session.deactivate(rig.now_ns)
    rig.until(Mode.WAITING)
    rig.held = HOME + 0.3
    rig.activate()
    assert rig.session.episode == 2
    assert rig.merge().accepted
    np.testing.assert_array_equal(rig.tick()[0].positions[0], HOME + 0.3)


@pytest.mark.parametrize("ticks_late", range(3))
@pytest.mark.parametrize("finding", [PAUSE, FAULT])
def test_a_stop_just_after_rest_keeps_the_past_of_the_ramp(finding, ticks_late) -> None:
    """The splice rule holds: a later window equals the tail that was sent, also in its past."""
    rig = Rig().holding()
    end_ns = rig.windows[-1].end_ns
    rig.now_ns = end_ns + ticks_late * TICK_NS // 2
    rig.tick(finding)
    if finding is FAULT:
        rig.until(Mode.FAULT)
        assert rig.leave(rig.session.replay.position(rig.now_ns)) == ""
    else:
        rig.session.settings = replace(rig.session.settings, healthy_ticks=1)
        rig.until(Mode.BLENDING_IN)
    assert rig.merge().accepted
    sent, (after, *_) = rig.windows[-1], rig.tick()
    shared = np.intersect1d(sent.stamp_ns + sent.times_ns, after.stamp_ns + after.times_ns)
    assert len(shared) > 0
    old, new = (np.isin(w.stamp_ns + w.times_ns, shared) for w in (sent, after))
    for name in ("positions", "velocities", "accelerations"):
        np.testing.assert_array_equal(getattr(after, name)[new], getattr(sent, name)[old])


def test_after_a_gap_longer_than_the_commit_time_nothing_more_is_sent_of_the_plan():
    """A window before it may be missing: the tail plays, and the next plan starts from what holds.

    The controllers of this test have come to rest elsewhere, as after a lost window.
    """
    rig = Rig().moving()
    rig.now_ns += 120 * MS
    assert rig.tick() == []
    assert rig.mode is Mode.STOPPING and "no window has left for 0.14 s" in rig.session.reason
    rig.held = rig.session.replay.position(rig.now_ns) + 0.05
    assert rig.tick(count=100) == [] and rig.mode is Mode.BLENDING_IN
    assert rig.merge().accepted
    np.testing.assert_array_equal(rig.tick()[0].positions[0], rig.held)


def test_after_such_a_gap_controllers_that_never_tell_rest_at_the_end_of_what_was_sent():
    """Nothing speaks against all of it having arrived; it is not gone on from the middle of it."""
    rig = Rig().moving()
    rig.held = None
    end = rig.windows[-1].positions[-1]
    rig.now_ns += 120 * MS
    assert rig.tick(count=100) == [] and rig.mode is Mode.BLENDING_IN
    assert rig.merge().accepted
    np.testing.assert_array_equal(rig.tick()[0].positions[0], end)


def test_a_gap_up_to_the_commit_time_is_gone_on_from():
    """As before: the plan knows what was sent."""
    rig = Rig().moving()
    rig.now_ns += 60 * MS
    assert len(rig.tick()) == 1 and rig.mode is Mode.REPLAYING


@pytest.mark.parametrize("held", ["known", "too old", "never known"])
def test_after_a_late_controller_motion_starts_from_what_it_publishes(held):
    """A cut between both: nothing is sent. A fault if one of the controllers never publishes.

    too old: the held position is not young enough when the cut is found, as for a controller with a
    period of 0.1 s.
    """
    rig = Rig().activate()
    rig.held = None if held == "never known" else rig.held
    rig.merge()
    rig.tick(count=25)
    assert rig.mode is Mode.REPLAYING
    if held != "known":
        rig.held = None
    late = Finding(
        "controller_late", Reaction.PAUSE, "no state of it for 0.12 s", stop_ramp_only=True
    )
    assert rig.tick(late) == []
    rig.held = None  # it is silent, and publishes again after three seconds
    assert rig.tick(late, count=150) == []
    if held == "never known":
        assert rig.mode is Mode.FAULT
        return
    assert rig.mode is Mode.PAUSED
    assert rig.tick(count=40) == []
    assert rig.mode is Mode.PAUSED, "its state is not late, but too old to start from"
    rig.held = HOME + 0.1
    assert rig.tick(count=40) == []
    assert rig.mode is Mode.BLENDING_IN and rig.merge().accepted
    np.testing.assert_array_equal(rig.tick()[0].positions[0], rig.held)


def test_a_pause_at_rest_after_a_long_gap_goes_on_by_itself():
    """The arm has come to rest during the gap: from then on no window is missing any more."""
    rig = Rig().moving()
    rig.now_ns += 1500 * MS
    assert rig.session.replay.at_rest(rig.now_ns)
    starved = Finding("replay_starvation", Reaction.PAUSE, "a gap of 1.5 s", stop_ramp_only=True)
    rig.tick(starved)
    assert rig.mode in (Mode.STOPPING, Mode.PAUSED)
    rig.tick(count=100)
    assert rig.mode is Mode.BLENDING_IN and rig.merge().accepted
    assert len(rig.tick(count=10)) == 10


@pytest.mark.parametrize("tells", [True, False])
def test_a_first_window_that_may_have_left_is_waited_for(tells) -> None:
    """The arm may set out by it although the plan is at rest: a reset meanwhile would be a step."""
    rig = Rig().activate()
    rig.merge()
    window = rig.session.tick(rig.now_ns, (), rig.held)
    assert window is not None
    rig.held = rig.held if tells else None
    rig.session.publication_unknown(rig.now_ns, rig.held, "the middleware refused a message")
    rig.session.end_stop_without_tick(rig.now_ns, rig.held)
    while rig.now_ns < window.end_ns:
        assert rig.mode is Mode.STOPPING, (window.end_ns - rig.now_ns) / MS
        rig.tick()
    rig.until(Mode.FAULT)
    assert rig.session.reason.startswith("the middleware refused a message")


@pytest.mark.parametrize("delivery_ms", [1, 20, 50])
@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("gap_ms, stall_ms", [(20, 29), (20, 47), (60, 30), (81, 0), (100, 0)])
@pytest.mark.parametrize("stopping", [False, True])
def test_a_gap_after_the_first_windows_of_a_motion_were_lost_is_no_step(
    gap_ms, stall_ms, lost, delivery_ms, stopping
):
    """gap: before the next tick; stall: in it, before its window leaves. A pause, not a guess."""
    commit_ns = (100 if lost == 1 else 120) * MS
    settings = replace(ReplaySettings(), lost_windows=lost, commit_ns=commit_ns)
    rig = Rig(Session(Replay(fr3_limits(), settings), SessionSettings()))
    jtc, position, under_way = JtcSampler(7), [HOME], []
    jtc.hold(HOME)

    def go(gap_ms=20, stall_ms=0, lose=False):
        """The controller up to the next tick, and this tick as the replay thread does it."""
        for _ in range(gap_ms):
            while under_way and under_way[0][0] <= rig.now_ns:
                assert jtc.accept(under_way.pop(0)[1], rig.now_ns, position[-1]) is None
            position.append(jtc.sample(rig.now_ns)[0])
            rig.now_ns += MS
        rig.held = position[-1]
        tail = gap_ms * MS > commit_ns
        starved = Finding("replay_starvation", Reaction.PAUSE, "a gap", stop_ramp_only=tail)
        window = rig.session.tick(rig.now_ns, (starved,) * (gap_ms > 60), rig.held)
        leaves_ns, until_ns = rig.now_ns + stall_ms * MS, rig.now_ns + commit_ns
        in_time = window is not None and (
            leaves_ns + settings.delivery_ns <= min(until_ns, window.same_until_ns)
        )
        if in_time and not lose:
            under_way.append((leaves_ns + delivery_ms * MS, window))
        rig.session.keep(SentParts(np.full(7, in_time), np.zeros(0, dtype=bool), frozenset()))

    rig.activate().merge()
    for _ in range(25):
        go()
    if stopping:
        rig.session.pause(rig.now_ns)
    else:
        rig.merge(-0.2)
    for _ in range(lost):
        go(lose=True)
    go(gap_ms, stall_ms)
    go(max(20, stall_ms))
    for _ in range(150):
        go()
    assert rig.mode is (Mode.PAUSED_BY_OPERATOR if stopping else Mode.BLENDING_IN)
    second = np.abs(np.diff(np.array(position), n=2, axis=0)) * 1e6
    assert second.max() <= 6.0 * (1 + 1e-3)


@pytest.mark.parametrize(
    "found, doubted, refuted",
    [((), False, False), ((DROP,), False, False), ((PAUSE,), True, False), ((ADRIFT,), True, True)],
)
def test_what_pauses_puts_the_measured_delivery_in_doubt(found, doubted, refuted):
    """A dropped chunk says nothing of it; a window that the controller does not play ends it."""
    settings = ReplaySettings(commit="measured")
    rig = Rig(Session(Replay(fr3_limits(), settings), SessionSettings())).activate()
    commit = rig.session.replay.commit
    for _ in range(1100):
        commit.received(rig.now_ns, MS)
        rig.tick()
    assert commit.commit_ns < settings.commit_ns
    rig.merge()
    rig.tick(*found)
    assert commit.measured is not refuted
    assert (commit.commit_ns == settings.commit_ns) is doubted


class _Played:
    """A rig with one controller, of which windows are lost as the caller says."""

    def __init__(self, told_ms: int) -> None:
        self.rig, self.told_ms = Rig(), told_ms
        self._jtc, self._position, self._under_way = JtcSampler(7), [HOME] * 200, []
        self._jtc.hold(HOME)

    def play(self, time_ms: int) -> None:
        """What the controller does meanwhile, and what it tells then."""
        for _ in range(time_ms):
            while self._under_way:
                window = self._under_way.pop(0)
                assert self._jtc.accept(window, self.rig.now_ns, self._position[-1]) is None
            self._position.append(self._jtc.sample(self.rig.now_ns)[0])
            self.rig.now_ns += MS
        self.rig.held = self._position[-1 - self.told_ms]

    def tick(self, *findings: Finding, lose: bool = False) -> None:
        """A tick, whose window comes unless it is lost."""
        window = self.rig.session.tick(self.rig.now_ns, findings, self.rig.held)
        self.rig.session.keep()
        self._under_way.extend([] if window is None or lose else [window])

    def lose(self, what: str, after: int) -> None:
        """So many ticks of a motion, and one whose window is lost: the first of `what`."""
        self.rig.activate().merge(steps=30)
        for _ in range(after):
            self.tick()
            self.play(20)
        if what == "stop":
            self.rig.session.change_instruction(self.rig.now_ns)
        elif what == "chunk":
            self.rig.merge(-0.1)
        self.tick(lose=True)

    def assert_no_step(self) -> None:
        """What was played keeps the limits of acceleration."""
        second = np.abs(np.diff(np.array(self._position), n=2, axis=0)) * 1e6
        assert second.max() <= 6.0 * (1 + 1e-3)


@pytest.mark.parametrize("told_ms", [1, 190])
@pytest.mark.parametrize("calls", [False, True])
@pytest.mark.parametrize("lost", ["last window", "stop", "chunk"])
@pytest.mark.parametrize("gap_ms", [160, 330, 450, 540, 680])
def test_a_plan_that_came_to_rest_in_a_gap_after_a_lost_window_is_no_step(
    gap_ms, lost, calls, told_ms
) -> None:
    """The controller rests elsewhere than the plan, or later, for as long as what it got lasts.

    told: how old what it tells is. calls: a fault of a caller comes before the tick that sees the
    gap. A person or the node goes on at once, with a chunk as soon as one is taken.
    """
    played = _Played(told_ms)
    rig = played.rig
    played.lose(lost, after=25)
    played.play(gap_ms)
    if calls:
        rig.session.fault(rig.now_ns, "asked for")
    played.tick(Finding("replay_starvation", Reaction.PAUSE, "a gap", stop_ramp_only=True))
    merged = False
    for _ in range(100):
        played.play(20)
        if rig.mode is Mode.FAULT:
            assert rig.leave(rig.held) == ""
        if not merged and rig.mode in (Mode.BLENDING_IN, Mode.HOLDING):
            merged = rig.merge(0.1).accepted
        played.tick()
    assert merged and rig.mode in (Mode.REPLAYING, Mode.STOPPING, Mode.HOLDING)
    played.assert_no_step()


@pytest.mark.parametrize("told_ms", [1, 190])
@pytest.mark.parametrize("lost", ["last window", "stop", "chunk"])
@pytest.mark.parametrize("reset_ms", [0, 100, 240, 400])
def test_ticks_that_raise_after_a_lost_window_end_in_a_fault_whose_reset_is_no_step(
    reset_ms, lost, told_ms
) -> None:
    """Nothing is sent any more: what the controller has got may end elsewhere, or later."""
    played = _Played(told_ms)
    rig = played.rig
    played.lose(lost, after=15)
    played.play(20)
    rig.session.fault(rig.now_ns, "the tick raised")
    for _ in range(150):
        rig.session.end_stop_without_tick(rig.now_ns, rig.held)
        if rig.mode is Mode.FAULT:
            break
        played.play(20)
    played.play(reset_ms)
    assert rig.leave(rig.held) == "" and rig.merge(0.1).accepted
    for _ in range(60):
        played.tick()
        played.play(20)
    played.assert_no_step()


@pytest.mark.parametrize("told_ms", [1, 190])
@pytest.mark.parametrize("rad", [0.0005, 0.2])
@pytest.mark.parametrize("silent_ticks", [5, 8])
def test_windows_that_may_be_lost_pause_only_until_the_held_position_is_known(
    silent_ticks, rad, told_ms
) -> None:
    """Wherever the connection is cut in a motion or in its stop: it goes on by itself, no step.

    The windows of the cut are lost; told: how old the controller's state is.
    """
    for paused in (1, 4):
        for begin in range(paused, paused + 24, 24 if QUICK else 6):
            played = _Played(told_ms)
            rig, replay, merged = played.rig.activate(), played.rig.session.replay, True
            for tick in range(-20, 130):
                cut = begin <= tick < begin + silent_ticks
                if tick == 0:
                    merged = rig.merge(rad).accepted
                if not cut:
                    replay.planner.states_received(rig.now_ns)
                lost = replay.planner.windows_may_be_lost(rig.now_ns)
                found = [windows_may_be_lost()] if lost else []
                played.tick(*found, *([PAUSE] if tick == paused else []), lose=cut)
                played.play(20)
                if tick == paused:
                    merged = False
                if not merged and rig.mode is Mode.BLENDING_IN:
                    merged = rig.merge(0.1).accepted
            assert merged and rig.mode not in (Mode.PAUSED, Mode.FAULT), (paused, begin)
            played.assert_no_step()
