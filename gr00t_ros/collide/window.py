"""Whether a window touches anything on its whole way, stop ramp included: a proof, not samples.

The distance of two bodies changes by at most sum_j L[pair, j] * |dq_j|, where L is the reach of the
pair (collide/reach.py). Take an interval of the path whose ends have the distances d0 and d1, and
on which the joints travel so far that the distance changes by at most w. Where it has changed by at
most s since the first end, it is at least max(d0 - s, d1 - (w - s)) >= (d0 + d1 - w) / 2. The
interval is proven for the pairs for which this is above their limit; the others go on to its
halves.

A pair that is already inside its margin may leave it: its limit is then the largest distance that
it had since, less a small tolerance, so that it never comes nearer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.clearance import Ahead
from gr00t_ros.motion.shaper import Rows

Floats = NDArray[np.float64]
Distances = Callable[[Floats, Floats], Floats]
"""The distances (P,) m of all pairs at joint positions (J,), where they are below `enough` (P,) m;
else any value from `enough` up to the distance. Never larger than the true distance.
"""

SUBDIVISIONS = 8
"""Grid intervals a knot interval is divided into: 2.5 ms at knots of 20 ms."""

BUDGET = 48
"""Evaluations of distances in one tick for windows that follow the reference, and as many again for
what was sent and for stops. A window that needs more counts as not proven.

The most follow from what one tick of 20 ms may spend on it (bench collision: 4 ms). Only a way that
grazes a margin needs many.
"""
SHOWN_M = 0.1
"""Distances up to this are exact in what a check reports."""
LEAVING_M = 5e-4
"""How much a pair inside its margin may come nearer, in total; never so near that it may touch."""
APART_M = 1e-5
"""At this measured distance two bodies are surely apart: the engine's error is no larger."""


@dataclass(frozen=True, slots=True, eq=False)
class CheckedPath:
    """Points of a path, and bounds between them, as float64.

    ``times_s`` (G,): since the first point. ``positions`` (G, J): rad or m. ``travel`` (G, J): how
    far each joint has moved since the first point, back and forth counted, at most. ``speed``
    (G - 1, J): the largest speed of each joint from one point to the next, at most. For tools that
    follow poses, travel and speed have other columns than the positions (tool.py).
    """

    times_s: Floats
    positions: Floats
    travel: Floats
    speed: Floats


def path_of(rows: Rows, knot_s: float) -> CheckedPath:
    """The path of the motion whose knots are `rows` (N, J), with constant jerk between knots.

    Between two points the velocity is a quadratic with the Bezier control points v0, v0 + a0*h/2
    and v1. It stays in their convex hull, so the largest of their absolute values bounds the speed.
    Each Bernstein polynomial has the integral h/3, so their mean times h bounds the travel.
    """
    (x, v, a), h = rows, knot_s / SUBDIVISIONS
    jerk = np.diff(a, axis=0) / knot_s
    t = (np.arange(SUBDIVISIONS) * h)[None, :, None]
    x0, v0, a0, j0 = (field[:, None, :] for field in (x[:-1], v[:-1], a[:-1], jerk))
    joints = x.shape[1]

    def grid(inner: Floats, last: Floats) -> Floats:
        return np.concatenate([inner.reshape(-1, joints), last[None]])

    positions = grid(x0 + t * (v0 + t * (a0 / 2 + t * j0 / 6)), x[-1])
    velocities = grid(v0 + t * (a0 + t * j0 / 2), v[-1])
    middle = velocities[:-1] + (a0 + t * j0).reshape(-1, joints) * (h / 2)
    controls = np.abs(np.stack([velocities[:-1], middle, velocities[1:]]))
    travel = np.zeros_like(positions)
    np.cumsum(controls.sum(axis=0) * (h / 3), axis=0, out=travel[1:])
    times_s: Floats = h * np.arange(len(positions), dtype=np.float64)
    speed: Floats = controls.max(axis=0)
    return CheckedPath(times_s, positions, travel, speed)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """What the check knows of the P pairs over J joints; float64.

    ``names``: two names each. ``reach`` (P, J): m/rad or m/m, the largest change of the distance by
    a joint. ``margin`` (P,) m: the distance that a window must keep. ``near`` and ``approach``
    (P,): a pair whose contact is wanted has no margin; nearer than ``near``, m, it may come nearer
    by at most ``approach``, m/s. For all others ``near`` is -inf.
    """

    names: tuple[tuple[str, str], ...]
    reach: Floats
    margin: Floats
    near: Floats
    approach: Floats


def touching(pairs: Pairs, distances: Floats) -> str:
    """The pairs that touch without being wanted to, with names; empty if there are none.

    distances: (P,) m, of the pairs in their order.
    """
    found = np.flatnonzero((distances <= 0.0) & (pairs.near == -np.inf))
    return ", ".join(" and ".join(pairs.names[pair]) for pair in found)


