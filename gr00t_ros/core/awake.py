"""The steady time in which this process ran: what aged while it slept says nothing of its source.

A stopped process, or one without a core, hears nothing; afterwards every topic looks silent until
what waited has been taken and something fresh could come. Each thread that matters notes when it
ran; a gap longer than it is allowed is a sleep. One thread notes, others may read.
"""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]
"""From and until, steady time, ns."""

_KEPT = 64
"""Sleeps that are remembered: more than lie within any age that a watch compares."""


class Awake:
    """One thread's notes; reading them needs no lock, they are replaced as a whole."""

    def __init__(self, allowed_ns: int) -> None:
        """allowed_ns: the longest gap between two notes that is no sleep."""
        self.allowed_ns = allowed_ns
        self._ran_ns: int | None = None
        self._sleeps: tuple[Span, ...] = ()

    def ran(self, now_ns: int) -> int:
        """Note that the thread runs; returns how long it slept before, ns, 0 where it did not."""
        last_ns, self._ran_ns = self._ran_ns, now_ns
        if last_ns is None or now_ns - last_ns <= self.allowed_ns:
            return 0
        self._sleeps = (*self._sleeps[1 - _KEPT :], (last_ns, now_ns))
        return now_ns - last_ns

    def sleeps(self, now_ns: int) -> tuple[Span, ...]:
        """The sleeps so far, with the one that lasts now, if it does."""
        last_ns, sleeps = self._ran_ns, self._sleeps
        if last_ns is None or now_ns - last_ns <= self.allowed_ns:
            return sleeps
        return (*sleeps, (last_ns, now_ns))


def awake_ns(since_ns: int, now_ns: int, sleeps: Iterable[Span]) -> int:
    """How much of [since_ns, now_ns] lies in none of `sleeps`, which may overlap; ns."""
    left_ns, at_ns = max(0, now_ns - since_ns), since_ns
    for begin_ns, end_ns in sorted(sleeps):
        begin_ns, end_ns = max(begin_ns, at_ns), min(end_ns, now_ns)
        if begin_ns < end_ns:
            left_ns -= end_ns - begin_ns
            at_ns = end_ns
    return left_ns
