"""The watch on streams against each other: the skew of one observation.

Their ages are core/watchdog's stream_age, their contents core/observation's.
"""

from __future__ import annotations

from gr00t_ros.core.watch_table import finding
from gr00t_ros.core.watchdog import Finding


class Skew:
    """Counts observations in a row whose streams were too far apart."""

    def __init__(self, limit: int = 3) -> None:
        """Drop each such observation, pause at `limit` in a row."""
        self.limit = limit
        self._run = 0

    def see(self, stream: str, apart_ns: int, allowed_ns: int) -> Finding | None:
        """Take one observation by its worst stream: `apart_ns` from the anchor's stamp."""
        if abs(apart_ns) <= allowed_ns:
            self._run = 0
            return None
        self._run += 1
        text = (
            f"{stream}: {abs(apart_ns) / 1e9:.3f} s apart from the joint state, at most "
            f"{allowed_ns / 1e9:.3f} s allowed, {self._run} in a row"
        )
        return finding("skew", text, self._run >= self.limit)
