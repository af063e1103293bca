"""The committed motion on a fixed knot grid, its windows, and whether what was sent has arrived.

Each course equals the one before it up to now + commit, except that a contact stop begins earlier
(`Planner.stop`, soon). No controller acknowledges a window, so
Arrival judges by the states that controllers publish: a new state shows that the connection works,
and a window that was sent while no state came may be lost. All times are plan time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import PlanError
from gr00t_ros.motion.sampler import Trajectory
from gr00t_ros.motion.shaper import Bounds, Rows, State, both_sides

Floats = NDArray[np.float64]

# Between two knots a position may exceed both by a_max*T^2/8, 0.3 mrad at FR3's defaults; the knots
# themselves may exceed a limit, margin included, by this much. rad
POSITION_SLACK_RAD = 1e-4
_ROUNDING = 1e-9
_ROUNDING_RAD = 1e-13

_PERIODS_KEPT = 15
_PERIODS_NEEDED = 3
_SENT_KEPT = 256  # windows of five seconds, after which an unconfirmed plan was abandoned


@dataclass(slots=True)
class _SentWindow:
    """One sent window. in_gap: it was on its way while no state came, so it may be lost."""

    at_ns: int
    same_until_ns: int
    in_gap: bool = False


class Arrival:
    """Windows that were sent and are not known to have arrived.

    Call `sent` for each window and `received` for each new state; the caller makes all calls one
    after another.
    """

    GAP_NS = 80_000_000
    """Shortest silence that counts as a gap: four periods of 50 Hz, at which states are read."""

    def __init__(self, delivery_ns: int, commit_ns: int) -> None:
        """delivery_ns: longest delivery time of a window; commit_ns: how far ahead it is final.

        Both may be changed at any time, as the attributes of these names.
        """
        self.delivery_ns, self.commit_ns = delivery_ns, commit_ns
        self._received_ns: int | None = None
        self._stamp_ns = 0
        self._periods_ns: deque[int] = deque(maxlen=_PERIODS_KEPT)
        self._sent: deque[_SentWindow] = deque(maxlen=_SENT_KEPT)

    def clear(self) -> None:
        """Forget the windows of the plan before: another plan begins."""
        self._sent.clear()

    def forget(self) -> None:
        """As `clear`, and forget the states: until new ones come, arrivals are unknown."""
        self._sent.clear()
        self._periods_ns.clear()
        self._received_ns, self._stamp_ns = None, 0

    def sent(self, now_ns: int, same_until_ns: int) -> None:
        """Record that a window was sent that repeats the one before up to `same_until_ns`."""
        if self._received_ns is not None:
            self._sent.append(_SentWindow(now_ns, same_until_ns))

    def received(self, at_ns: int, slept: bool = False, stamp_ns: int = 0) -> None:
        """Record a new state at `at_ns`, of the controller whose newest state is the oldest.

        slept: this process was not running before, so the gap shows nothing about the network.
        stamp_ns: the state's own stamp. Two successive ones show the period of the states; the
        times of two looks do not. 0: none, or of another controller than the state before.
        """
        last_ns, self._received_ns = self._received_ns, at_ns
        last_stamp_ns, self._stamp_ns = self._stamp_ns, stamp_ns
        if last_ns is None or at_ns <= last_ns:
            return
        if at_ns - last_ns >= self._gap_ns and not slept:
            for window in self._sent:
                delivered_ns = window.at_ns + self.delivery_ns
                window.in_gap |= last_ns < delivered_ns and window.at_ns < at_ns
        stamped = 0 < last_stamp_ns < stamp_ns
        self._periods_ns.append(stamp_ns - last_stamp_ns if stamped else at_ns - last_ns)
        until_ns = at_ns - self.delivery_ns
        arrived = (w.at_ns for w in self._sent if not w.in_gap and w.at_ns <= until_ns)
        newest_ns = max(arrived, default=None)
        while newest_ns is not None and self._sent and self._sent[0].at_ns <= newest_ns:
            self._sent.popleft()  # a later window arrived, which contains this one

    def safe_until_ns(self) -> int | None:
        """Plan time until which a further window is no step, whichever windows were lost.

        None if no window can be lost, or if states come too rarely: two states in a row may be lost
        before a change of the motion is final.
        """
        period_ns = self._period_ns
        if period_ns is None or _PERIODS_NEEDED * period_ns + self.delivery_ns > self.commit_ns:
            return None
        return min((window.same_until_ns for window in self._sent), default=None)

    @property
    def _period_ns(self) -> int | None:
        """The period of the controllers' states, None while it is not known.

        A third of the last intervals is not longer. The median would not do: of states at 50 Hz
        that are read at 50 Hz many are seen two at a time, two periods after the one before.
        """
        known = len(self._periods_ns) >= _PERIODS_NEEDED
        return sorted(self._periods_ns)[len(self._periods_ns) // 3] if known else None

    @property
    def _gap_ns(self) -> int:
        """The longest silence that the controllers' own period explains."""
        return max(self.GAP_NS, _PERIODS_NEEDED * (self._period_ns or 0))


