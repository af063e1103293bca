"""One activation: modes, episodes, stops and the replay of chunks, ticked by one owner.

Decides when a chunk may be merged, when and why the arm stops, and when motion continues.
Publishes nothing itself: `tick` returns the window to publish, and `keep` records what was
published. The caller makes all calls one after another and passes `now_ns` of the plan clock.

The stop ramp is the end of every window, in which the motion comes to rest. `settling` says when a
plan is abandoned: it then gets no further window, and the controllers play the stop ramp of the
last window that they received.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.commands import STANDING_TICKS
from gr00t_ros.motion.guard import Verdict, refused
from gr00t_ros.motion.plan import Window
from gr00t_ros.motion.pose.course import PoseWindow
from gr00t_ros.motion.replay import Replay, SentParts
from gr00t_ros.observe.moment import QueryTimes
from gr00t_ros.session.mode import (
    ACTIVE,
    FAULTED,
    MOVING,
    Event,
    Mode,
    advance,
    ends_in,
    more_severe,
)
from gr00t_ros.session.overlap import Followed
from gr00t_ros.session.schedule import QuerySchedule, SessionCounts, SessionSettings
from gr00t_ros.session.settling import DIVERGED, SETTLED_NS, Abandonment, HeldPositions
from gr00t_ros.watch.finding import RESUME, Finding, Reaction, better_reason
from gr00t_ros.watch.table import finding, reasoned

# Ticks after a clock jump or a stall until its effect on the stream ages is certainly over. Counted
# in ticks because plan time itself may have jumped.
_EVENT_TICKS = 100
# A tick this long after the one before is a jump of plan time: two and a half refresh periods, and
# the smallest value of the parameter clock_jump_s.
_JUMP_NS = 50_000_000
_SETTLING_REASON = "the controllers may still play an abandoned plan: try again in a second"
_FIRST_CHUNK = "waiting for the first action chunk"
_NEW_INSTRUCTION = "instruction changed"
_UNWANTED = refused("unwanted", "of an older episode, or not wanted now")
_PAUSED_REASON = f"paused by the operator: {RESUME} to go on"


@dataclass(slots=True)
class Session:
    """State of one configuration of the node.

    Call `set_ready` while inactive and `activate` once. From then on call `tick` at each refresh,
    publish what it returns and call `keep`; after that ask `query_due`.
    """

    replay: Replay
    settings: SessionSettings
    mode: Mode = Mode.WAITING
    reason: str = ""
    episode: int = 0
    counts: SessionCounts = field(default_factory=SessionCounts)
    queries: QuerySchedule = field(default_factory=QuerySchedule)
    # The present stop: where it ends, and the watch that caused its pause, if one did.
    _after_stop: Event = Event.REST_HOLD
    _stops_soon: bool = False  # it began inside the committed part
    _paused_by: str = ""
    _reason_ticks: int = 0  # ticks since `reason` was set by that watch
    _healthy_ticks: int = 0  # ticks without a finding, in a pause
    _operator_paused: bool = False  # until ~/resume or the next activation, also through a fault
    # The present episode.
    _has_chunk: bool = False
    _blended_at_ns: int = 0
    _abandonment: Abandonment = field(init=False)
    # The last tick.
    _now_ns: int = 0
    _time_runs: bool = True  # whether plan time advanced
    _standing: int = 0  # ticks in a row in which it did not
    _told_ahead: bool = False  # whether the watch on the clock reported a jump ahead

    def __post_init__(self) -> None:
        self._abandonment = Abandonment(self.replay, self.settings.shadow)

    @property
    def active(self) -> bool:
        """Whether the node is between activation and the end of the deactivation's stop."""
        return self.mode in ACTIVE

    # Queries: ask `query_due` after each tick; answer each query with `merge` or `query_failed`.

    def query_due(self, now_ns: int) -> bool:
        """Whether the next observation should be sent now.

        If True, send it with the present `episode`; then call `merge` or `query_failed` once.
        """
        queries, has_chunk = self.queries, self._has_chunk
        return self._takes_chunks() and queries.due(now_ns, self.replay, has_chunk, self.settings)

    def query_times(self) -> QueryTimes:
        """From when on, and until when, the query of `query_due` should leave; plan time."""
        return self.queries.times(self.replay, self._has_chunk, self.settings)

    def extra_pays(self, now_ns: int, next_ns: int) -> bool:
        """Whether a tick for `now_ns` can be new from an earlier knot than the one for `next_ns`.

        Only where a chunk is taken and there is motion: pauses and stops count ticks.
        """
        moves = self.mode in (Mode.BLENDING_IN, Mode.REPLAYING)
        return moves and self.replay.new_earlier(now_ns, next_ns)

    def followed(self, now_ns: int) -> Followed | None:
        """The chunk of this episode that the answer to a query sent now continues.

        None without one, and while no latency is known: how much of it will be executed is unknown.
        None in shadow: somebody else executes.
        """
        latency_ns, newest = self.queries.delay_p99_ns, self.replay.newest
        if self.settings.shadow:
            return None
        if newest is None or newest.episode != self.episode or not latency_ns:
            return None
        settings = self.replay.settings
        acts_after_ns = latency_ns + settings.commit_ns + settings.knot_ns
        return Followed(newest, self.replay.lag_ns(now_ns), acts_after_ns)

    def merge(self, chunk: ActionChunk, now_ns: int, held: HeldPositions) -> Verdict:
        """Offer a chunk to the plan; of an older episode, or not wanted now, it is dropped."""
        self._follow_clock(now_ns, held)
        if chunk.episode != self.episode or not self._takes_chunks():
            self.counts.dropped += 1
            return _UNWANTED
        self.queries.answered(now_ns - chunk.observed_ns, self.settings)
        if not self._has_chunk:
            self._rebase(now_ns, held)
        if self.mode in (Mode.HOLDING, Mode.STOPPING):
            self.replay.resume()
        verdict = self.replay.accept(chunk, now_ns)
        if verdict.kind == "jump" and self.settings.shadow and held is not None:
            # Another program moved the arm away from our plan, and the policy saw where it is now.
            self.replay.start(now_ns, held)
            self.counts.restarts += 1
            verdict = self.replay.accept(chunk, now_ns)
        self._count_verdict(verdict, now_ns)
        return verdict

    def query_failed(self, reason: str, now_ns: int, answered: bool, passing: bool = False) -> bool:
        """Record a query that gave no chunk. True if it was one too many in a row and faulted.

        answered: the server replied, but not with a chunk; such replies count towards the fault.
        passing: the error may pass by itself; the wait before the next query then grows.
        """
        self._follow_clock(now_ns)
        self.counts.failures += 1
        note = self.queries.put_off if passing else self.queries.failed
        note(reason, now_ns, self.settings)
        self._report_missing_chunk(reason)
        return answered and self._refused(reason, now_ns)

    # Requests of the operator and of the node.

    def set_ready(self, ready: bool, reason: str) -> None:
        """Take over whether the server's check and the streams allow an activation.

        Call it while inactive; `activate` is possible in mode ready.
        """
        if self.mode is Mode.WAITING and ready:
            self.mode = advance(self.mode, Event.READY)
        elif self.mode is Mode.READY and not ready:
            self.mode = advance(self.mode, Event.NOT_READY)
        if not self.active and self.mode is not Mode.FAULT_INACTIVE:
            self.reason = reason

    def activate(self, now_ns: int, held: NDArray[np.float64]) -> None:
        """Begin the first episode from the position `held` (J,) that the controllers hold.

        Raises PlanError for a position that is not finite; the mode is then unchanged. Call `tick`
        at each refresh from now on.
        """
        mode = advance(self.mode, Event.ACTIVATE)
        self.replay.start(now_ns, held)
        # Start one nanosecond early so that the first tick counts as progress.
        self.mode, self._now_ns, self._operator_paused = mode, now_ns - 1, False
        self._abandonment.forget()
        self._begin_episode("activated")

    def deactivate(self, now_ns: int) -> None:
        """Request a controlled stop that ends inactive.

        Keep calling `tick` until `active` is False.
        """
        self._follow_clock(now_ns)
        self._stop(now_ns, Event.REST_INACTIVE, "deactivating")

    def pause(self, now_ns: int) -> str:
        """Request a controlled stop that lasts until `resume`.

        Returns an empty string, or the reason why it was refused.
        """
        self._follow_clock(now_ns)
        now = ends_in(self.mode, self._after_stop)
        if not self.active or more_severe(now, Event.REST_OPERATOR) is not Event.REST_OPERATOR:
            return f"mode is {self.mode.value}: there is no motion to pause"
        self._operator_paused = True
        if now is not Event.REST_OPERATOR:
            self._stop(now_ns, Event.REST_OPERATOR, _PAUSED_REASON)
        return ""

    def resume(self, now_ns: int, held: HeldPositions, findings: Sequence[Finding]) -> str:
        """Leave the operator's pause and begin a new episode.

        Returns an empty string, or the reason why it was refused; any finding refuses it. Raises
        PlanError for a position that is not finite; the pause then stays.
        """
        self._follow_clock(now_ns, held)
        if self.mode is not Mode.PAUSED_BY_OPERATOR:
            return f"mode is {self.mode.value}, only a pause by ~/pause can be resumed"
        if findings:
            return f"the cause persists: {findings[0].reason}"
        if self._abandonment.pending:
            return _SETTLING_REASON
        self._continue(Event.RESUME, now_ns, held, "resumed")
        self._operator_paused = False
        return ""

    def change_instruction(self, now_ns: int) -> None:
        """Begin a new episode: the arm slows down, and chunks of the old instruction are dropped.

        The next query is due at once.
        """
        self._follow_clock(now_ns)
        if self.mode in (Mode.BLENDING_IN, Mode.REPLAYING):
            self._stop(now_ns, Event.REST_HOLD, _NEW_INSTRUCTION)
        elif self.mode is Mode.STOPPING and self._after_stop is Event.REST_HOLD:
            self._stop_tail(now_ns)
        self.episode += 1
        self.queries.at_once()

    def fault(self, now_ns: int, reason: str) -> None:
        """Latch a fault, after a controlled stop if the node is active; `reset` ends it."""
        self._follow_clock(now_ns)
        if self.active:
            self._stop(now_ns, Event.REST_FAULT, reason)
        else:
            self.mode, self.reason = advance(self.mode, Event.LATCH), reason

    def reset(self, now_ns: int, held: HeldPositions, findings: Sequence[Finding]) -> str:
        """Leave the fault and begin a new episode.

        No episode begins while inactive. A fault that was latched during the operator's pause
        returns to that pause. Returns an empty string, or the reason why the reset was refused; any
        finding refuses it. Raises PlanError for a position that is not finite; the fault then
        stays.
        """
        self._follow_clock(now_ns, held)
        if self.mode not in FAULTED:
            return f"mode is {self.mode.value}, only a fault can be reset"
        if findings:
            return f"the cause persists: {findings[0].reason}"
        if self.mode is Mode.FAULT_INACTIVE:
            self.mode, self.reason = advance(self.mode, Event.RESET), "the fault was reset"
        elif self._operator_paused:
            self.mode, self.reason = advance(self.mode, Event.RESET_PAUSED), _PAUSED_REASON
        elif self._abandonment.pending:
            return _SETTLING_REASON
        else:
            self._continue(Event.RESET, now_ns, held, "reset")
        return ""

    @property
    def latched(self) -> bool:
        """Whether a fault waits for `reset`, also one whose stop is still under way."""
        stops = self.mode is Mode.STOPPING and self._after_stop in (
            Event.REST_FAULT,
            Event.REST_LATCHED,
        )
        return stops or self.mode in FAULTED

    # Ticking: `tick`, publish, `keep`, at each refresh while `active`.

    def tick(self, now_ns: int, findings: Sequence[Finding], held: HeldPositions) -> Window | None:
        """Advance by one refresh; return the window of joints to publish, or None.

        findings: of all watches, graver causes first; the first of each reaction is reported.
        Next: ask `replay.command_window` and `pose_windows` for the other outputs, publish
        everything, and call `keep`. Without `keep` the plan continues from what was published
        before.
        """
        self._follow_clock(now_ns, held)
        told_ahead = any(finding.watch == "clock_forward" for finding in findings)
        if self.active and now_ns - self._now_ns > _JUMP_NS:
            self._follow_jump(now_ns, told_ahead or self._told_ahead, held)
        self._told_ahead = told_ahead
        # Do not publish while plan time is frozen: the robot's own clock may still run and would
        # see the window as late.
        self._time_runs, self._now_ns = now_ns > self._now_ns, now_ns
        self._standing = 0 if self._time_runs else self._standing + 1
        findings = (*self._abandonment.overdue(now_ns, self.mode), *findings)
        self._pause_before_obstacle(now_ns)
        findings = self._abandonment.begin_if_diverged(now_ns, findings, held, self.mode)
        self._react(now_ns, findings, held)
        if self.mode is Mode.BLENDING_IN and self._has_chunk and now_ns >= self._blended_at_ns:
            self.mode, self.reason = advance(self.mode, Event.BLENDED), ""
        if self._has_chunk and self.mode in (Mode.BLENDING_IN, Mode.REPLAYING):
            self._stop_at_plan_end(now_ns)
        # Assume lost windows only where the controllers publish their state. Where they do not, do
        # not abandon the plan on suspicion: if a window really was lost, the next plan would start
        # with a larger step than that of a late window.
        tolerates_loss, window = held is not None, None
        if self._time_runs and self.mode in MOVING:
            window = self.replay.propose(now_ns, tolerates_loss)
        settled = self._settled(now_ns, held)
        if self.mode is Mode.STOPPING and settled and self._all_at_rest(now_ns):
            self.mode = advance(self.mode, self._after_stop)
        return window

    def pose_windows(self, now_ns: int) -> Mapping[str, PoseWindow]:
        """The windows of the pose outputs, to be published with the window of `tick`.

        While plan time stands still they repeat what was published: a receiver whose clock still
        runs needs further windows.
        """
        return self.replay.pose_windows(now_ns, anew=self._time_runs)

    def keep(self, sent: SentParts | None = None) -> None:
        """Record that what the last tick made was published: all of it, or as `sent` lists."""
        self.counts.windows += self.replay.keep(sent)

    def publication_unknown(self, now_ns: int, held: HeldPositions, reason: str) -> None:
        """Abandon the plan and fault: publishing failed, and what was sent is not known.

        Call it in place of `keep`.
        """
        self._follow_clock(now_ns, held)
        if self.active:
            left_ns = self.replay.motion_left_at_most_ns(now_ns)
            self._abandonment.begin(now_ns, now_ns, held, left_ns=left_ns)
            self._note_stop(Event.REST_FAULT, reason)

    def end_stop_without_tick(self, now_ns: int, held: HeldPositions) -> None:
        """End a stop once everything that was published has played; for ticks that raise.

        Nothing is published in such a stop.
        """
        self._follow_clock(now_ns, held)
        # As in a tick: the last window may be lost, and the arm then rests where the held position
        # says.
        overdue = self._abandonment.overdue(now_ns, self.mode)
        self._abandonment.begin_if_diverged(now_ns, overdue, held, self.mode)
        settled = self._settled(now_ns, held)
        if self.mode is Mode.STOPPING and settled and self.replay.stop_ramp_left_ns(now_ns) == 0:
            self.replay.start(now_ns, self.replay.position(now_ns) if held is None else held)
            self.mode = advance(self.mode, self._after_stop)

    def _pause_before_obstacle(self, now_ns: int) -> None:
        """Pause until ~/resume if the arm has stood in front of something for too long."""
        blocked_ns = self.replay.blocked_ns(now_ns)
        goes_on = self.mode in (Mode.BLENDING_IN, Mode.REPLAYING, Mode.HOLDING)
        if goes_on and blocked_ns > self.settings.collision_patience_ns:
            why = f"{self.replay.in_the_way}: the policy has led there for {blocked_ns / 1e9:.1f} s"
            self._operator_paused = True
            self._stop(now_ns, Event.REST_OPERATOR, finding("obstacle_ahead", why).reason)

    def _react(self, now_ns: int, findings: Sequence[Finding], held: HeldPositions) -> None:
        """Fault, pause or end a pause, as the findings require."""
        if not self.active or self.mode is Mode.FAULT:
            return
        first = {finding.reaction: finding for finding in reversed(findings)}
        self._doubt_delivery(findings)
        if Reaction.FAULT in first:
            soon = any(one.soon for one in findings)
            self._stop(now_ns, Event.REST_FAULT, first[Reaction.FAULT].reason, soon)
        elif Reaction.PAUSE in first:
            self._healthy_ticks = 0
            self._pause_for([f for f in findings if f.reaction is Reaction.PAUSE], now_ns)
        elif self.mode is Mode.PAUSED:
            self._healthy_ticks += self._abandonment.next_may_begin(held)
            if self._healthy_ticks >= self.settings.healthy_ticks:
                self._continue(Event.HEALTHY, now_ns, held, "inputs healthy again")

    def _doubt_delivery(self, findings: Sequence[Finding]) -> None:
        """Use the longest commit time for now, or for good if a controller misses a window."""
        for found in findings:
            if found.watch == DIVERGED:
                self.replay.commit.refute(found.reason)
            elif found.reaction in (Reaction.PAUSE, Reaction.FAULT):
                self.replay.commit.doubt(found.reason)

    def _settled(self, now_ns: int, held: HeldPositions) -> bool:
        """Whether the controllers rest after a stop, and after their plan was abandoned.

        Faults if no controller published its state until the end of the wait.
        """
        settled = self._abandonment.over(now_ns, held, self.mode)
        still = self.mode is not Mode.STOPPING or self._abandonment.still(now_ns, held)
        if settled and not still:
            # A simulation that stands moves nothing, and has no time in which to wait.
            still = self._standing >= STANDING_TICKS or self._moved_by_others(now_ns, held)
        if self._abandonment.rest_unknown and self.mode is Mode.STOPPING:
            why = (
                f"{self.reason}; no controller has published its state since: check where the arm "
                "is before ~/reset"
            )
            self._note_stop(Event.REST_FAULT, why)
        return settled and still

    def _moved_by_others(self, now_ns: int, held: HeldPositions) -> bool:
        """Whether the stop ends although the controllers move, because it is not our motion.

        A fault then, but for a deactivation: nothing may go on by itself from a moving arm.
        """
        why = self._abandonment.moved_by_others(now_ns, held)
        if why and self._after_stop is not Event.REST_INACTIVE:
            self._note_stop(Event.REST_FAULT, f"{self.reason}; {why}" if self.reason else why)
        return bool(why)

    def _all_at_rest(self, now_ns: int) -> bool:
        surely = self.replay.surely_at_rest(now_ns, SETTLED_NS)
        return surely and self.replay.commands_at_rest

    # Stops.

    def _stop(self, now_ns: int, rest: Event, reason: str, soon: bool = False) -> bool:
        """Begin a stop and plan it; False if no new stop had to begin.

        soon: it begins inside the committed part, also if a later stop is under way.
        """
        noted = self._note_stop(rest, reason)
        # At rest send no window: another program may have moved the arm since, and a window would
        # take it back to where our plan ended. One that was abandoned and begun anew at the held
        # position rests too, while the controllers still play the stop ramp.
        rests = self.replay.surely_at_rest(now_ns, SETTLED_NS)
        sooner = soon and not noted and self.mode is Mode.STOPPING and not self._stops_soon
        if sooner and not rests:
            self.replay.stop(now_ns, self.reason, soon=True)
        self._stops_soon |= soon
        if not noted:
            return False
        if rests:
            self.replay.forget(now_ns)
        else:
            self.replay.stop(now_ns, reason, soon)
        return True

    def _note_stop(self, rest: Event, reason: str) -> bool:
        """Enter mode stopping; False if a stop of the same or greater gravity is under way."""
        before = ends_in(self.mode, self._after_stop)
        after = more_severe(before, rest)
        if self.mode is Mode.STOPPING and after is before:
            return False
        if rest in (after, Event.REST_FAULT):  # a fault's reason outlives a deactivation
            self.reason = reason
        self.mode, self._paused_by = advance(self.mode, Event.STOP), ""
        self._after_stop, self._has_chunk, self._healthy_ticks = after, False, 0
        self._stops_soon = False
        self._abandonment.note_stop()
        return True

    def _pause_for(self, findings: Sequence[Finding], now_ns: int) -> None:
        """Pause for the first of `findings`, or report a better reason in a pause under way."""
        at_rest = self.mode in (Mode.PAUSED, Mode.PAUSED_BY_OPERATOR)
        soon = any(one.soon for one in findings)
        if not at_rest and self._stop(now_ns, Event.REST_PAUSE, findings[0].reason, soon):
            self._paused_by, self._reason_ticks = findings[0].watch, 0
        elif self._paused_by and self._after_stop is Event.REST_PAUSE:
            self._reason_ticks += 1
            lasting = self._reason_ticks > _EVENT_TICKS
            better = better_reason(self._paused_by, self.reason, findings, lasting)
            if better is not None:
                self.reason, self._paused_by, self._reason_ticks = better.reason, better.watch, 0

    def _stop_tail(self, now_ns: int) -> None:
        """Stop what still moves after the last chunk's end, where time scaling made it lag."""
        moves = not self.replay.surely_at_rest(now_ns, SETTLED_NS)
        if moves and self.replay.stopped is None:
            self.reason = _NEW_INSTRUCTION
            self.replay.stop(now_ns, _NEW_INSTRUCTION)

    def _stop_at_plan_end(self, now_ns: int) -> None:
        if self.replay.remaining_ns(now_ns) > 0:
            return
        why = self.queries.last_failure or "the next chunk did not arrive before the last one ended"
        if self.replay.blocked_ns(now_ns):
            why = f"something is in the way: {self.replay.in_the_way}"
        # The plan already comes to rest where the reference ends, so the replay is not stopped.
        self._note_stop(Event.REST_HOLD, f"no chunk left to play: {why}")

    def _follow_jump(self, now_ns: int, told: bool, held: HeldPositions) -> None:
        """Abandon the plan if plan time jumped ahead in motion.

        told: its watch reports it in this tick, or did in the last one. A long gap without that is
        a node that slept: the same time passed for the controllers.
        """
        if told:
            self._abandonment.shift(now_ns - self._now_ns)
        stopping = self.mode is Mode.STOPPING and self._paused_by == "clock_forward"
        if (told or stopping) and self.replay.motion_left_ns(self._now_ns) > 0:
            newest = self._abandonment.newest_held(held)
            self._abandonment.begin(self._now_ns, now_ns, newest)

    def _follow_clock(self, now_ns: int, held: HeldPositions = None) -> None:
        """Note that plan time ran back before anything uses the new time.

        What is requested between two ticks may be the first that sees it: a stop must not be
        refused for that.
        """
        if self.active and now_ns < self._now_ns:
            self._after_clock_jump(now_ns, self._abandonment.newest_held(held))
            self._now_ns = now_ns  # the next tick at this time publishes nothing: no time passed

    def _after_clock_jump(self, now_ns: int, held: HeldPositions) -> None:
        """Plan time ran back: abandon the plan, whose times are no longer valid, and pause.

        Without a held position it is a fault: nothing shows where the controllers come to rest.
        """
        self._abandonment.begin(self._now_ns, now_ns, held)
        if self.mode is Mode.FAULT:
            return  # stays latched
        back_s = (self._now_ns - now_ns) / 1e9
        text = f"the clock went back by {back_s:.3f} s"
        found = reasoned("clock_backward", text, worse=held is None)
        faults = found.reaction is Reaction.FAULT
        if self._note_stop(Event.REST_FAULT if faults else Event.REST_PAUSE, found.reason):
            self._paused_by, self._reason_ticks = "clock_backward", 0

    # Helpers: the start of an episode, and the verdicts on its chunks.

    def _takes_chunks(self) -> bool:
        if self.mode is Mode.STOPPING:
            return self._after_stop is Event.REST_HOLD
        return self.mode in (Mode.BLENDING_IN, Mode.REPLAYING, Mode.HOLDING)

    def _continue(self, event: Event, now_ns: int, held: HeldPositions, reason: str) -> None:
        """Leave a pause or fault by `event` and begin an episode."""
        mode = advance(self.mode, event)
        self._rebase(now_ns, held)
        self.replay.resume()
        self.replay.unblock()
        self.mode = mode
        self._begin_episode(reason)

    def _begin_episode(self, reason: str) -> None:
        self.episode += 1
        self.reason = f"{reason}: {_FIRST_CHUNK}"
        self._has_chunk = False
        self.queries.begin()

    def _rebase(self, now_ns: int, held: HeldPositions) -> None:
        """Start the plan at the held position if another program moved the arm since our stop.

        After an abandoned plan start there always: the arm may rest elsewhere than the plan says.
        """
        if self._abandonment.restart(now_ns, held):
            return
        # The held position may be older than the end of our own stop: the plan's position is newer.
        # If windows may be missing, the next tick abandons the plan.
        rests = self.replay.at_rest(now_ns - SETTLED_NS)
        settled = rests and self.replay.surely_at_rest(now_ns, SETTLED_NS)
        if held is None or not settled:
            return
        apart = np.abs(held - self.replay.position(now_ns))
        if not float(np.max(apart)) <= self.settings.rebase_rad:  # True for NaN: start() raises
            self.replay.start(now_ns, held)

    def _report_missing_chunk(self, cause: str) -> None:
        """Report why the arm waits for a chunk; a general reason stood there before."""
        if self.mode is Mode.BLENDING_IN and not self._has_chunk:
            self.reason = f"{_FIRST_CHUNK}: {cause}"
        elif self.mode in (Mode.STOPPING, Mode.HOLDING) and self._after_stop is Event.REST_HOLD:
            self.reason = f"no chunk left to play: {cause}"

    def _count_verdict(self, verdict: Verdict, now_ns: int) -> None:
        if not verdict.accepted:
            self._report_missing_chunk(verdict.reason)
        if verdict.dropped:
            self.counts.dropped += 1
            self.queries.last_failure = verdict.reason
        elif not verdict.accepted:
            self._refused(verdict.reason, now_ns)
        else:
            self._accepted(verdict, now_ns)

    def _accepted(self, verdict: Verdict, now_ns: int) -> None:
        self.counts.accepted += 1
        self.counts.clamped += verdict.clamped
        self.queries.accepted()
        if not self._has_chunk:
            self._blended_at_ns = now_ns + self.settings.blend_in_ns
            self.reason = "blending in"
        self._has_chunk = True
        self.mode = advance(self.mode, Event.CHUNK)

    def _refused(self, reason: str, now_ns: int) -> bool:
        """Count an answer that cannot be played; True if it was one too many and faulted."""
        self.counts.refused += 1
        self.counts.refusal = reason
        finding = self.queries.refused(reason, now_ns, self.settings)
        if finding is None or self.mode is Mode.FAULT or not self.active:
            return False
        return self._stop(now_ns, Event.REST_FAULT, finding.reason)