class WindowCheck:
    """Checks paths one after another; it remembers which pairs are inside their margin."""

    def __init__(self, pairs: Pairs, distances: Distances, budget: int = BUDGET) -> None:
        """budget: evaluations between two calls of `begin`, without the reserve."""
        self.pairs = pairs
        self._distances, self._budget = distances, budget
        self._left, self._reserve = budget, budget
        self.scene = 0
        self._floor = np.full(len(pairs.names), -np.inf)
        self.position: Floats | None = None
        """(J,) of the last `begin`."""
        self._distance = np.zeros(0)  # there

    def begin(self, position: Floats) -> None:
        """Begin a tick of a robot whose plan is at `position` (J,): renew budget and limits."""
        self._left, self._reserve = self._budget - 1, self._budget
        distance = self._distances(position, self.pairs.margin)
        inside = distance < self.pairs.margin
        # Nearer than any way that was proven: a stop that was not. From there it may leave.
        anew = distance < self._floor - LEAVING_M
        floor = np.where(anew, distance, np.maximum(self._floor, distance))
        self._floor = np.where(inside, floor, -np.inf)
        self.position, self._distance = position, distance

    def scene_changed(self) -> None:
        """Something has moved: what was proven before may no longer hold.

        A pair inside its margin may be nearer by what the scene has moved. It keeps the part of its
        tolerance that it has used, or an obstacle that trembles would let the arm creep nearer.
        """
        self.scene += 1
        if self.position is None:
            return
        used = np.where(self._floor > -np.inf, self._floor - self._distance, 0.0)
        used = np.minimum(used, LEAVING_M)
        self._distance = self._distances(self.position, self.pairs.margin)
        inside = self._distance < self.pairs.margin
        self._floor = np.where(inside, self._distance + used, -np.inf)

    def look(self, rows: Rows, knot_s: float, reserve: bool = False) -> Ahead:
        """Whether each pair keeps its limit on the whole way along `rows`; see above."""
        return self.look_along(path_of(rows, knot_s), reserve)

    def look_along(self, path: CheckedPath, reserve: bool = False) -> Ahead:
        """As `look`, for a path that is already known."""
        if reserve:
            self._left, self._reserve = self._left + self._reserve, 0
        return _Check(self, path).run()

    @property
    def limits(self) -> Floats:
        """(P,) m, the distance that each pair must keep now; -inf where contact is wanted."""
        inside = self._floor > -np.inf
        near = np.maximum(self._floor - LEAVING_M, np.minimum(self._floor, APART_M))
        limits = np.where(inside, near, self.pairs.margin)
        return np.where(self.pairs.near > -np.inf, -np.inf, limits)

    def evaluate(self, position: Floats, enough: Floats) -> Floats | None:
        """The distances (P,) at one position; None once the budget is spent."""
        if self._left <= 0:
            return None
        self._left -= 1
        return self._distances(position, enough)


class _OverBudget(Exception):
    """The path would need more evaluations than are left."""