@dataclass(frozen=True, slots=True, eq=False)
class Window(Trajectory):
    """A trajectory that ends at rest, stamped on the plan clock, with all three fields.

    horizon_ns: plan time from which on only the stop ramp follows.
    same_until_ns: plan time up to which it repeats what was sent before, whichever earlier window
    was the last to arrive: for a controller that receives it by then, the switch is no step.
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
        """Rows of the knots first..last; after the end they repeat the last row, at rest."""
        index, (position, velocity, acceleration) = self._index(first, last), self.rows
        return Rows(position[index], velocity[index], acceleration[index])

    def lags_between(self, first: int, last: int) -> NDArray[np.int64]:
        """Lag of the reference at the knots first..last, (N,) int64 ns."""
        return self.lag_ns[self._index(first, last)]

    def lag_at(self, knot: int) -> int:
        """Lag of the reference at a knot, ns."""
        return int(self.lag_ns[self._at(knot)])

    def state(self, knot: int) -> State:
        """Motion at one knot."""
        at, (position, velocity, acceleration) = self._at(knot), self.rows
        return State(position[at], velocity[at], acceleration[at])

    def at(self, now_ns: int) -> State:
        """Motion at any plan time, with constant jerk between knots."""
        knot, past_ns = divmod(now_ns, self.knot_ns)
        (x, v, a), after = self.state(knot), self.state(knot + 1)
        t = past_ns * 1e-9
        jerk = (after.acceleration - a) / (self.knot_ns * 1e-9)
        return State(
            x + t * (v + t * (a / 2 + t * jerk / 6)), v + t * (a + t * jerk / 2), a + t * jerk
        )

    def on_time(self) -> Course:
        """The same motion with a lag of 0: a new chunk accounts for the lag."""
        return replace(self, lag_ns=np.zeros_like(self.lag_ns))

    def since(self, knot: int) -> Course:
        """The same course without the knots before `knot`."""
        first = min(max(knot, self.first_knot), self.last_knot)
        rows = self.rows_between(first, self.last_knot)
        lag_ns = self.lags_between(first, self.last_knot)
        return replace(self, first_knot=first, rows=rows, lag_ns=lag_ns)

    def window(self, branch_knot: int | None = None, at_least_to: int = 0) -> Window:
        """The window of the whole course. branch_knot: where it leaves the course before, if so.

        at_least_to: the knot up to which the window holds the rest, if the course ends sooner.
        """
        last = max(self.last_knot, at_least_to)
        times_ns = np.arange(last + 1 - self.first_knot, dtype=np.int64) * self.knot_ns
        same_until_ns = (last if branch_knot is None else branch_knot) * self.knot_ns
        return Window(
            self.first_knot * self.knot_ns,
            times_ns,
            *self.rows_between(self.first_knot, last),
            horizon_ns=self.horizon_knot * self.knot_ns,
            same_until_ns=same_until_ns,
        )

    def _at(self, knot: int) -> int:
        """The row of a knot: the first row before the course, the last one after it."""
        return min(max(knot - self.first_knot, 0), len(self.lag_ns) - 1)

    def _index(self, first: int, last: int) -> slice | NDArray[np.int64]:
        begin, end = first - self.first_knot, last + 1 - self.first_knot
        if 0 <= begin <= end <= len(self.lag_ns):
            return slice(begin, end)  # the usual case, in a third of the time
        return np.clip(np.arange(begin, end), 0, len(self.lag_ns) - 1)


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
    """The course from first_knot on: unchanged up to the branch knot, then the `new` rows.

    new: (N, J) rad, rad/s, rad/s^2, with the stop ramp at the end. lag_ns: (n,) of the new rows
    before the stop ramp; the stop ramp keeps the last one.
    """
    kept = course.rows_between(first_knot, branch_knot)
    rows = Rows(*(np.concatenate(pair) for pair in zip(kept, new, strict=True)))
    lags = np.empty(len(rows.position), dtype=np.int64)
    before, after = len(kept.position), len(kept.position) + len(lag_ns)
    lags[:before] = course.lags_between(first_knot, branch_knot)
    lags[before:after] = lag_ns
    lags[after:] = lags[after - 1]
    return Course(course.knot_ns, first_knot, branch_knot + len(lag_ns), rows, lags)


def mixed(before: Course, new: Course, joints: NDArray[np.bool_]) -> Course:
    """The course `new` for the `joints` (J,) for which it was sent, `before` for all others.

    Each joint is a motion of its own that ends at rest. `new` must not begin before `before`.
    """
    first, last = new.first_knot, max(before.last_knot, new.last_knot)
    pairs = zip(new.rows_between(first, last), before.rows_between(first, last), strict=True)
    rows = Rows(*(np.where(joints, *pair) for pair in pairs))
    horizon_knot = min(before.horizon_knot, new.horizon_knot)
    return Course(new.knot_ns, first, horizon_knot, rows, new.lags_between(first, last))


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """The plan's motion in the `by_ns` after an observation: (J,) of each joint, in its unit."""

    by_ns: int
    joints: Floats


