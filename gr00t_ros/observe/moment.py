"""When a query leaves: with the picture that completes an observation.

A picture that waits for its query makes the whole way from camera to motion longer. So a query that
is due waits for the next picture, unless those that are there are young, and never for longer than
the slowest camera needs. Only arrivals count: the clocks of cameras may be wrong. All times are
steady time in int ns, except stamps, which are compared with each other only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

SHARE = 8
"""Extra age that is allowed for the oldest picture: one SHARE-th of the slowest period."""

_LATE = 4  # a picture may come this part of a period late
MOST_WAIT_NS = 150_000_000
"""Longest wait after a query is due, so that no watch on the server takes it for silence."""

_KEPT = 5
_WRONG = 8  # a measured period more than so many times longer or shorter than declared is ignored
_MOST_MISSED = 1000

UNLIMITED_NS = 2**62
"""The latest time of a query before which nothing runs out."""


@dataclass(frozen=True, slots=True)
class QueryTimes:
    """The next query is due from `earliest_ns` on; later than `latest_ns` its chunk may be late."""

    earliest_ns: int = 0
    latest_ns: int = UNLIMITED_NS


class PicturePeriod:
    """The time between two pictures of one camera, by their numbers and stamps."""

    def __init__(self, declared_ns: int) -> None:
        """declared_ns: the period that counts until another one is measured."""
        self._declared_ns = declared_ns
        self._periods_ns: deque[int] = deque(maxlen=_KEPT)
        self._last: tuple[int, int] | None = None

    def see(self, number: int | None, stamp_ns: int) -> None:
        """Take a picture; `number`: the count that its publisher gave it, None if unknown."""
        last, self._last = self._last, None if number is None else (number, stamp_ns)
        if last is None or number is None:
            return
        count, apart_ns = number - last[0], stamp_ns - last[1]
        if 0 < count <= _MOST_MISSED and apart_ns > 0:
            self._periods_ns.append(apart_ns // count)

    @property
    def period_ns(self) -> int:
        """The median of the last periods, at least 1; the declared one while that is odd."""
        if not self._periods_ns:
            return self._declared_ns
        median_ns = sorted(self._periods_ns)[len(self._periods_ns) // 2]
        usual = self._declared_ns // _WRONG < median_ns < self._declared_ns * _WRONG
        return median_ns if usual else self._declared_ns


@dataclass(frozen=True, slots=True)
class CameraTiming:
    """One camera: when its newest picture arrived, and the time between two of them (> 0)."""

    arrived_ns: int
    period_ns: int

    def next_ns(self, now_ns: int) -> int:
        """When the next picture should arrive; a late one at any moment."""
        return max(self.arrived_ns + self.period_ns, now_ns)

    def newest_ns(self, at_ns: int, now_ns: int) -> int:
        """When the picture that is the newest at `at_ns` has arrived, if the camera goes on."""
        next_ns = self.next_ns(now_ns)
        if at_ns < next_ns:
            return self.arrived_ns
        return next_ns + (at_ns - next_ns) // self.period_ns * self.period_ns


def leave_by_ns(cameras: Sequence[CameraTiming], armed_ns: int, times: QueryTimes) -> int:
    """When the query leaves at the latest, whatever arrives; `armed_ns`: the wait begins.

    That is one period of the slowest camera and a margin after it is due, and not after its
    latest time, unless that has passed.
    """
    slowest_ns = max((camera.period_ns for camera in cameras), default=0)
    most_ns = min(slowest_ns + slowest_ns // _LATE, MOST_WAIT_NS)
    return min(max(armed_ns, times.earliest_ns) + most_ns, max(armed_ns, times.latest_ns))


def wait_until_ns(
    cameras: Sequence[CameraTiming], now_ns: int, earliest_ns: int, by_ns: int
) -> int:
    """Until when to wait for the next arrival; the query leaves now if that is not after `now_ns`.

    Ask again after each arrival. The best moment is that of the arrival after which the oldest
    picture is youngest: of cameras in step that is the last one's, of several rates mostly the
    slowest one's.
    """
    if now_ns >= by_ns:
        return by_ns
    if now_ns < earliest_ns:
        return min(earliest_ns, by_ns)
    arrivals_ns = (camera.next_ns(now_ns) for camera in cameras)
    ages_ns = [_oldest_ns(cameras, at_ns, now_ns) for at_ns in arrivals_ns if at_ns <= by_ns]
    oldest_ns = max((now_ns - camera.arrived_ns for camera in cameras), default=0)
    slack_ns = max((camera.period_ns for camera in cameras), default=0) // SHARE
    return by_ns if ages_ns and oldest_ns > min(ages_ns) + slack_ns else now_ns


def _oldest_ns(cameras: Sequence[CameraTiming], at_ns: int, now_ns: int) -> int:
    """The age of the oldest picture of an observation that is made at `at_ns`."""
    return max(at_ns - camera.newest_ns(at_ns, now_ns) for camera in cameras)
