"""Successive action chunks become one raw reference at any plan time, with time scaling.

Row k of a chunk is for stamp + k*step whenever the chunk arrives; steps already due are dropped.
Only raw chunks are merged, never shaped output (that drifted by 2 rad, control.md 1). Time scaling
keeps the path: it slows all joints down together where a limit requires it, and catches up later.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.shaper import Bounds, both_sides

Floats = NDArray[np.float64]
Merge = Literal["offset_decay", "crossfade", "newest", "ensemble"]
MERGES: tuple[str, ...] = get_args(Merge)

# Weight of a chunk relative to the one before it in the ensemble: exp(-0.1). Older chunks count
# more, and a single bad prediction counts little. That is ACT's temporal ensembling (arXiv
# 2304.13705, IV-A: w_i = exp(-m i), w_0 the oldest) with m = 0.1 for each chunk. Its code has 0.01
# for each step, which is about the same where a query follows after eight steps (execute_steps).
ENSEMBLE_RATE = 0.1
ENSEMBLE_CHUNKS = 8


def fading(times_ns: NDArray[np.int64], splice_ns: int, fade_ns: int) -> Floats:
    """(N, 1) from 1 at the splice to 0 after the fade, with zero slope at both ends."""
    part = (times_ns - splice_ns) / max(fade_ns, 1)
    part = np.minimum(np.maximum(part, 0.0), 1.0)[:, None]
    left: Floats = 1.0 - part * part * (3.0 - 2.0 * part)
    return left


SampledChunk = tuple[Floats, Floats, NDArray[np.bool_]]
"""One chunk at N times: values (N, D), what is left of its fade (N, 1), whether it reaches them."""


def merged(merge: Merge, chunks: Sequence[SampledChunk]) -> Floats:
    """(N, D) of all chunks, the oldest first.

    An ensemble is the weighted mean of the chunks that reach a time; after all of them, the newest
    alone. Else each chunk fades in over those before it.
    """
    if merge == "ensemble":
        return _weighted_mean(chunks)
    value = np.empty(0)
    for index, (new, left, _) in enumerate(chunks):
        value = new + left * (value - new) if index else new
    return value


def _weighted_mean(chunks: Sequence[SampledChunk]) -> Floats:
    total, weights = np.zeros(1), np.zeros(1)
    for age, (value, _, reaches) in enumerate(chunks):
        weight = np.exp(-ENSEMBLE_RATE * age) * (reaches[:, None] | (age == len(chunks) - 1))
        total = total + weight * value
        weights = weights + weight
    mean: Floats = total / weights
    return mean


def first_with_weight(splices_ns: Sequence[int], fade_ns: int, at_ns: int) -> int:
    """The first chunk of a crossfade with weight: those before one that has faded in have none."""
    faded_in = [index for index, ns in enumerate(splices_ns) if ns + fade_ns <= at_ns]
    return max(faded_in, default=0)


@dataclass(frozen=True, slots=True, eq=False)
class SplicedChunk:
    """One chunk's rows (T, D) from the splice on, and its jump (D,) there, which fades out.

    stepped: (D,) values that are constant over their step; all others are linear between rows.
    """

    splice_ns: int
    stamp_ns: int
    step_ns: int
    rows: Floats
    jump: Floats
    stepped: NDArray[np.bool_] | None = None

    @property
    def end_ns(self) -> int:
        """Plan time of the last row."""
        return self.stamp_ns + (len(self.rows) - 1) * self.step_ns

    @property
    def over_ns(self) -> int:
        """When the last step has been executed."""
        return self.end_ns + self.step_ns

    def joined(self, splice_ns: int, value: Floats) -> "SplicedChunk":
        """The same rows, starting from `value` (D,) at splice_ns."""
        jump = value - self.sample(np.array([splice_ns]))[0]
        return replace(self, splice_ns=splice_ns, jump=jump)

    def sample(self, times_ns: NDArray[np.int64]) -> Floats:
        """(N, D) of the rows alone; constant before the first and after the last of them."""
        last = len(self.rows) - 1
        along = (times_ns - self.stamp_ns) / self.step_ns
        along = np.minimum(np.maximum(along, 0.0), last)
        index = along.astype(np.int64)
        part = (along - index)[:, None]
        before, after = self.rows[index], self.rows[np.minimum(index + 1, last)]
        value: Floats = before + (after - before) * part
        return value if self.stepped is None else np.where(self.stepped, before, value)


class Reference:
    """The chunks that still have weight, merged by the method `merge`."""

    def __init__(self, merge: Merge, fade_ns: int) -> None:
        """fade_ns: time in which a new chunk's jump, or the chunk before it, fades out."""
        self._merge = merge
        self._fade_ns = fade_ns
        self._chunks: tuple[SplicedChunk, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is a chunk to follow."""
        return bool(self._chunks)

    @property
    def end_ns(self) -> int | None:
        """Plan time of the last row, which is held afterwards. None without a chunk."""
        return self._chunks[-1].end_ns if self._chunks else None

    @property
    def settled_ns(self) -> int | None:
        """Plan time from which the reference is constant. None without a chunk."""
        if not self._chunks:
            return None
        return max(max(p.end_ns, p.splice_ns + self._fade_ns) for p in self._chunks)

    def clear(self) -> None:
        """Drop all chunks."""
        self._chunks = ()

    def merge(
        self, chunk: ActionChunk, rows: Floats, splice_ns: int, position: Floats, lag_ns: int
    ) -> None:
        """Follow `rows` (T, J), the guarded joints of `chunk`, from splice_ns on.

        position: (J,) of the plan at splice_ns, where the reference starts if there is none yet.
        lag_ns: how far behind its own time the old reference is followed there.
        """
        before = self.sample(np.array([splice_ns - lag_ns]))[0] if self._chunks else position
        new = SplicedChunk(splice_ns, chunk.stamp_ns, chunk.step_ns, rows, np.zeros_like(position))
        if self._merge == "offset_decay" or not self._chunks:
            new = new.joined(splice_ns, before)
        self._chunks = (*self._still_used(splice_ns), new)

    def restart(self, at_ns: int, position: Floats) -> None:
        """Continue from `position` (J,) at at_ns towards the newest chunk: the jump fades out."""
        self._chunks = (self._chunks[-1].joined(at_ns, position),)

    def sample(self, times_ns: NDArray[np.int64]) -> Floats:
        """(N, J) float64 rad at plan times (N,) int64 that are not before the last splice."""
        return merged(self._merge, list(self._sampled(times_ns)))

    def _sampled(self, times_ns: NDArray[np.int64]) -> Iterator[SampledChunk]:
        for spliced in self._chunks:
            left = fading(times_ns, spliced.splice_ns, self._fade_ns)
            yield spliced.sample(times_ns) + left * spliced.jump, left, times_ns <= spliced.end_ns

    def _still_used(self, splice_ns: int) -> tuple[SplicedChunk, ...]:
        if self._merge == "crossfade":
            splices_ns = [spliced.splice_ns for spliced in self._chunks]
            return self._chunks[first_with_weight(splices_ns, self._fade_ns, splice_ns) :]
        if self._merge == "ensemble":
            reaching = tuple(p for p in self._chunks if p.end_ns >= splice_ns)
            return reaching[-(ENSEMBLE_CHUNKS - 1) :]
        return ()


Times = NDArray[np.int64]

# Largest rate: how much faster than its own time a lagging reference may be followed.
CATCH_UP = 1.25
# Smallest rate: without it a reference at a position whose velocity limit is zero would never move.
SLOWEST = 0.02
# Share of the velocity limit for the reference; the filter needs the rest to correct errors.
VELOCITY_SHARE = 0.9
# Share of the acceleration limit for slowing down to a lowered velocity limit; the filter needs the
# rest.
SLOWING_SHARE = 0.5


def time_scaled(
    sample: Callable[[Times], Floats],
    times_ns: Times,
    lag_ns: int,
    within: Bounds,
    checked: NDArray[np.bool_],
    share: float = 1.0,
) -> tuple[Floats, Times]:
    """The reference (N, J) to follow at times_ns (N,), and its lag (N,) ns behind its own time.

    times_ns are evenly spaced. lag_ns: the lag at the first of them. checked: (J,) joints whose
    speed counts; a gripper's step commands do not, because the filter smooths them. share: below 1
    the largest share of its own speed at which the reference is followed.
    """
    knot_ns = int(times_ns[1] - times_ns[0])
    behind = -(-lag_ns // knot_ns)
    grid = times_ns[0] - lag_ns + knot_ns * np.arange(len(times_ns) + behind + 1)
    raw = sample(grid)
    ratio = _ratios(raw, knot_ns, within, checked)
    fastest = CATCH_UP if share >= 1.0 else share
    if fastest >= 1.0 and lag_ns == 0 and min(ratio[: len(times_ns)]) >= 1.0:
        return raw[: len(times_ns)], np.zeros_like(times_ns)
    # Never run ahead of the reference's own time: the lag stays at least 0.
    reached = [0.0]
    for knot in range(1, len(times_ns)):
        at = reached[-1]
        rate = min(fastest, max(SLOWEST, ratio[min(int(at), len(ratio) - 1)]))
        reached.append(min(at + rate, knot + lag_ns / knot_ns))
    own_ns = grid[0] + np.round(np.array(reached) * knot_ns).astype(np.int64)
    return sample(own_ns), times_ns - own_ns


def slowing_per_s(target: Bounds, velocity_scale: float) -> float:
    """How much the velocity scale may fall in one second on the way to `target`.

    velocity_scale: that of `target`. All joints slow down together, which keeps the path. A filter
    at zero acceleration that meets a limit falling at r rad/s^2 brakes with up to 2 r. Ending that
    deceleration changes the velocity by another 2 r^2 / jerk; if this were more than the target
    velocity, the joint would reverse.
    """
    most = SLOWING_SHARE * target.acceleration
    most = np.minimum(most, np.sqrt(target.jerk * target.velocity / 2))
    return float(np.min(most / target.velocity)) * velocity_scale


def _ratios(raw: Floats, knot_ns: int, within: Bounds, checked: NDArray[np.bool_]) -> list[float]:
    """Allowed speed over the reference's speed between rows of raw: the least of all joints."""
    steps = raw[1:] - raw[:-1]
    limits = within.speed(both_sides(raw))
    limits = VELOCITY_SHARE * np.minimum(limits[1:], limits[:-1])
    allowed = np.where(steps > 0, limits[:, 0], limits[:, 1])
    needed = np.where(checked, np.abs(steps) / (knot_ns * 1e-9), 0.0)
    ratios: list[float] = np.min(allowed / np.maximum(needed, 1e-9), axis=1).tolist()
    return ratios
