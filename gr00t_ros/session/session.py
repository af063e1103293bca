"""One activation: modes, episodes, stops and the replay of chunks, ticked by one owner.

Decides when a chunk may be merged, when the arm stops and why, and when it continues. Publishes
nothing itself: `tick` returns the window to publish, `keep` takes what of it was sent. The caller
serialises all calls and passes `now_ns` of the plan clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.guard import Verdict
from gr00t_ros.motion.plan import Window
from gr00t_ros.motion.poses import PoseWindow
from gr00t_ros.motion.replay import Replay, Sent
from gr00t_ros.session.mode import ACTIVE, FAULTED, MOVING, Event, Mode, advance, ends_in, graver
from gr00t_ros.session.schedule import QuerySchedule, SessionCounts, SessionSettings
from gr00t_ros.session.settling import Settling
from gr00t_ros.watch.finding import Finding, Reaction, better_reason

Held = NDArray[np.float64] | None
"""(J,) position that the controllers hold, None where they do not tell."""

# A held position may be 0.2 s old when it is read: of an arm that came to rest later than this
# before, it may still tell of our own stop, whose end the plan knows better.
_SETTLED_NS = 250_000_000
# Ticks in which streams that a jump or a starved process made old are well again, by far; no time,
# since the plan's own may have jumped.
_EVENT_TICKS = 100


_LEAP_NS = 50_000_000
"""Two and a half ticks: what the least allowed clock_jump_s adds to plan time in one of them."""
_ELSEWHERE = "reference_against_plan"
"""The watch that says of a controller that it plays something else than the plan."""
_PAUSED_REASON = "paused by the operator: call ~/resume to go on"


@dataclass(slots=True)
class Session:
    """State of one configuration of the node. First `activate`, then `tick` and `keep` in turn."""

    replay: Replay
    settings: SessionSettings
    mode: Mode = Mode.WAITING
    reason: str = ""
    episode: int = 0
    counts: SessionCounts = field(default_factory=SessionCounts)
    asking: QuerySchedule = field(default_factory=QuerySchedule)
    _after_stop: Event = Event.REST_HOLD
    _has_chunk: bool = False
    _healthy: int = 0
    _settling: Settling = field(default_factory=Settling)
    _held: Held = None  # as of the last tick: in the tick after a jump all inputs are forgotten
    _paused_by: str = ""
    _told_ticks: int = 0
    _left: bool = False  # to the tail of what was sent: where the arm rests, only what is held says
    _timely: bool = False  # of what was left so: no clock jumped, its tail is over when it must be
    _blended_at_ns: int = 0
    _now_ns: int = 0
    _runs: bool = True  # plan time, as of the last tick
    _operator_paused: bool = False  # until ~/resume or the next activation, whatever comes between

    @property
    def active(self) -> bool:
        """Whether the node is between activation and the end of the deactivation's stop."""
        return self.mode in ACTIVE

    def set_ready(self, ready: bool, reason: str) -> None:
        """Follow the readiness of check and streams while inactive."""
        if self.mode is Mode.WAITING and ready:
            self.mode = advance(self.mode, Event.READY)
        elif self.mode is Mode.READY and not ready:
            self.mode = advance(self.mode, Event.NOT_READY)
        if not self.active and self.mode is not Mode.FAULT_INACTIVE:
            self.reason = reason

    def activate(self, now_ns: int, held: NDArray[np.float64]) -> None:
        """Begin the first episode from the position `held` (J,) that the controller holds.

        Raises PlanError for a position that is not finite; the mode is then as it was.
        """
        mode = advance(self.mode, Event.ACTIVATE)
        self.replay.start(now_ns, held)
        # One before: of this session no tick has been at this time yet.
        self.mode, self._now_ns, self._operator_paused = mode, now_ns - 1, False
        self._held, self._left = None, False
        self._begin("activated")

    def deactivate(self, now_ns: int) -> None:
        """Ask for a controlled stop that ends inactive; `active` turns False at rest."""
        self._stop(now_ns, Event.REST_INACTIVE, "deactivating")

    def fault(self, now_ns: int, reason: str) -> None:
        """Latch a fault, after a controlled stop where the node is active."""
        if self.active:
            self._stop(now_ns, Event.REST_FAULT, reason)
        else:
            self.mode, self.reason = advance(self.mode, Event.LATCH), reason

    def pause(self, now_ns: int) -> str:
        """Ask for a controlled stop that lasts until `resume`; returns why not, empty when done."""
        now = ends_in(self.mode, self._after_stop)
        if not self.active or graver(now, Event.REST_OPERATOR) is not Event.REST_OPERATOR:
            return f"mode is {self.mode.value}: there is no motion to pause"
        self._operator_paused = True
        if now is not Event.REST_OPERATOR:
            self._stop(now_ns, Event.REST_OPERATOR, _PAUSED_REASON)
        return ""

    def resume(self, now_ns: int, held: Held, findings: Sequence[Finding]) -> str:
        """Leave the operator's pause into a new episode; returns why not, empty when done.

        Raises PlanError for a position that is not finite; the pause then stays.
        """
        if self.mode is not Mode.PAUSED_BY_OPERATOR:
            return f"mode is {self.mode.value}, only a pause by ~/pause can be resumed"
        if findings:
            return f"the cause persists: {findings[0].reason}"
        self._go_on(Event.RESUME, now_ns, held, "resumed")
        self._operator_paused = False
        return ""

    def change_instruction(self, now_ns: int) -> None:
        """Begin an episode: chunks of the old instruction are dropped, the arm slows down."""
        if self.mode in (Mode.BLENDING_IN, Mode.REPLAYING):
            self._stop(now_ns, Event.REST_HOLD, "instruction changed")
        self.episode += 1
        self.asking.at_once()

    def reset(self, now_ns: int, held: Held, findings: Sequence[Finding]) -> str:
        """Leave the fault into a new episode; returns why not, empty when done.

        While inactive no episode begins; a fault that came in an operator's pause leaves the pause.
        Raises PlanError for a position that is not finite; the fault then stays.
        """
        if self.mode not in FAULTED:
            return f"mode is {self.mode.value}, only a fault can be reset"
        if findings:
            return f"the cause persists: {findings[0].reason}"
        if self.mode is Mode.FAULT_INACTIVE:
            self.mode, self.reason = advance(self.mode, Event.RESET), "the fault was reset"
        elif self._operator_paused:
            self.mode, self.reason = advance(self.mode, Event.RESET_PAUSED), _PAUSED_REASON
        else:
            self._go_on(Event.RESET, now_ns, held, "reset")
        return ""

    def merge(self, chunk: ActionChunk, now_ns: int, held: Held) -> Verdict | None:
        """Offer a chunk to the plan; None when it is of an older episode or not wanted now."""
        if chunk.episode != self.episode or not self._wants_chunks():
            self.counts.dropped += 1
            return None
        self.asking.answered(now_ns - chunk.stamp_ns, self.settings)
        if not self._has_chunk:
            self._rebase(now_ns, held)
        if self.mode in (Mode.HOLDING, Mode.STOPPING):
            self.replay.resume()
        verdict = self.replay.accept(chunk, now_ns)
        if verdict.kind == "jump" and self.settings.shadow and held is not None:
            # Others moved the arm away from our plan; the policy saw where to.
            self.replay.start(now_ns, held)
            self.counts.restarts += 1
            verdict = self.replay.accept(chunk, now_ns)
        self._count(verdict, now_ns)
        return verdict

    def query_failed(self, reason: str, now_ns: int, answered: bool, passing: bool = False) -> bool:
        """Note a query without a chunk; answers that are none count towards a fault.

        passing: an error that may pass by itself, and the next query waits the longer for it.
        Whether this one was one too many in a row, and faulted.
        """
        self.counts.failures += 1
        note = self.asking.put_off if passing else self.asking.failed
        note(reason, now_ns, self.settings)
        if self.mode in (Mode.STOPPING, Mode.HOLDING) and self._after_stop is Event.REST_HOLD:
            self.reason = f"no chunk left to play: {reason}"  # known only after the plan's end
        return answered and self._refused(reason, now_ns)

    def query_due(self, now_ns: int) -> bool:
        """Whether the next observation should be sent now."""
        asking, has_chunk = self.asking, self._has_chunk
        return self._wants_chunks() and asking.due(now_ns, self.replay, has_chunk, self.settings)

    def tick(self, now_ns: int, findings: Sequence[Finding], held: Held) -> Window | None:
        """Advance by one refresh; returns the window to publish, if any.

        The plan goes on from it once `keep` says that it left.
        """
        if self.active and now_ns < self._now_ns:
            self._after_clock_jump(now_ns, self._held if held is None else held)
        elif self.active and self._leapt(now_ns, findings):
            self._leave_to_the_tail(self._now_ns, now_ns, self._held if held is None else held)
        # Of a clock that stands still the robot may know nothing: a window would come late there.
        self._runs, self._now_ns = now_ns > self._now_ns, now_ns
        findings = (*self._overdue(now_ns), *findings)
        self._react(now_ns, self._of_this_plan(now_ns, findings, held), held)
        if self.mode is Mode.BLENDING_IN and self._has_chunk and now_ns >= self._blended_at_ns:
            self.mode, self.reason = advance(self.mode, Event.BLENDED), ""
        if self._has_chunk and self.mode in (Mode.BLENDING_IN, Mode.REPLAYING):
            self._stop_at_the_end(now_ns)
        # A plan of controllers that never tell is not given up on suspicion: if a window is lost,
        # the next plan would begin with a longer step than that of a late window.
        bears_loss, window = held is not None, None
        if self._runs and self.mode in MOVING:
            window = self.replay.propose(now_ns, bears_loss)
        settled = self._settled(now_ns, held)
        if self.mode is Mode.STOPPING and settled and self._rests(now_ns):
            self.mode = advance(self.mode, self._after_stop)
        return window

    def pose_windows(self, now_ns: int) -> Mapping[str, PoseWindow]:
        """The windows of poses to send with the tick's; while plan time stands still as before.

        Who plays them may have another clock, to which a change comes late, and needs to hear on.
        """
        return self.replay.pose_windows(now_ns, anew=self._runs)

    def keep(self, left: Sent | None = None) -> None:
        """What the last tick made has left: all of it, or as `left` says."""
        before = self.replay.counts.windows
        self.replay.keep(left)
        self.counts.windows += self.replay.counts.windows - before

    def unsure(self, now_ns: int, held: Held, reason: str) -> None:
        """What has left is not known: the tail of what the controllers have plays, and a fault."""
        if self.active:
            left_ns = self.replay.motion_unsure_ns(now_ns)
            self._leave_to_the_tail(now_ns, now_ns, held, left_ns=left_ns)
            self._note_stop(Event.REST_FAULT, reason)

    def rest_unticked(self, now_ns: int, held: Held) -> None:
        """End a stop whose ticks raise: nothing is sent any more, and what was sent has played."""
        settled = self._settled(now_ns, held)
        if self.mode is Mode.STOPPING and settled and self.replay.motion_left_ns(now_ns) == 0:
            self.replay.start(now_ns, self.replay.position(now_ns))
            self.mode = advance(self.mode, self._after_stop)

    def _overdue(self, now_ns: int) -> tuple[Finding, ...]:
        """A finding where no window has left for so long that one before may be missing."""
        overdue_ns = self.replay.overdue_ns(now_ns) if self.mode in MOVING else 0
        if not overdue_ns:
            return ()
        text = (
            f"replay thread: no window has left for {overdue_ns / 1e9:.2f} s of motion, at most "
            f"{self.replay.settings.commit_ns / 1e9:.2f} s (commit_ms) allowed; check the CPU's "
            "load"
        )
        return (Finding("replay_starvation", Reaction.PAUSE, text, tail=True),)

    def _rests(self, now_ns: int) -> bool:
        return self.replay.at_rest(now_ns) and self.replay.commands_at_rest

    def _of_this_plan(
        self, now_ns: int, findings: Sequence[Finding], held: Held
    ) -> Sequence[Finding]:
        """The findings; where a controller may play something else than the plan, that ends.

        Nothing more is published of it: the tail of what the controller has is the stop
        (control.md 1, items 7 and 11). At rest the next plan starts from what is held anyway; where
        one plays something else and not every controller tells, a person has to look.
        """
        tails = [one for one in findings if one.tail]
        if tails and self.mode in MOVING and not self._settling.pending:
            timely = all(one.watch != _ELSEWHERE for one in tails)
            if not (timely and (self._left or self.replay.at_rest(now_ns))):
                self._leave_to_the_tail(now_ns, now_ns, held, timely)
                return findings if held is not None else [_graver(one) for one in findings]
        return [one for one in findings if one.watch != _ELSEWHERE]

    def _wants_chunks(self) -> bool:
        if self.mode is Mode.STOPPING:
            return self._after_stop is Event.REST_HOLD
        return self.mode in (Mode.BLENDING_IN, Mode.REPLAYING, Mode.HOLDING)

    def _react(self, now_ns: int, findings: Sequence[Finding], held: Held) -> None:
        if not self.active or self.mode is Mode.FAULT:
            return
        worst = {f.reaction: f for f in reversed(findings)}
        if Reaction.FAULT in worst:
            self._stop(now_ns, Event.REST_FAULT, worst[Reaction.FAULT].reason)
        elif Reaction.PAUSE in worst:
            self._healthy = 0
            self._pause_for([f for f in findings if f.reaction is Reaction.PAUSE], now_ns)
        elif self.mode is Mode.PAUSED:
            self._healthy += 1
            if self._healthy >= self.settings.healthy_ticks:
                self._go_on(Event.HEALTHY, now_ns, held, "inputs healthy again")

    def _stop_at_the_end(self, now_ns: int) -> None:
        if self.replay.remaining_ns(now_ns) > 0:
            return
        why = self.asking.last_failure or "the next chunk did not arrive before the last one ended"
        # The plan already comes to rest where the reference ends: nothing has to be cut.
        self._note_stop(Event.REST_HOLD, f"no chunk left to play: {why}")

    def _leapt(self, now_ns: int, findings: Sequence[Finding]) -> bool:
        """Whether plan time ran ahead in motion; its watch may have told a tick before.

        A gap alone is a node that slept, whose controllers lived through the same time.
        """
        stopping = self.mode is Mode.STOPPING and self._paused_by == "clock_forward"
        told = stopping or any(finding.watch == "clock_forward" for finding in findings)
        leapt = now_ns - self._now_ns > _LEAP_NS
        return told and leapt and self.replay.motion_left_ns(self._now_ns) > 0

    def _after_clock_jump(self, now_ns: int, held: Held) -> None:
        """Plan time ran back: the old plan has no meaning, the controllers play its tail."""
        self._leave_to_the_tail(self._now_ns, now_ns, held)
        if self.mode is Mode.FAULT:
            return  # latched, whatever the clock does
        rest = Event.REST_FAULT if held is None else Event.REST_PAUSE
        back_s = (self._now_ns - now_ns) / 1e9
        if self._note_stop(rest, f"the clock went back by {back_s:.3f} s"):
            self._paused_by, self._told_ticks = "clock_backward", 0

    def _go_on(self, event: Event, now_ns: int, held: Held, reason: str) -> None:
        mode = advance(self.mode, event)
        self._rebase(now_ns, held)
        self.replay.resume()
        self.mode = mode
        self._begin(reason)

    def _begin(self, reason: str) -> None:
        self.episode += 1
        self.reason = f"{reason}: waiting for the first action chunk"
        self._has_chunk = False
        self.asking.begin()

    def _count(self, verdict: Verdict, now_ns: int) -> None:
        if verdict.kind in ("late", "stopped"):
            self.counts.dropped += 1
            self.asking.last_failure = verdict.reason
        elif not verdict.accepted:
            self._refused(verdict.reason, now_ns)
        else:
            self._accepted(verdict, now_ns)

    def _accepted(self, verdict: Verdict, now_ns: int) -> None:
        self.counts.accepted += 1
        self.counts.clamped += verdict.clamped
        self.asking.accepted()
        if not self._has_chunk:
            self._blended_at_ns = now_ns + self.settings.blend_in_ns
            self.reason = "blending in"
        self._has_chunk = True
        self.mode = advance(self.mode, Event.CHUNK)

    def _refused(self, reason: str, now_ns: int) -> bool:
        self.counts.refused += 1
        finding = self.asking.refused(reason, now_ns, self.settings)
        if finding is None or self.mode is Mode.FAULT or not self.active:
            return False
        return self._stop(now_ns, Event.REST_FAULT, finding.reason)

    def _pause_for(self, findings: Sequence[Finding], now_ns: int) -> None:
        at_rest = self.mode in (Mode.PAUSED, Mode.PAUSED_BY_OPERATOR)
        if not at_rest and self._stop(now_ns, Event.REST_PAUSE, findings[0].reason):
            self._paused_by, self._told_ticks = findings[0].watch, 0
        elif self._paused_by and self._after_stop is Event.REST_PAUSE:
            self._told_ticks += 1
            lasting = self._told_ticks > _EVENT_TICKS
            better = better_reason(self._paused_by, self.reason, findings, lasting)
            if better is not None:
                self.reason, self._paused_by, self._told_ticks = better.reason, better.watch, 0

    def _settled(self, now_ns: int, held: Held) -> bool:
        """Whether the controllers rest after a jump; a fault where nobody told until they must."""
        waited, self._held = self._settling.pending, held
        settled = self._settling.over(now_ns, held)
        unknown = self._settling.gave_up and not self._timely
        if waited and unknown and self.mode is Mode.STOPPING:
            why = f"{self.reason}; and no controller tells what it holds since: look where it is"
            self._note_stop(Event.REST_FAULT, why)
        return settled

    def _leave_to_the_tail(
        self,
        old_now_ns: int,
        now_ns: int,
        held: Held,
        timely: bool = False,
        left_ns: int | None = None,
    ) -> None:
        """The plan as of `old_now_ns` has no meaning any more: the controllers play its tail.

        timely: they do so on the plan's own time. The stop then ends with it although nobody tells;
        a watch keeps the pause while one that has told does not. left_ns: how long they play, where
        that is not what the plan says.
        """
        self._left, self._timely = True, timely
        left_ns = self.replay.motion_left_ns(old_now_ns) if left_ns is None else left_ns
        self._settling.begin(now_ns, left_ns, held, timely)
        if held is not None:
            self.replay.start(now_ns, held)
        elif old_now_ns == now_ns:
            self.replay.leave(now_ns)
        else:
            self.replay.start(now_ns, self.replay.position(old_now_ns))

    def _stop(self, now_ns: int, rest: Event, reason: str) -> bool:
        """Enter the stop and have the plan do it; False where none had to begin."""
        if not self._note_stop(rest, reason):
            return False
        if self.replay.at_rest(now_ns):
            # Says nothing: somebody else may have moved the arm since, and a window would take it
            # back to where we left it.
            self.replay.forget(now_ns)
        else:
            self.replay.stop(now_ns, reason)
        return True

    def _note_stop(self, rest: Event, reason: str) -> bool:
        """Enter the mode; False where a stop of the same or greater gravity is under way."""
        before = ends_in(self.mode, self._after_stop)
        after = graver(before, rest)
        if self.mode is Mode.STOPPING and after is before:
            return False
        if rest in (after, Event.REST_FAULT):  # a fault's reason outlives a deactivation
            self.reason = reason
        self.mode, self._paused_by = advance(self.mode, Event.STOP), ""
        self._after_stop, self._has_chunk, self._healthy = after, False, 0
        return True

    def _rebase(self, now_ns: int, held: Held) -> None:
        """Start from what the controller holds if someone else has commanded since our stop.

        Always so after a plan was left to its tail, whose end may be another one than we know.
        """
        if self._left:
            self.replay.start(now_ns, self.replay.position(now_ns) if held is None else held)
            self._left = False
            return
        if held is None or not self.replay.at_rest(now_ns - _SETTLED_NS):
            return
        apart = np.abs(held - self.replay.position(now_ns))
        if not float(np.max(apart)) <= self.settings.rebase_rad:  # NaN is for start to refuse
            self.replay.start(now_ns, held)


def _graver(one: Finding) -> Finding:
    """A fault in place of the pause that could not end."""
    if not one.tail or one.watch == "replay_starvation":
        return one
    return replace(one, reaction=Reaction.FAULT)
