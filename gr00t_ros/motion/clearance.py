"""What the planner asks before it sends a window: is the way clear, and how fast may it be.

The check itself is in collide/window.py; `Clearance` keeps what it found, for joints (planner.py)
and for poses (pose/windows.py) alike. A window that is not clear is not sent. The reference is
then followed more slowly, so that the stop ramp of the window ends before the obstacle: the arm
glides to a stop in front of it, and goes on as soon as the reference leads elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.reference import SLOWEST
from gr00t_ros.motion.shaper import Rows
from gr00t_ros.robot.rotation import Pose

# Shares of the reference's own speed that are tried: each tick a little faster than before, then
# these shares of it. A third try leaves time for the rest of the tick.
_FASTER, _SLOWER = 1.3, (0.7, 0.3)
# Below this share the arm counts as blocked, and above the other one as free again.
_BLOCKED_RATE, _FREE_RATE = 0.1, 0.3


@dataclass(frozen=True, slots=True)
class Ahead:
    """The result of a check. The distance is the smallest that was looked at, m.

    why: empty if the way is clear; else what was found, with names. pair: two names, empty without
    pairs. at_s: time of that distance since the start of the way. position: where the robot is
    then, as the check measures it; None if nothing was measured. over_budget: the way was neither
    found clear nor blocked with the evaluations of one tick.
    """

    why: str
    distance_m: float = np.inf
    pair: tuple[str, ...] = ()
    at_s: float = 0.0
    evaluations: int = 0
    position: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)
    over_budget: bool = False

    @property
    def clear(self) -> bool:
        """Whether it is proven that the way keeps all distances."""
        return not self.why


class MotionCheck(Protocol):
    """Checks motions of joints against everything that must not be touched.

    scene: a number that changes whenever what a check proved may no longer hold.
    """

    scene: int

    def begin(self, position: NDArray[np.float64]) -> None:
        """Begin a tick; the plan is at `position` (J,)."""

    def look(self, rows: Rows, knot_s: float, reserve: bool = False) -> Ahead:
        """Whether the whole way along `rows` is clear; knot_s: time between rows.

        reserve: spend also what each tick keeps for stops and for what was already sent.
        """


class PoseMotionCheck(Protocol):
    """A `MotionCheck` for end effectors that are commanded by poses."""

    @property
    def scene(self) -> int:
        """A number that changes whenever what a check proved may no longer hold."""

    def begin(self, poses: Mapping[str, Pose]) -> None:
        """Begin a tick; the end effectors are commanded to these poses, by their outputs."""

    def look(
        self, ways: Mapping[str, Sequence[Pose]], knot_s: float, reserve: bool = False
    ) -> Ahead:
        """Whether all ways are clear, which begin together; knot_s: time between poses.

        reserve: as in `MotionCheck.look`.
        """


class FollowRate:
    """The share of its own speed at which the reference is followed while something is ahead."""

    def __init__(self) -> None:
        self.share = 1.0
        self.why = ""
        """What the last motion met that was not clear: a slower one was clear, or none."""
        self._blocked_since_ns: int | None = None

    def tries(self) -> Iterator[float]:
        """The shares to try in this tick, the largest first."""
        first = min(1.0, _FASTER * self.share)
        yield first
        for slower in _SLOWER:
            yield max(SLOWEST, slower * first)

    def meet(self, ahead: Ahead) -> None:
        """Record what was found on a way that was not clear; a spent budget finds nothing."""
        if ahead.evaluations or not self.why:
            self.why = ahead.why

    def take(self, share: float, now_ns: int) -> None:
        """Record the share that was clear; 0 if none was."""
        self.share = max(SLOWEST, share)
        if self.share >= _FREE_RATE:
            self.why, self._blocked_since_ns = "", None
        elif self.share < _BLOCKED_RATE and self._blocked_since_ns is None:
            self._blocked_since_ns = now_ns

    def free(self) -> None:
        """Nothing is to be followed any more."""
        self.share, self.why, self._blocked_since_ns = 1.0, "", None

    def blocked_ns(self, now_ns: int) -> int:
        """For how long the arm has been standing in front of something, ns; 0 if it is not."""
        since_ns = self._blocked_since_ns
        return 0 if since_ns is None else now_ns - since_ns


_AnyCheck = TypeVar("_AnyCheck", MotionCheck, PoseMotionCheck)


class Clearance(Generic[_AnyCheck]):
    """Whether what was sent is proven clear, and what the check found last.

    check: the check of motions; None: nothing is checked. ahead: what was found on the way that
    was looked at last. rate: how fast the reference is followed, and what is in its way.
    """

    def __init__(self, check: _AnyCheck | None = None) -> None:
        """Nothing was sent yet."""
        self.check: _AnyCheck | None = check
        self.ahead = Ahead("")
        self.rate = FollowRate()
        self.over_budget = 0
        """How many ways were not decided with the evaluations of one tick."""
        self.unproven_stops = 0
        """How often the arm had to stop on a way that was not proven: something came nearer."""
        self.sent_in: int | None = None  # the scene in which all that was sent was proven clear
        self._stops_unproven = False

    @property
    def stands(self) -> bool:
        """Whether what was sent was proven clear in the scene as it is."""
        return self.check is not None and self.sent_in == self.check.scene

    @property
    def scene(self) -> int | None:
        """The scene in which what was made in this tick is proven; None if it is not proven."""
        return None if self.check is None or self._stops_unproven else self.check.scene

    def found(self, ahead: Ahead) -> bool:
        """Record what a look at a way found; whether it is clear."""
        self.ahead = ahead
        self.over_budget += ahead.over_budget
        self._stops_unproven &= not ahead.clear
        return ahead.clear

    def stops_unproven(self) -> None:
        """Record that the arm stops, although its stop is not clear."""
        self.unproven_stops += not self._stops_unproven
        self._stops_unproven = True

    def forget(self) -> None:
        """What was sent no longer counts: the motion begins anew, at rest."""
        self.sent_in, self._stops_unproven = None, False
        self.rate.free()