class _Check:
    """One check of one path."""

    def __init__(self, owner: WindowCheck, path: CheckedPath) -> None:
        self._owner, self._path, self._pairs = owner, path, owner.pairs
        self._limits = owner.limits
        every = np.arange(len(owner.pairs.names))
        whole = self._most(0, len(path.times_s) - 1, every)
        # Wanted contacts are judged by differences of distances, which must be exact below `near`.
        self._exact = self._pairs.near + whole
        bounded = self._pairs.near == -np.inf
        self._judged = bounded if bounded.any() else ~bounded
        self._least_m = SHOWN_M  # of what was looked at; only what is smaller must be exact
        self._known: dict[int, Floats] = {}

    def run(self) -> Ahead:
        """Prove the limits, then the approach of pairs whose contact is wanted."""
        if not self._pairs.names:
            return Ahead("")
        try:
            why = self._limit_broken() or self._approach_broken()
        except _OverBudget:
            return replace(self._ahead(self._not_proven()), over_budget=True)
        return self._ahead(why)

    def _limit_broken(self) -> str:
        last = len(self._path.times_s) - 1
        bounded = np.flatnonzero(self._limits > -np.inf)
        to_do = [(0, last, bounded)]
        self._measure(0, bounded, self._most(0, last, bounded))
        self._measure(last, bounded, self._most(0, last, bounded))
        while to_do:
            first, end, pairs = to_do.pop()
            start, stop = self._at(first)[pairs], self._at(end)[pairs]
            limits = self._limits[pairs]
            for at, distance in ((first, start), (end, stop)):
                if not np.all(distance >= limits):  # true for NaN too
                    return self._named("comes", at, pairs[np.argmin(distance - limits)])
            most = self._most(first, end, pairs)
            open_pairs = pairs[~(start + stop - most >= 2 * limits)]
            if not len(open_pairs):
                continue
            if end - first == 1:
                return self._named("may come", first, open_pairs[0])
            middle = (first + end) // 2
            halves = [self._most(*half, open_pairs) for half in ((first, middle), (middle, end))]
            self._measure(middle, open_pairs, np.maximum(*halves))
            to_do += [(middle, end, open_pairs), (first, middle, open_pairs)]
        return ""

    def _approach_broken(self) -> str:
        """A pair whose contact is wanted that approaches too fast; "" if there is none.

        An interval is proven if the pair stays far or cannot move faster; what remains at knots is
        judged by the mean speed from knot to knot.
        """
        near, approach = self._pairs.near, self._pairs.approach
        to_do = [(0, len(self._path.times_s) - 1, np.flatnonzero(near > -np.inf))]
        while to_do:
            first, end, pairs = to_do.pop()
            if not len(pairs):
                continue
            start, stop = self._at(first)[pairs], self._at(end)[pairs]
            most = self._most(first, end, pairs)
            far = start + stop - most >= 2 * near[pairs]
            fastest = self._bound(self._path.speed[first:end].max(axis=0), pairs)
            still = ~(far | (fastest <= approach[pairs]))
            pairs, start, stop = pairs[still], start[still], stop[still]
            if not len(pairs):
                continue
            if end - first <= SUBDIVISIONS:
                span_s = self._path.times_s[end] - self._path.times_s[first]
                speed = (np.maximum(start, 0.0) - np.maximum(stop, 0.0)) / span_s
                fast = (speed > approach[pairs]) & (np.minimum(start, stop) < near[pairs])
                if fast.any():
                    return self._too_fast(first, pairs[fast][0], float(speed[fast][0]))
                continue
            middle = first + (end - first) // (2 * SUBDIVISIONS) * SUBDIVISIONS
            middle = middle if first < middle < end else (first + end) // 2
            to_do += [(middle, end, pairs), (first, middle, pairs)]
        return ""

    def _most(self, first: int, end: int, pairs: NDArray[np.intp]) -> Floats:
        """How much the distances of these pairs change at most between two points, m."""
        return self._bound(self._path.travel[end] - self._path.travel[first], pairs)

    def _bound(self, joints: Floats, pairs: NDArray[np.intp]) -> Floats:
        """Travel (or speed) of the joints (J,) as a bound of these pairs' change, m (or m/s).

        Not by the operator @: BLAS would wake threads on the cores that the node's others need.
        """
        bound: Floats = np.einsum("pj,j->p", self._pairs.reach[pairs], joints)
        return bound

    def _measure(self, index: int, pairs: NDArray[np.intp], most: Floats) -> None:
        """Measure the distances at one point of the grid, once: of `pairs`, and wanted contacts.

        Exact up to what proves an interval that ends there, in which the distances of `pairs`
        change by at most `most`: if both ends have their limit and half of that, it is proven. For
        all other pairs the distance is inf: what surrounds the point is proven for them.
        """
        if index in self._known:
            return
        enough = self._exact.copy()  # -inf where no contact is wanted: nothing is measured
        needed = np.maximum(self._limits[pairs] + most / 2, self._least_m)
        enough[pairs] = np.maximum(enough[pairs], needed)
        found = self._owner.evaluate(self._path.positions[index], enough)
        if found is None:
            raise _OverBudget
        found = np.where(enough == -np.inf, np.inf, found)
        self._known[index] = found
        self._least_m = min(self._least_m, max(0.0, float(found[self._judged].min())))

    def _at(self, index: int) -> Floats:
        """The distances (P,) at one point of the grid."""
        if index not in self._known:
            self._measure(index, np.arange(0), np.zeros(0))
        return self._known[index]

    def _nearest(self) -> tuple[int, int]:
        """Where on the path the smallest distance was measured, and of which pair."""
        judged = np.flatnonzero(self._judged)
        at = min(self._known, key=lambda index: self._known[index][judged].min())
        return at, int(judged[np.argmin(self._known[at][judged])])

    def _ahead(self, why: str) -> Ahead:
        if not self._known:
            return Ahead(why)
        at, pair = self._nearest()
        distance = float(self._known[at][pair])
        names = self._pairs.names[pair]
        return Ahead(
            *(why, distance, names, float(self._path.times_s[at]), len(self._known)),
            position=self._path.positions[at],
        )

    def _named(self, verb: str, at: int, pair: np.intp) -> str:
        one, other = self._pairs.names[pair]
        return (
            f"{one} {verb} within {max(0.0, self._at(at)[pair]) * 1e3:.1f} mm of {other} in "
            f"{self._path.times_s[at]:.2f} s, at least {self._limits[pair] * 1e3:.1f} mm expected"
        )

    def _too_fast(self, at: int, pair: np.intp, speed: float) -> str:
        one, other = self._pairs.names[pair]
        return (
            f"{one} approaches {other} with {speed:.2f} m/s in {self._path.times_s[at]:.2f} s, at "
            f"most {self._pairs.approach[pair]:.2f} m/s expected within "
            f"{self._pairs.near[pair] * 1e3:.0f} mm"
        )

    def _not_proven(self) -> str:
        why = "no proof within the time of one tick that the way is clear"
        if not self._known:
            return why
        at, pair = self._nearest()
        one, other = self._pairs.names[pair]
        return (
            f"{why}: {one} comes within {max(0.0, self._known[at][pair]) * 1e3:.1f} mm of {other} "
            f"in {self._path.times_s[at]:.2f} s"
        )
