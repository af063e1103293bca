"""Whether what was sent has come: by what controllers tell, since no controller acknowledges.

A state that comes tells that the way is whole. What was sent while nothing came may be lost, and a
controller that lost a change plays something else from that change on: the next window would be a
step (control.md 1, item 11). Only where controllers tell often enough to be believed within the
commit time: else a state that is lost would pause. Takes plan time; refuses to know who tells what.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_SEEN = 15
_PERIODS = 3
_MOST = 256  # windows of five seconds: by then the plan was left


@dataclass(slots=True)
class _Sent:
    """A window: when it was sent, up to when it repeats the one before, whether it may be lost."""

    at_ns: int
    same_until_ns: int
    in_gap: bool = False


class Arrival:
    """What was sent and is not known to have come; its caller serialises the calls."""

    GAP_NS = 80_000_000
    """The least silence that is a gap: four periods of 50 Hz, at which states are looked at."""

    def __init__(self, delivery_ns: int, commit_ns: int) -> None:
        """delivery_ns: how long a window may be under way; commit_ns: how far ahead it is final."""
        self._delivery_ns, self._commit_ns = delivery_ns, commit_ns
        self._heard_ns: int | None = None
        self._periods_ns: deque[int] = deque(maxlen=_SEEN)
        self._sent: deque[_Sent] = deque(maxlen=_MOST)

    def clear(self) -> None:
        """Another plan begins: what was sent of the one before does not matter to it."""
        self._sent.clear()

    def forget(self) -> None:
        """As `clear`, and nobody was heard: until somebody is, nothing is known of arrivals."""
        self._sent.clear()
        self._periods_ns.clear()
        self._heard_ns = None

    def sent(self, now_ns: int, same_until_ns: int) -> None:
        """A window has left that is as the one before up to `same_until_ns`."""
        if self._heard_ns is not None:
            self._sent.append(_Sent(now_ns, same_until_ns))

    def heard(self, at_ns: int, slept: bool = False) -> None:
        """Something new came at `at_ns`, of the controller that told longest ago.

        slept: nobody listened before, so that a gap says nothing of the way.
        """
        last_ns, self._heard_ns = self._heard_ns, at_ns
        if last_ns is None or at_ns <= last_ns:
            return
        if at_ns - last_ns > self._gap_ns and not slept:
            for one in self._sent:
                one.in_gap |= last_ns < one.at_ns + self._delivery_ns and one.at_ns < at_ns
        self._periods_ns.append(at_ns - last_ns)
        until_ns = at_ns - self._delivery_ns
        come = (one.at_ns for one in self._sent if not one.in_gap and one.at_ns <= until_ns)
        come_ns = max(come, default=None)
        while come_ns is not None and self._sent and self._sent[0].at_ns <= come_ns:
            self._sent.popleft()  # a later window that has come says all that it said

    def lawful_until_ns(self) -> int | None:
        """Up to when a next window is no step whatever was lost.

        None where nothing can be lost, or nobody tells often enough: two states in a row may be
        lost before a change of the motion is final.
        """
        period_ns = self._period_ns
        if period_ns is None or _PERIODS * period_ns + self._delivery_ns > self._commit_ns:
            return None
        return min((one.same_until_ns for one in self._sent), default=None)

    @property
    def _period_ns(self) -> int | None:
        """The controllers' own pace, None while it is not known."""
        known = len(self._periods_ns) >= _PERIODS
        return sorted(self._periods_ns)[len(self._periods_ns) // 2] if known else None

    @property
    def _gap_ns(self) -> int:
        """A silence that is none of the controllers' own pace."""
        return max(self.GAP_NS, _PERIODS * (self._period_ns or 0))