def moved(
    courses: Sequence[Course], stamp_ns: int, latency_ns: int, commit_ns: int
) -> Moved | None:
    """The motion from an observation until its chunk is executed; None if it is not known.

    It is read from what was sent, never extrapolated.

    courses: as sent, newest first. stamp_ns: plan time of the observation. latency_ns: from there
    to the merge of its chunk; the chunk takes over a commit later. Give the shortest latency: the
    first rows of a chunk that comes later are skipped, but one that comes before its first row is
    due has nothing to say until then. The end is at most where the stop ramp of the newest course
    begins: that plays only if nothing follows.
    """
    if not courses:
        return None
    horizon_ns = courses[0].horizon_knot * courses[0].knot_ns
    until_ns = min(stamp_ns + latency_ns + commit_ns, horizon_ns)
    begin, end = _sent(courses, stamp_ns), _sent(courses, until_ns)
    if begin is None or end is None or until_ns <= stamp_ns:
        return None
    return Moved(until_ns - stamp_ns, end - begin)


def _sent(courses: Sequence[Course], at_ns: int) -> Floats | None:
    """(J,) that was sent for a time, by the newest course that has it."""
    course = next((c for c in courses if c.first_knot * c.knot_ns <= at_ns), None)
    return None if course is None else course.at(at_ns).position


def keep_within_limits(
    course: Course, branch_knot: int, new: Rows, within: Bounds
) -> tuple[Rows, int]:
    """The `new` rows after branch_knot, and how many joints keep the old course instead.

    A joint keeps it if its new rows break a limit. Raises PlanError if even then the motion is not
    finite or does not end at rest; it must not be sent.
    """
    broken = breaks(course, branch_knot, new, within)
    if not broken.any():
        return new, 0
    last = max(branch_knot + len(new.position), course.last_knot)
    old = course.rows_between(branch_knot + 1, last)
    missing = len(old.position) - len(new.position)
    padded = (np.concatenate([field, np.repeat(field[-1:], missing, axis=0)]) for field in new)
    rows = Rows(*(np.where(broken, *pair) for pair in zip(old, padded, strict=True)))
    if not np.isfinite(rows).all() or np.any(rows.velocity[-1]) or np.any(rows.acceleration[-1]):
        raise PlanError("plan: got a motion that does not end at rest, nothing is sent")
    return rows, int(broken.sum())


def keeps_speed(course: Course, first_knot: int, within: Bounds) -> bool:
    """Whether no joint of the course is faster than `within` allows from first_knot on."""
    rows = course.rows_between(first_knot, max(first_knot, course.last_knot))
    return not bool(_too_fast(rows, within).any())


def breaks(course: Course, branch_knot: int, new: Rows, within: Bounds) -> NDArray[np.bool_]:
    """(J,) True for joints whose new rows break a limit that the course before keeps."""
    position, velocity, acceleration = new
    before = np.concatenate([course.state(branch_knot).acceleration[None], acceleration[:-1]])
    old = course.rows_between(branch_knot, max(branch_knot, course.last_knot)).position
    upper, negated_lower = within.sides + POSITION_SLACK_RAD
    upper = np.maximum(upper, old.max(axis=0) + _ROUNDING_RAD)
    lower = np.minimum(-negated_lower, old.min(axis=0) - _ROUNDING_RAD)
    jerk = within.jerk * (course.knot_ns * 1e-9)
    bad = (
        ~np.isfinite(position + velocity + acceleration)
        | (np.abs(acceleration) > within.acceleration * (1 + _ROUNDING))
        | (np.abs(acceleration - before) > jerk * (1 + _ROUNDING))
        | (position > upper)
        | (position < lower)
        | _too_fast(new, within)
    )
    unrest = (velocity[-1] != 0.0) | (acceleration[-1] != 0.0)
    broken: NDArray[np.bool_] = bad.any(axis=0) | unrest
    return broken


def _too_fast(rows: Rows, within: Bounds) -> NDArray[np.bool_]:
    """(N, J) True where a row breaks a velocity limit in either direction."""
    limit = within.speed(both_sides(rows.position)) + _ROUNDING
    return np.asarray((rows.velocity > limit[:, 0]) | (-rows.velocity > limit[:, 1]))
