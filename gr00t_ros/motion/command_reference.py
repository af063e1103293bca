"""Successive chunks of commands (velocities and levels) become one target at any time.

Row k of a chunk is for stamp + k*step. A velocity is constant over its step and zero after the
last one: a delta that is spread over its step is executed once. A level is linear between two
steps. The methods of merging are those of joints (motion/reference).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.reference import (
    ENSEMBLE_CHUNKS,
    Merge,
    SampledChunk,
    fading,
    first_with_weight,
    merged,
)

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """One chunk's rows (T, C) from the splice on, and the jump (C,) there, which fades out."""

    splice_ns: int
    stamp_ns: int
    step_ns: int
    rows: Floats
    jump: Floats

    @property
    def over_ns(self) -> int:
        """When the last step has been executed."""
        return self.stamp_ns + len(self.rows) * self.step_ns

    def sample(self, times_ns: Times, velocity: NDArray[np.bool_]) -> Floats:
        """(N, C) of the rows alone."""
        along = (times_ns - self.stamp_ns) / self.step_ns
        last = len(self.rows) - 1
        index = np.clip(np.floor(along).astype(np.int64), 0, last)
        part = np.clip(along - index, 0.0, 1.0)[:, None]
        before, after = self.rows[index], self.rows[np.minimum(index + 1, last)]
        value: Floats = np.where(velocity, before, before + (after - before) * part)
        return value


class CommandReference:
    """The chunks that still have weight, merged by the method `merge`; times are their own."""

    def __init__(self, velocity: NDArray[np.bool_], merge: Merge, fade_ns: int) -> None:
        """velocity: (C,) which commands rest at zero. fade_ns: as Reference has it."""
        self._velocity, self._merge, self._fade_ns = velocity, merge, fade_ns
        self._pieces: tuple[_Piece, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is a chunk to follow."""
        return bool(self._pieces)

    @property
    def over_ns(self) -> int:
        """When the newest chunk has been executed; only while there is one."""
        return self._pieces[-1].over_ns

    def clear(self) -> None:
        """Drop all chunks."""
        self._pieces = ()

    def follow(self, chunk: ActionChunk, values: Floats, splice_ns: int) -> None:
        """Follow the guarded `values` (T, C) of a chunk from splice_ns on.

        Without a chunk before it there is nothing to fade from: the rate limit alone begins it.
        """
        new = _Piece(splice_ns, chunk.stamp_ns, chunk.step_ns, values, np.zeros(values.shape[1]))
        if self._pieces and self._merge == "offset_decay":
            at = np.array([splice_ns])
            jump = self.sample(at)[0] - new.sample(at, self._velocity)[0]
            new = _Piece(splice_ns, chunk.stamp_ns, chunk.step_ns, values, jump)
        self._pieces = (*self._still_used(splice_ns), new)

    def sample(self, times_ns: Times) -> Floats:
        """(N, C) targets; velocities are zero once the newest chunk is over."""
        value = merged(self._merge, list(self._sampled(times_ns)))
        moving = (times_ns < self.over_ns)[:, None]
        return np.where(self._velocity & ~moving, 0.0, value)

    def _sampled(self, times_ns: Times) -> Iterator[SampledChunk]:
        for piece in self._pieces:
            left = fading(times_ns, piece.splice_ns, self._fade_ns)
            value = piece.sample(times_ns, self._velocity) + left * piece.jump
            yield value, left, times_ns < piece.over_ns

    def _still_used(self, splice_ns: int) -> tuple[_Piece, ...]:
        if self._merge == "crossfade":
            splices_ns = [piece.splice_ns for piece in self._pieces]
            first = first_with_weight(splices_ns, self._fade_ns, splice_ns)
            return tuple(p for p in self._pieces[first:] if p.over_ns > splice_ns)
        if self._merge == "ensemble":
            return tuple(p for p in self._pieces if p.over_ns > splice_ns)[1 - ENSEMBLE_CHUNKS :]
        return ()
