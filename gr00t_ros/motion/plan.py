"""The committed motion on a fixed knot grid, its windows, and whether what was sent has arrived.

Each course equals the one before it up to now + commit. No controller acknowledges a window, so
Arrival judges by the states that controllers publish: a state shows that the way is whole, and a
window sent while nothing came may be lost. Takes plan time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.sampler import Trajectory
from gr00t_ros.motion.shaper import Bounds, Rows, State

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


Floats = NDArray[np.float64]

# Between two knots a position may pass both by a_max*T^2/8, 0.3 mrad at FR3's defaults; the knots
# themselves may pass a limit, margin included, by this much. rad
POSITION_SLACK_RAD = 1e-4
_ROUNDING = 1e-9
_ROUNDING_RAD = 1e-13


@dataclass(frozen=True, slots=True, eq=False)
class Window(Trajectory):
    """A trajectory that ends at rest, stamped on the plan clock, with all three fields.

    horizon_ns: plan time from which on only the stop tail follows.
    same_until_ns: plan time up to which it repeats what was sent before, by every window that may
    be the last to have arrived: a controller that gets it by then does not notice.
    """

    horizon_ns: int = 0
    same_until_ns: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """Motion at the knots first_knot, first_knot + 1, ... (of time knot * knot_ns), ending at rest.

    lag_ns: (N,) int64, how far behind its own time the reference is followed at each knot.
    """

    knot_ns: int
    first_knot: int
    horizon_knot: int
    rows: Rows
    lag_ns: NDArray[np.int64]

    @property
    def last_knot(self) -> int:
        """The knot from which on the course rests."""
        return self.first_knot + len(self.lag_ns) - 1

    @property
    def end_ns(self) -> int:
        """Plan time from which on the course rests."""
        return self.last_knot * self.knot_ns

    def rows_between(self, first: int, last: int) -> Rows:
        """Rows of the knots first..last; after the end they repeat the rest."""
        index = self._index(first, last)
        return Rows(*(field[index] for field in self.rows))

    def lags_between(self, first: int, last: int) -> NDArray[np.int64]:
        """Lag of the reference at the knots first..last, (N,) int64 ns."""
        return self.lag_ns[self._index(first, last)]

    def lag_at(self, knot: int) -> int:
        """Lag of the reference at a knot, ns."""
        return int(self.lags_between(knot, knot)[0])

    def state(self, knot: int) -> State:
        """Motion at one knot."""
        return State(*(field[0] for field in self.rows_between(knot, knot)))

    def at(self, now_ns: int) -> State:
        """Motion at any plan time: jerk is constant between knots."""
        knot, past_ns = divmod(now_ns, self.knot_ns)
        (x, v, a), after = self.state(knot), self.state(knot + 1)
        t = past_ns * 1e-9
        jerk = (after.acceleration - a) / (self.knot_ns * 1e-9)
        return State(
            x + t * (v + t * (a / 2 + t * jerk / 6)), v + t * (a + t * jerk / 2), a + t * jerk
        )

    def on_time(self) -> Course:
        """The same motion, the reference no longer lagging: a new chunk has taken the lag in."""
        return replace(self, lag_ns=np.zeros_like(self.lag_ns))

    def since(self, knot: int) -> Course:
        """The same course without the knots before `knot`."""
        first = min(max(knot, self.first_knot), self.last_knot)
        rows = self.rows_between(first, self.last_knot)
        lag_ns = self.lags_between(first, self.last_knot)
        return replace(self, first_knot=first, rows=rows, lag_ns=lag_ns)

    def window(self, branch_knot: int | None = None) -> Window:
        """What is sent of it: everything. branch_knot: where it leaves the course before, if so."""
        count = len(self.lag_ns)
        times_ns = np.arange(count, dtype=np.int64) * self.knot_ns
        same_until_ns = self.end_ns if branch_knot is None else branch_knot * self.knot_ns
        return Window(
            self.first_knot * self.knot_ns,
            times_ns,
            *self.rows,
            horizon_ns=self.horizon_knot * self.knot_ns,
            same_until_ns=same_until_ns,
        )

    def _index(self, first: int, last: int) -> NDArray[np.int64]:
        index = np.arange(first - self.first_knot, last + 1 - self.first_knot)
        return np.clip(index, 0, len(self.lag_ns) - 1)


def rest(position: Floats, knot: int, knot_ns: int) -> Course:
    """The course that holds `position` (J,) rad. Raises PlanError if it is not finite."""
    at = np.array([position], dtype=np.float64)
    if not np.isfinite(at).all():
        raise PlanError(f"plan: got a start position of {position}, expected finite positions")
    rows = Rows(at, np.zeros_like(at), np.zeros_like(at))
    return Course(knot_ns, knot, knot, rows, np.zeros(1, dtype=np.int64))


def extend(
    course: Course, first_knot: int, branch_knot: int, new: Rows, lag_ns: NDArray[np.int64]
) -> Course:
    """The course from first_knot on: as it was up to the branch knot, then the `new` rows.

    lag_ns: of the new rows that are not stop tail; the tail keeps the last one.
    """
    rows = Rows(
        *(
            np.concatenate(pair)
            for pair in zip(course.rows_between(first_knot, branch_knot), new, strict=True)
        )
    )
    lags = np.concatenate([course.lags_between(first_knot, branch_knot), lag_ns])
    padded = np.concatenate([lags, np.full(len(rows.position) - len(lags), lags[-1])])
    return Course(course.knot_ns, first_knot, branch_knot + len(lag_ns), rows, padded)


def mixed(before: Course, new: Course, joints: NDArray[np.bool_]) -> Course:
    """`new` for the `joints` (J,) of which it was sent, the course `before` for all others.

    Each joint of either is a motion of its own that ends at rest. `new` begins no earlier.
    """
    first, last = new.first_knot, max(before.last_knot, new.last_knot)
    pairs = zip(new.rows_between(first, last), before.rows_between(first, last), strict=True)
    rows = Rows(*(np.where(joints, *pair) for pair in pairs))
    horizon_knot = min(before.horizon_knot, new.horizon_knot)
    return Course(new.knot_ns, first, horizon_knot, rows, new.lags_between(first, last))


def keep_lawful(course: Course, branch_knot: int, new: Rows, within: Bounds) -> tuple[Rows, int]:
    """The `new` rows after branch_knot, unlawful joints replaced by the course; and their number.

    Raises PlanError if even that is no lawful motion, which then must not be sent.
    """
    unlawful = breaks(course, branch_knot, new, within)
    if not unlawful.any():
        return new, 0
    last = max(branch_knot + len(new.position), course.last_knot)
    old = course.rows_between(branch_knot + 1, last)
    missing = len(old.position) - len(new.position)
    padded = (np.concatenate([field, np.repeat(field[-1:], missing, axis=0)]) for field in new)
    rows = Rows(*(np.where(unlawful, *pair) for pair in zip(old, padded, strict=True)))
    if not np.isfinite(rows).all() or np.any(rows.velocity[-1]) or np.any(rows.acceleration[-1]):
        raise PlanError("plan: got a motion that does not end at rest, nothing is sent")
    return rows, int(unlawful.sum())


def keeps_speed(course: Course, first_knot: int, within: Bounds) -> bool:
    """Whether no joint of the course is faster than `within` allows from first_knot on."""
    rows = course.rows_between(first_knot, max(first_knot, course.last_knot))
    return not bool(_too_fast(rows, within).any())


def breaks(course: Course, branch_knot: int, new: Rows, within: Bounds) -> NDArray[np.bool_]:
    """(J,) which joints' new rows break a limit that the course before does not."""
    position, velocity, acceleration = new
    branch = course.state(branch_knot)
    swing = np.diff(np.vstack([branch.acceleration, acceleration]), axis=0)
    old = course.rows_between(branch_knot, max(branch_knot, course.last_knot)).position
    farthest = np.stack([old.max(axis=0), (-old).max(axis=0)])
    limit = np.maximum(within.sides + POSITION_SLACK_RAD, farthest + _ROUNDING_RAD)
    sides = np.stack([position, -position], axis=1)
    jerk = within.jerk * (course.knot_ns * 1e-9)
    bad = (
        ~np.isfinite(position + velocity + acceleration)
        | (np.abs(acceleration) > within.acceleration * (1 + _ROUNDING))
        | (np.abs(swing) > jerk * (1 + _ROUNDING))
        | (sides > limit).any(axis=1)
        | _too_fast(new, within)
    )
    unrest = (velocity[-1] != 0.0) | (acceleration[-1] != 0.0)
    broken: NDArray[np.bool_] = bad.any(axis=0) | unrest
    return broken


def _too_fast(rows: Rows, within: Bounds) -> NDArray[np.bool_]:
    """(N, J) which rows break a velocity limit, on either side."""
    sides = np.stack([rows.position, -rows.position], axis=1)
    speeds = np.stack([rows.velocity, -rows.velocity], axis=1)
    return np.asarray((speeds > within.speed(sides) + _ROUNDING).any(axis=1))
