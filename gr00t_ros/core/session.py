"""One activation: modes, episodes and the replay of chunks, ticked by one owner.

Decides when a chunk may be merged, when the arm stops and why, when it goes on, and when the
next query is due. Publishes nothing itself: `tick` returns the window to publish. Its caller
serialises all calls and passes `now_ns` of the plan clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.chunk import ActionChunk
from gr00t_ros.core.guard import Verdict
from gr00t_ros.core.mode import ACTIVE, MOVING, Event, Mode, advance
from gr00t_ros.core.pause_reason import better_reason
from gr00t_ros.core.replay import Replay, Window
from gr00t_ros.core.settling import Settling
from gr00t_ros.core.watchdog import Finding, Reaction, consecutive_refusals

# A stop that ends in the first of these never becomes one that ends in a later one.
_GRAVITY = (Event.REST_INACTIVE, Event.REST_FAULT, Event.REST_PAUSE, Event.REST_HOLD)
# A held position may be 0.2 s old when it is read: of an arm that came to rest later than this
# before, it may still tell of our own stop, whose end the plan knows better.
_SETTLED_NS = 250_000_000


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Thresholds of a session; see ros/parameters.py for their ranges."""

    execute_steps: int = 8  # of a chunk, before the next query; 0: that is as late as is safe
    blend_in_ns: int = 300_000_000  # time until a first chunk counts as blended in
    healthy_ticks: int = 10  # ticks without a finding before a pause ends
    retry_ns: int = 200_000_000  # wait after a failed query
    refusals_to_fault: int = 3  # control.md 3, consecutive failures
    rebase_rad: float = 1e-3  # reference and plan further apart: someone else commanded
    latency_memory: int = 32  # queries whose longest latency decides when to ask at the latest


@dataclass(slots=True)
class Counts:
    """What became of the chunks and queries of this configuration."""

    accepted: int = 0
    clamped: int = 0
    refused: int = 0
    dropped: int = 0
    failures: int = 0
    windows: int = 0


