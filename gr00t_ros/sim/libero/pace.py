"""Simulated time that is never faster than wanted, and slower where the machine is busy."""

from __future__ import annotations

import threading
import time


class Pace:
    """Ticks a period apart; a late one delays all later ones, but for what `slack` catches up."""

    def __init__(self, period_ns: float, slack: int) -> None:
        """``period_ns``: steady time between two ticks; ``slack``: ticks that may be caught up.

        So `slack` + n ticks never take less than n periods.
        """
        self._period_ns = period_ns
        self._slack_ns = slack * period_ns
        self._due_ns = 0.0

    def begin(self) -> None:
        """The next tick is due a period from now."""
        self._due_ns = time.monotonic_ns() + self._period_ns

    def wait(self, stop: threading.Event) -> bool:
        """Wait until the next tick is due; False when ``stop`` was set."""
        left_ns = self._due_ns - time.monotonic_ns()
        if left_ns > 0:
            stop.wait(left_ns * 1e-9)
        self._due_ns = max(self._due_ns, time.monotonic_ns() - self._slack_ns) + self._period_ns
        return not stop.is_set()
