"""How often each client may ask: a token bucket a client, of the latest clients only.

Pure: takes `now_ns`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

MAX_CLIENTS: Final = 1024  # remembered; a stranger who changes his name fills this and no more


class RateLimit:
    """At most `burst` requests at once and `rate_hz` in the long run, for each client."""

    def __init__(self, rate_hz: float, burst: int) -> None:
        self._rate_hz, self._burst = rate_hz, burst
        self._levels: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def allows(self, client: Hashable, now_ns: int) -> bool:
        """Whether this client may ask now; counts the request where it may."""
        level, since_ns = self._levels.pop(client, (float(self._burst), now_ns))
        level = min(self._burst, level + (now_ns - since_ns) * 1e-9 * self._rate_hz)
        allowed = level >= 1.0
        self._levels[client] = (level - 1.0 if allowed else level, now_ns)
        if len(self._levels) > MAX_CLIENTS:
            self._levels.popitem(last=False)
        return allowed

    def charge(self, client: Hashable, requests: float) -> None:
        """Count so many requests more of a client that was allowed one."""
        level, since_ns = self._levels.get(client, (0.0, 0))
        self._levels[client] = (max(0.0, level - requests), since_ns)
