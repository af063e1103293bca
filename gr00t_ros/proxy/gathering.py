"""When a batch leaves: at once, unless robots that come back at once are still missing.

Without a wait, the first robot that comes back after a batch would be sent alone or with few, and
the others would be the next batch: two half batches would alternate for ever. So after a reply the
next batch waits for those of its robots that came back at once before. Pure: takes `now_ns`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final

_MAX_SLOW: Final = 1024  # remembered: a client that changes its name fills no more


class Gathering:
    """The robots that are expected to ask again at once.

    The wait ends when all of them are there, or when none came for `wait_ns`. A robot that was
    missed is not expected again until it comes in such a time by itself.
    """

    def __init__(self, wait_ns: int) -> None:
        self._wait_ns = wait_ns
        self._expected: dict[Hashable, Hashable] = {}  # client -> key of its last request
        self._slow: dict[Hashable, None] = {}  # the oldest first
        self._since_ns: int | None = None  # the last reply, or the last arrival of one expected

    def landed(self, rows: Iterable[tuple[Hashable, Hashable]], now_ns: int) -> None:
        """Each client of these (client, key) has got its reply now."""
        told = dict(rows)
        if told:
            self._since_ns = now_ns
        self._expected |= {client: key for client, key in told.items() if client not in self._slow}

    def arrived(self, client: Hashable, now_ns: int) -> None:
        """A request that may be in a batch has come."""
        in_time = self._since_ns is not None and now_ns <= self._since_ns + self._wait_ns
        if client in self._expected:
            del self._expected[client]
            self._since_ns = now_ns
        elif in_time and client in self._slow:
            del self._slow[client]
            self._since_ns = now_ns

    def until_ns(self, key: Hashable) -> int | None:
        """How long a batch of this key waits if nobody comes; None: it does not wait."""
        if self._since_ns is None or key not in self._expected.values():
            return None
        return self._since_ns + self._wait_ns

    def is_over(self, key: Hashable, now_ns: int) -> bool:
        """Whether a batch of this key may leave; those whom it waited for in vain are slow."""
        until_ns = self.until_ns(key)
        if until_ns is None:
            return True
        if now_ns < until_ns:
            return False
        for client in [client for client, of in self._expected.items() if of == key]:
            del self._expected[client]
            self._slow[client] = None
        while len(self._slow) > _MAX_SLOW:
            del self._slow[next(iter(self._slow))]
        return True
