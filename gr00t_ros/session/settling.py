"""When the controllers rest after their plan was abandoned, such as after a clock jump.

They play the stop ramp of the old plan, possibly later, because their own clock did not jump. All
times are plan time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SETTLED_NS = 250_000_000
"""How long after a motion the held position is certainly that of the rest: it may be 0.2 s old when
it is read."""

# Largest difference of the held position from one tick to the next of a controller at rest.
_SAME_RAD = 1e-4
# Longest wait for a controller that has published its state before and is silent now. A longer
# silence has a watch of its own (controller_silent), and an operator can reset only after the stop.
_UNKNOWN_NS = 2_000_000_000


class Settling:
    """Waits until the old plan has played, and longer while the held position still changes.

    Call `begin` when the plan is abandoned, then `over` at each tick. After a jump the held
    position is unknown for a while, and the controllers may move during it.
    """

    def __init__(self) -> None:
        self._until_ns: int | None = None
        self._held: NDArray[np.float64] | None = None
        self._given_up_ns = 0
        self.gave_up = False

    def begin(
        self, now_ns: int, left_ns: int, held: NDArray[np.float64] | None, on_time: bool = False
    ) -> None:
        """Begin to wait at `now_ns`; `left_ns` of the old plan had not played yet.

        held: (J,) now; None means that no controller is expected to publish its state. on_time: no
        clock jumped, so the old plan is over after `left_ns`, even if no state is published.
        """
        self._until_ns, self._held, self.gave_up = now_ns + left_ns, held, False
        known = held is None or on_time
        self._given_up_ns = now_ns if known else now_ns + _UNKNOWN_NS

    @property
    def pending(self) -> bool:
        """Whether the controllers may still play the abandoned plan."""
        return self._until_ns is not None

    def over(self, now_ns: int, held: NDArray[np.float64] | None) -> bool:
        """Whether the controllers rest; ask it at each tick. `held` (J,) is None if unknown.

        When it turns True, `gave_up` is set if the held position was unknown at the end.
        """
        if self._until_ns is None:
            return True
        if self._may_move(now_ns, held):
            self._until_ns = max(self._until_ns, now_ns + SETTLED_NS)
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
    return not float(np.max(np.abs(one - other))) <= _SAME_RAD  # NaN counts as motion
