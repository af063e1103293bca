"""When the controllers rest after a clock jump, of which they know nothing.

They play the old plan's tail, maybe later on a clock of their own. Takes plan time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SETTLED_NS = 250_000_000  # a held position may be 0.2 s old when it is read
_SAME_RAD = 1e-4  # held positions of a controller at rest, one tick and the next


class Settling:
    """Waits for what was left of the old plan, and longer for as long as a held position moves."""

    def __init__(self) -> None:
        self._until_ns: int | None = None
        self._held: NDArray[np.float64] | None = None

    def begin(self, now_ns: int, left_ns: int) -> None:
        """The clock jumped to `now_ns`; `left_ns` of the old plan had not played yet."""
        self._until_ns, self._held = now_ns + left_ns, None

    @property
    def pending(self) -> bool:
        """Whether the controllers may still play what the plan no longer says."""
        return self._until_ns is not None

    def over(self, now_ns: int, held: NDArray[np.float64] | None) -> bool:
        """Whether the controllers rest, asked at each tick; `held` (J,) is None where unknown."""
        if self._until_ns is None:
            return True
        moved = held is not None and self._held is not None and _apart(held, self._held)
        if moved:
            self._until_ns = max(self._until_ns, now_ns + _SETTLED_NS)
        self._held = held
        if now_ns < self._until_ns:
            return False
        self._until_ns = None
        return True


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return not float(np.max(np.abs(one - other))) <= _SAME_RAD  # NaN is no rest
