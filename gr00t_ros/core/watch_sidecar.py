"""Watches on the policy server: it is silent, or its chunks are no numbers.

Takes steady time. Errors and refusals in a row are core/watchdog's consecutive_refusals.
"""

from __future__ import annotations

from gr00t_ros.core.watch_table import finding
from gr00t_ros.core.watchdog import Finding


class SidecarDead:
    """Measures for how long a question, be it a query or a ping, has been without an answer."""

    def __init__(
        self, server: str, pause_ns: int = 1_000_000_000, fault_ns: int = 10_000_000_000
    ) -> None:
        """Pause above `pause_ns` of silence, fault above `fault_ns`; `server` is its address."""
        self._server = server
        self.pause_ns, self.fault_ns = pause_ns, fault_ns
        self._since_ns: int | None = None

    def asked(self, now_ns: int) -> None:
        """A question went out; the first that is unanswered counts, repeats do not renew it."""
        if self._since_ns is None or now_ns < self._since_ns:
            self._since_ns = now_ns

    def answered(self) -> None:
        """Anything came back, an error text as well: whoever answers is alive."""
        self._since_ns = None

    def withdrawn(self, asked_ns: int) -> None:
        """The question of that time was never sent, for want of an observation."""
        if self._since_ns == asked_ns:
            self._since_ns = None

    def finding(self, now_ns: int) -> Finding | None:
        """The silence up to now; without a question there is none.

        A pause asks nothing by itself: pings have to go on, or the silence ends in the fault.
        """
        if self._since_ns is None or now_ns - self._since_ns <= self.pause_ns:
            return None
        silent_ns = now_ns - self._since_ns
        worse = silent_ns > self.fault_ns
        limit_ns = self.fault_ns if worse else self.pause_ns
        text = (
            f"policy server {self._server}: no answer for {silent_ns / 1e9:.2f} s, at most "
            f"{limit_ns / 1e9:.2f} s allowed"
        )
        return finding("sidecar_dead", text, worse)


class NonFinite:
    """Counts chunks with NaN or infinity since the last reset; healthy ones between do not help."""

    def __init__(self, limit: int = 2) -> None:
        """Drop each, fault at the one with number `limit`."""
        self.limit = limit
        self._count = 0

    def see(self, where: str) -> Finding:
        """Take one such chunk; `where` names the value's place in it."""
        self._count += 1
        text = f"{where}: chunk {self._count} that is not finite, fault at {self.limit}"
        return finding("non_finite", text, self._count >= self.limit)

    def reset(self) -> None:
        """Begin to count anew."""
        self._count = 0
