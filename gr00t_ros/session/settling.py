"""When the controllers rest after a clock jump, of which they know nothing.

They play the old plan's tail, maybe later on a clock of their own. Takes plan time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SETTLED_NS = 250_000_000  # a held position may be 0.2 s old when it is read
_SAME_RAD = 1e-4  # held positions of a controller at rest, one tick and the next
# A controller that told and does not now is waited for; one that is silent for longer than this has
# a watch of its own (controller_silent), and its stop must end for a person to go on.
_UNKNOWN_NS = 2_000_000_000


class Settling:
    """Waits for what was left of the old plan, and longer for as long as a held position moves.

    What is held is not known for a while after a jump, in which the controllers may well move.
    """

    def __init__(self) -> None:
        self._until_ns: int | None = None
        self._held: NDArray[np.float64] | None = None
        self._given_up_ns = 0
        self.gave_up = False

    def begin(
        self, now_ns: int, left_ns: int, held: NDArray[np.float64] | None, timely: bool = False
    ) -> None:
        """The clock jumped to `now_ns`; `left_ns` of the old plan had not played yet.

        held: (J,) at this moment; where it is None, nothing is expected to tell. timely: no clock
        jumped, the old plan is over after `left_ns` whether one tells or not.
        """
        self._until_ns, self._held, self.gave_up = now_ns + left_ns, held, False
        known = held is None or timely
        self._given_up_ns = now_ns if known else now_ns + _UNKNOWN_NS

    @property
    def pending(self) -> bool:
        """Whether the controllers may still play what the plan no longer says."""
        return self._until_ns is not None

    def over(self, now_ns: int, held: NDArray[np.float64] | None) -> bool:
        """Whether the controllers rest, asked at each tick; `held` (J,) is None where unknown.

        `gave_up` tells from then on whether it ended without knowing.
        """
        if self._until_ns is None:
            return True
        if self._may_move(now_ns, held):
            self._until_ns = max(self._until_ns, now_ns + _SETTLED_NS)
        self._held = held
        if now_ns < self._until_ns:
            return False
        self._until_ns, self.gave_up = None, held is None
        return True

    def _may_move(self, now_ns: int, held: NDArray[np.float64] | None) -> bool:
        if held is None:
            return now_ns < self._given_up_ns
        return self._held is None or _apart(held, self._held)


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return not float(np.max(np.abs(one - other))) <= _SAME_RAD  # NaN is no rest
