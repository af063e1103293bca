"""Absolute deadlines for the ticks of a simulation: when each is due, and how late it was.

Owns the wait, and skips nothing by itself: physics that falls behind catches up tick by
tick, so that no controller ever sees its clock jump.
"""

import threading
import time
from dataclasses import dataclass

PAUSE_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Lateness:
    """Ticks that began more than one period late, the worst delay, and the newest tick's."""

    late_ticks: int
    worst_ns: int
    now_ns: int


class Pace:
    """Ticks of simulated time, ``real_time_factor`` times as fast as the steady clock."""

    def __init__(self, start_ns: int, period_ns: int, real_time_factor: float = 1.0) -> None:
        """Tick 0 is ``start_ns`` of simulated time, and is due now."""
        self._start_ns = start_ns
        self._period_ns = period_ns
        self._steady_period_ns = period_ns / real_time_factor
        self._steady_start_ns = time.monotonic_ns()
        self._paused = False
        self._late_ticks = 0
        self._worst_ns = 0
        self._now_ns = 0

    @property
    def lateness(self) -> Lateness:
        """How late ticks were until now; readable from any thread."""
        return Lateness(self._late_ticks, self._worst_ns, self._now_ns)

    def pause(self, paused: bool) -> None:
        """Let no further tick become due until it is called with False; any thread may."""
        self._paused = paused

    def time_ns(self, tick: int) -> int:
        """Return the simulated time of a tick, ns."""
        return self._start_ns + tick * self._period_ns

    def newest_due(self) -> int:
        """Return the newest tick whose deadline has come."""
        return int((time.monotonic_ns() - self._steady_start_ns) / self._steady_period_ns)

    def wait(self, tick: int, stop: threading.Event) -> bool:
        """Wait until a tick is due; return False when ``stop`` was set."""
        self._wait_out_the_pause(stop)
        due_ns = self._steady_start_ns + round(tick * self._steady_period_ns)
        left_ns = due_ns - time.monotonic_ns()
        if left_ns > 0:
            stop.wait(left_ns * 1e-9)
        self._note(max(0, time.monotonic_ns() - due_ns))
        return not stop.is_set()

    def _wait_out_the_pause(self, stop: threading.Event) -> None:
        began_ns = time.monotonic_ns()
        while self._paused and not stop.wait(PAUSE_LOOK_S):
            pass
        if (gone_ns := time.monotonic_ns() - began_ns) >= PAUSE_LOOK_S * 1e9:
            self._steady_start_ns += gone_ns

    def _note(self, late_ns: int) -> None:
        self._now_ns = late_ns
        self._worst_ns = max(self._worst_ns, late_ns)
        self._late_ticks += late_ns > self._steady_period_ns