@dataclass(slots=True)
class Session:
    """State of one configuration of the node; see the module for its contract."""

    replay: Replay
    settings: SessionSettings
    mode: Mode = Mode.WAITING
    reason: str = ""
    episode: int = 0
    counts: Counts = field(default_factory=Counts)
    _after_stop: Event = Event.REST_HOLD
    _blended_at_ns: int = 0
    _has_chunk: bool = False
    _healthy: int = 0
    _refusals: int = 0
    _last_failure: str = ""
    _retry_at_ns: int = 0
    _now_ns: int = 0
    _latencies_ns: deque[int] = field(default_factory=deque)
    _warmed_up: bool = False
    _settling: Settling = field(default_factory=Settling)
    _paused_by: str = ""

    @property
    def moving(self) -> bool:
        """Whether this mode may publish motion."""
        return self.mode in MOVING

    @property
    def active(self) -> bool:
        """Whether the node is between activation and the end of the deactivation's stop."""
        return self.mode in ACTIVE

    @property
    def delay_p99_ns(self) -> int:
        """p99 of the newest delays from an observation to its chunk, warm-up left out; 0: none."""
        delays_ns = sorted(self._latencies_ns)
        return delays_ns[-(-99 * len(delays_ns) // 100) - 1] if delays_ns else 0

    def set_ready(self, ready: bool, reason: str) -> None:
        """Follow the readiness of check and streams while inactive."""
        if self.mode is Mode.WAITING and ready:
            self.mode = advance(self.mode, Event.READY)
        elif self.mode is Mode.READY and not ready:
            self.mode = advance(self.mode, Event.NOT_READY)
        if not self.active:
            self.reason = reason

    def activate(self, now_ns: int, held: NDArray[np.float64]) -> None:
        """Begin the first episode from the position `held` (J,) that the controller holds.

        Raises PlanError for a position that is not finite; the mode is then as it was.
        """
        mode = advance(self.mode, Event.ACTIVATE)
        self.replay.start(now_ns, held)
        self.mode, self._now_ns = mode, now_ns
        self._begin("activated: waiting for the first action chunk")

    def deactivate(self, now_ns: int) -> None:
        """Ask for a controlled stop that ends inactive; `active` turns False at rest."""
        self._stop(now_ns, Event.REST_INACTIVE, "deactivating")

    def fault(self, now_ns: int, reason: str) -> None:
        """Ask for a controlled stop that ends in the latched fault."""
        self._stop(now_ns, Event.REST_FAULT, reason)

    def change_instruction(self, now_ns: int) -> None:
        """Begin an episode: chunks of the old instruction are dropped, the arm slows down."""
        if self.mode in (Mode.BLENDING_IN, Mode.REPLAYING):
            self._stop(now_ns, Event.REST_HOLD, "instruction changed")
        self.episode += 1
        self._retry_at_ns = 0

    def reset(self, now_ns: int, held: NDArray[np.float64], findings: Sequence[Finding]) -> str:
        """Leave the fault into a new episode; returns why not, empty when done.

        Raises PlanError for a position that is not finite; the fault then stays.
        """
        if self.mode is not Mode.FAULT:
            return f"mode is {self.mode.value}, only a fault can be reset"
        if findings:
            return f"the cause persists: {findings[0].reason}"
        self._resume(now_ns, held, "reset: waiting for the first action chunk")
        return ""

    def merge(
        self, chunk: ActionChunk, now_ns: int, held: NDArray[np.float64] | None
    ) -> Verdict | None:
        """Offer a chunk to the plan; None when it is of an older episode or not wanted now."""
        stopping_for_good = self.mode is Mode.STOPPING and self._after_stop is not Event.REST_HOLD
        unwanted = stopping_for_good or self.mode in (Mode.PAUSED, Mode.FAULT)
        if chunk.episode != self.episode or unwanted or not self.active:
            self.counts.dropped += 1
            return None
        self._note_latency(now_ns - chunk.stamp_ns)
        if not self._has_chunk:
            self._rebase(now_ns, held)
        if self.mode in (Mode.HOLDING, Mode.STOPPING):
            self.replay.resume()
        verdict = self.replay.accept(chunk, now_ns)
        self._count(verdict, now_ns)
        return verdict

    def query_failed(self, reason: str, now_ns: int, answered: bool) -> None:
        """Note a query without a chunk; answers that are errors count towards a fault."""
        self.counts.failures += 1
        self._last_failure = reason
        self._retry_at_ns = now_ns + self.settings.retry_ns
        if self.mode in (Mode.STOPPING, Mode.HOLDING) and self._after_stop is Event.REST_HOLD:
            self.reason = f"no chunk left to play: {reason}"  # known only after the plan's end
        if answered:
            self._refused(reason, now_ns)

    def query_due(self, now_ns: int) -> bool:
        """Whether the next observation should be sent now."""
        if now_ns < self._retry_at_ns or not self.active:
            return False
        if self.mode is Mode.STOPPING:
            return self._after_stop is Event.REST_HOLD
        if self.mode in (Mode.PAUSED, Mode.FAULT):
            return False
        if not self._has_chunk:
            return True
        latest_ns = self.replay.query_by_ns(max(self._latencies_ns, default=0))
        enough = 0 < self.settings.execute_steps <= self.replay.consumed_steps(now_ns)
        return enough or now_ns >= (latest_ns or 0)

    def tick(
        self, now_ns: int, findings: Sequence[Finding], held: NDArray[np.float64] | None
    ) -> Window | None:
        """Advance by one refresh; returns the window to publish, if any."""
        if now_ns < self._now_ns and self.active:
            self._after_clock_jump(now_ns, held)
        self._now_ns = now_ns
        self._react(now_ns, self._of_this_plan(now_ns, findings, held), held)
        if self.mode is Mode.BLENDING_IN and self._has_chunk and now_ns >= self._blended_at_ns:
            self.mode, self.reason = advance(self.mode, Event.BLENDED), ""
        if self._has_chunk and self.mode in (Mode.BLENDING_IN, Mode.REPLAYING):
            self._stop_at_the_end(now_ns)
        window = self.replay.tick(now_ns) if self.moving else None
        self.counts.windows += window is not None
        settled = self._settling.over(now_ns, held)
        if self.mode is Mode.STOPPING and settled and self.replay.at_rest(now_ns):
            self.mode = advance(self.mode, self._after_stop)
        return window

    def _of_this_plan(
        self, now_ns: int, findings: Sequence[Finding], held: NDArray[np.float64] | None
    ) -> Sequence[Finding]:
        """The findings; a controller that plays something else than the plan ends the plan.

        Nothing more is published of it: the tail of what the controller has is the stop
        (control.md 1, item 7). At rest the next plan starts from what is held anyway.
        """
        if all(finding.watch != "reference_against_plan" for finding in findings):
            return findings
        if self.moving and not self._settling.pending:
            self._leave_to_the_tail(now_ns, now_ns, held)
            return findings
        return [finding for finding in findings if finding.watch != "reference_against_plan"]

    def _leave_to_the_tail(
        self, old_now_ns: int, now_ns: int, held: NDArray[np.float64] | None
    ) -> None:
        """The plan as of `old_now_ns` has no meaning any more: the controllers play its tail."""
        last = self.replay.position(old_now_ns)
        self._settling.begin(now_ns, self.replay.motion_left_ns(old_now_ns))
        self.replay.start(now_ns, last if held is None else held)

    def _react(
        self, now_ns: int, findings: Sequence[Finding], held: NDArray[np.float64] | None
    ) -> None:
        if not self.active or self.mode is Mode.FAULT:
            return
        worst = {f.reaction: f for f in reversed(findings)}
        if Reaction.FAULT in worst:
            self._stop(now_ns, Event.REST_FAULT, worst[Reaction.FAULT].reason)
        elif Reaction.PAUSE in worst:
            self._healthy = 0
            self._pause(now_ns, [f for f in findings if f.reaction is Reaction.PAUSE])
        elif self.mode is Mode.PAUSED:
            self._healthy += 1
            if self._healthy >= self.settings.healthy_ticks:
                self._resume(now_ns, held, "inputs healthy again: waiting for a chunk")

    def _pause(self, now_ns: int, findings: Sequence[Finding]) -> None:
        if self.mode is not Mode.PAUSED and self._stop(
            now_ns, Event.REST_PAUSE, findings[0].reason
        ):
            self._paused_by = findings[0].watch
        elif self._paused_by and self._after_stop is Event.REST_PAUSE:
            better = better_reason(self._paused_by, findings)
            if better is not None:
                self.reason, self._paused_by = better.reason, better.watch

    def _stop_at_the_end(self, now_ns: int) -> None:
        if self.replay.remaining_ns(now_ns) > 0:
            return
        why = self._last_failure or "the next chunk did not arrive before the last one ended"
        # The plan already comes to rest where the reference ends: nothing has to be cut.
        self._note_stop(Event.REST_HOLD, f"no chunk left to play: {why}")

    def _after_clock_jump(self, now_ns: int, held: NDArray[np.float64] | None) -> None:
        """Plan time ran back: the old plan has no meaning, the controllers play its tail."""
        self._leave_to_the_tail(self._now_ns, now_ns, held)
        if self.mode is Mode.FAULT:
            return  # latched, whatever the clock does
        rest = Event.REST_FAULT if held is None else Event.REST_PAUSE
        back_s = (self._now_ns - now_ns) / 1e9
        if self._note_stop(rest, f"the clock went back by {back_s:.3f} s"):
            self._paused_by = "clock_backward"

    def _stop(self, now_ns: int, rest: Event, reason: str) -> bool:
        """Enter the stop and have the plan do it; False where none had to begin."""
        if not self._note_stop(rest, reason):
            return False
        if self.replay.at_rest(now_ns):
            # Forgets what was merged but never sent, and says nothing: somebody else may have
            # moved the arm since, and a window would take it back to where we left it.
            self.replay.start(now_ns, self.replay.position(now_ns))
        else:
            self.replay.stop(now_ns, reason)
        return True

    def _note_stop(self, rest: Event, reason: str) -> bool:
        """Enter the mode; False where a stop of the same or greater gravity is under way."""
        if self.mode is Mode.STOPPING and _GRAVITY.index(rest) >= _GRAVITY.index(self._after_stop):
            return False
        self.mode, self.reason = advance(self.mode, Event.STOP), reason
        self._after_stop, self._has_chunk, self._healthy = rest, False, 0
        self._paused_by = ""
        return True

    def _resume(self, now_ns: int, held: NDArray[np.float64] | None, reason: str) -> None:
        mode = advance(self.mode, Event.EPISODE)
        self._rebase(now_ns, held)
        self.replay.resume()
        self.mode = mode
        self._begin(reason)

    def _begin(self, reason: str) -> None:
        self.episode += 1
        self.reason, self._has_chunk, self._refusals = reason, False, 0
        self._retry_at_ns, self._last_failure = 0, ""

    def _rebase(self, now_ns: int, held: NDArray[np.float64] | None) -> None:
        """Start from what the controller holds if someone else has commanded since our stop."""
        if held is None or not self.replay.at_rest(now_ns - _SETTLED_NS):
            return
        apart = np.abs(held - self.replay.position(now_ns))
        if not float(np.max(apart)) <= self.settings.rebase_rad:  # NaN is for start to refuse
            self.replay.start(now_ns, held)

    def _note_latency(self, latency_ns: int) -> None:
        """Remember an end-to-end latency; the first one is warm-up (control.md 1)."""
        if self._warmed_up:
            self._latencies_ns.append(latency_ns)
            if len(self._latencies_ns) > self.settings.latency_memory:
                self._latencies_ns.popleft()
        self._warmed_up = True

    def _count(self, verdict: Verdict, now_ns: int) -> None:
        if verdict.kind in ("late", "stopped"):
            self.counts.dropped += 1
            self._last_failure = verdict.reason
        elif not verdict.accepted:
            self._refused(verdict.reason, now_ns)
        else:
            self._accepted(verdict, now_ns)

    def _accepted(self, verdict: Verdict, now_ns: int) -> None:
        self.counts.accepted += 1
        self.counts.clamped += verdict.clamped
        self._refusals, self._last_failure = 0, ""
        if not self._has_chunk:
            self._blended_at_ns = now_ns + self.settings.blend_in_ns
            self.reason = "blending in"
        self._has_chunk = True
        self.mode = advance(self.mode, Event.CHUNK)

    def _refused(self, reason: str, now_ns: int) -> None:
        self.counts.refused += 1
        self._refusals += 1
        self._last_failure = reason
        self._retry_at_ns = now_ns + self.settings.retry_ns
        finding = consecutive_refusals(self._refusals, self.settings.refusals_to_fault, reason)
        if finding and self.mode is not Mode.FAULT and self.active:
            self._stop(now_ns, Event.REST_FAULT, finding.reason)
