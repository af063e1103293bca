"""The stops of a session: which mode one ends in, with which reason, and where the plan goes on.

Knows no chunks and no queries; session does, and builds on this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.mode import Event, Mode, advance, ends_in, graver
from gr00t_ros.core.pause_reason import better_reason
from gr00t_ros.core.replay import Replay
from gr00t_ros.core.session_settings import SessionSettings
from gr00t_ros.core.settling import Settling
from gr00t_ros.core.watchdog import Finding

Held = NDArray[np.float64] | None
"""(J,) position that the controllers hold, None where they do not tell."""

# A held position may be 0.2 s old when it is read: of an arm that came to rest later than this
# before, it may still tell of our own stop, whose end the plan knows better.
_SETTLED_NS = 250_000_000
# Ticks in which streams that a jump or a starved process made old are well again, by far; no time,
# since the plan's own may have jumped.
_EVENT_TICKS = 100


@dataclass(slots=True)
class Stops:
    """What a session is doing and how it comes to rest; the replay is the session's own."""

    replay: Replay
    settings: SessionSettings
    mode: Mode = Mode.WAITING
    reason: str = ""
    _after_stop: Event = Event.REST_HOLD
    _has_chunk: bool = False
    _healthy: int = 0
    _settling: Settling = field(default_factory=Settling)
    _held: Held = None  # as of the last tick: in the tick after a jump all inputs are forgotten
    _paused_by: str = ""
    _told_ticks: int = 0
    _left: bool = False  # to the tail of what was sent: where the arm rests, only what is held says
    _timely: bool = False  # of what was left so: no clock jumped, its tail is over when it must be

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
