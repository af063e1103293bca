"""Watches on the policy server: it is silent, answers errors, or its chunks are no numbers.

Takes steady time. Refused chunks in a row are core/watchdog's consecutive_refusals; which errors
may pass is core/server_error's to say.
"""

from __future__ import annotations

from collections.abc import Callable

from gr00t_ros.core.watch_table import finding
from gr00t_ros.core.watchdog import Finding

_FIRST_TRY_NS = 250_000_000
_LONGEST_TRY_NS = 4_000_000_000


def _all_of(age_ns: int) -> int:
    return age_ns


class SidecarDead:
    """Measures for how long a question, be it a query or a ping, has been without an answer."""

    def __init__(
        self,
        server: str,
        pause_ns: int = 1_000_000_000,
        fault_ns: int = 10_000_000_000,
        awake_ns: Callable[[int], int] = _all_of,
    ) -> None:
        """Pause above `pause_ns` of silence, fault above `fault_ns`; `server` is its address.

        awake_ns: how much of an age this process was awake: while it slept, no answer could be
        taken, and what it slept is no fault.
        """
        self._server, self._awake_ns = server, awake_ns
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
        awake_ns = self._awake_ns(silent_ns)
        worse = awake_ns > self.fault_ns
        limit_ns = self.fault_ns if worse else self.pause_ns
        slept_ns = silent_ns - awake_ns
        slept = f" (this node slept for {slept_ns / 1e9:.2f} s of it)" if slept_ns else ""
        text = (
            f"policy server {self._server}: no answer for {silent_ns / 1e9:.2f} s{slept}, at most "
            f"{limit_ns / 1e9:.2f} s allowed"
        )
        return finding("sidecar_dead", text, worse)


class ServerErrors:
    """Measures for how long the server has answered nothing but errors that may pass.

    The time goes on from the first error to a chunk or a check that passed. A chunk alone ends what
    counts towards the fault: a server that infers zeros and fails on every real observation would
    be tried for ever. Knows the time from `finding`, which is asked at each tick.
    """

    def __init__(
        self,
        server: str,
        pause_ns: int = 2_000_000_000,
        fault_ns: int = 30_000_000_000,
        awake_ns: Callable[[int], int] = _all_of,
    ) -> None:
        """Pause above `pause_ns` of errors, fault above `fault_ns`; `server` is its address.

        awake_ns: how much of an age this process was awake: while it slept, it asked nothing.
        """
        self._server, self._awake_ns = server, awake_ns
        self.pause_ns, self.fault_ns = pause_ns, fault_ns
        self._words = ""  # of the newest error; empty: none stands
        self._since_ns: int | None = None
        self._before_ns = 0  # of errors since the last chunk that stand no more
        self._tries = 0
        self._try_at_ns: int | None = None

    def failed(self, words: str) -> None:
        """An error came, to a query or a check; `words` are the server's, with the remedy."""
        self._words, self._try_at_ns = words or "an error without a text", None

    def answered(self) -> None:
        """A chunk came."""
        self._words, self._since_ns, self._try_at_ns = "", None, None
        self._before_ns = self._tries = 0

    def recovered(self, now_ns: int) -> None:
        """A check has passed, or has found what is no matter of waiting."""
        if self._since_ns is not None:
            self._before_ns += self._awake_ns(max(0, now_ns - self._since_ns))
        self._words, self._since_ns, self._try_at_ns = "", None, None

    def finding(self, now_ns: int) -> Finding | None:
        """What the errors up to now make of the motion."""
        if not self._words:
            return None
        if self._since_ns is None or now_ns < self._since_ns:
            self._since_ns = now_ns
        if self._try_at_ns is None:
            self._try_at_ns = now_ns + min(_FIRST_TRY_NS << self._tries, _LONGEST_TRY_NS)
            self._tries = min(self._tries + 1, 10)
        lasts_ns = self._awake_ns(now_ns - self._since_ns)
        worse = self._before_ns + lasts_ns > self.fault_ns
        if not worse and lasts_ns <= self.pause_ns:
            return None
        limit_ns = self.fault_ns if worse else self.pause_ns
        seen_ns = self._before_ns + lasts_ns if worse else lasts_ns
        text = (
            f"policy server {self._server}: errors alone for {seen_ns / 1e9:.2f} s, at most "
            f"{limit_ns / 1e9:.2f} s allowed, the last: {self._words}"
        )
        return finding("server_errors", text, worse)

    def try_due(self, now_ns: int) -> bool:
        """Whether a session that rests should have the server checked now, after an error."""
        return self._try_at_ns is not None and now_ns >= self._try_at_ns


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
