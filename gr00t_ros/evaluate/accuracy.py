"""Predictions against what was recorded: errors, baselines beside them, and seams of chunks.

All arrays have one column for each component. `rows` (K,) are the rows of the queries, `chunks`
(K, H, C) their predictions, and `late` the steps of a chunk that are due before it arrives.
`counted` (N,) are the rows that count. A chunk ends with the run of such rows in which it was asked
for: after it the arm was stopped, or moved by somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.evaluate.open_loop import run_ends

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
RowNumbers = NDArray[np.int64]

BASELINES = ("hold", "repeat", "shifted")
"""Hold the state; repeat the last action; the recorded action, later by the latency."""


def newest_chunk(rows: RowNumbers, horizon: int, late: int, counted: Flags) -> RowNumbers:
    """(N,) the chunk that is played in each row: the newest that has arrived; -1 where none is."""
    newest = np.full(len(counted), -1, np.int64)
    ends = run_ends(rows, counted).tolist()
    for number, (row, end) in enumerate(zip(rows.tolist(), ends, strict=True)):
        newest[row + late : min(row + horizon, end)] = number
    return newest


def executed(rows: RowNumbers, chunks: Floats, late: int, counted: Flags) -> Floats:
    """(N, C) what would be played in each row; NaN where no chunk reaches."""
    newest = newest_chunk(rows, chunks.shape[1], late, counted)
    played = np.full((len(counted), chunks.shape[2]), np.nan)
    at = np.flatnonzero(newest >= 0)
    played[at] = chunks[newest[at], at - rows[newest[at]]]
    return played


def held_since(
    rows: RowNumbers, values: Floats, horizon: int, late: int, back: int, counted: Flags
) -> Floats:
    """(N, C) the value of `values` (N, C) `back` rows before the query, held for its chunk."""
    newest = newest_chunk(rows, horizon, late, counted)
    found = np.full(values.shape, np.nan)
    at = np.flatnonzero(newest >= 0)
    source = rows[newest[at]] - back
    found[at[source >= 0]] = values[source[source >= 0]]
    return found


def shifted(values: Floats, shift_rows: float) -> Floats:
    """(N, C) values(t - shift), linear between rows; NaN outside."""
    at = np.arange(len(values)) - shift_rows
    low = np.floor(at).astype(np.int64)
    part = (at - low)[:, None]
    high = low + (part[:, 0] > 0)
    inside = (low >= 0) & (high < len(values))
    found = np.full(values.shape, np.nan)
    first, last = values[low[inside]], values[high[inside]]
    found[inside] = np.where(part[inside] > 0, first + (last - first) * part[inside], first)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Mean errors of each component over `count` (C,) rows; NaN where no row counts."""

    count: RowNumbers
    mse: Floats
    mae: Floats


def errors(predicted: Floats, recorded: Floats, counted: Flags) -> Errors:
    """The errors over the rows that count and in which both are finite.

    predicted, recorded: (N, C) in each component's unit. counted: (N,).
    """
    apart = np.where(counted[:, None], predicted - recorded, np.nan)
    return _mean_errors(apart, axis=0)


def _mean_errors(apart: Floats, axis: int) -> Errors:
    finite = np.isfinite(apart)
    count = finite.sum(axis=axis)
    apart = np.where(finite, apart, 0.0)
    least = np.maximum(count, 1)
    empty = count == 0
    mse = np.where(empty, np.nan, (apart**2).sum(axis=axis) / least)
    mae = np.where(empty, np.nan, np.abs(apart).sum(axis=axis) / least)
    return Errors(count.astype(np.int64), mse, mae)


def by_step(rows: RowNumbers, chunks: Floats, recorded: Floats, counted: Flags) -> Errors:
    """Errors of each step of the horizon, (H, C): step j of a chunk against row + j."""
    count, horizon = len(recorded), chunks.shape[1]
    at = rows[:, None] + np.arange(horizon)
    inside = at < run_ends(rows, counted)[:, None]
    at = np.minimum(at, count - 1)
    apart = np.where(inside[..., None], chunks - recorded[at], np.nan)
    return _mean_errors(apart, axis=0)


def by_latency(
    rows: RowNumbers, chunks: Floats, recorded: Floats, counted: Flags, every: int
) -> Floats:
    """(L, C) MSE of what is played if chunks arrive 0, 1, ... L - 1 rows after their observation.

    All latencies are compared on the rows that each of them reaches. L: as far as one chunk
    reaches the next.
    """
    most = max(1, chunks.shape[1] - every + 1)
    played = [executed(rows, chunks, late, counted) for late in range(most)]
    common = counted & np.all([np.isfinite(one).all(axis=1) for one in played], axis=0)
    return np.stack([errors(one, recorded, common).mse for one in played])


@dataclass(frozen=True, slots=True, eq=False)
class Seams:
    """How far successive chunks disagree where they overlap; S seams, O rows of overlap at most.

    rows: (S,) the later query. apart: (S, O, C) later minus earlier, NaN beyond the overlap.
    jump: (S, C) at the first row that the later chunk plays. offset: (S, C) mean over the first
    `played` rows: until the next chunk takes over. What is never played moves no arm.
    """

    rows: RowNumbers
    apart: Floats
    jump: Floats
    offset: Floats
    played: int

    def rms(self) -> Floats:
        """(C,) over all seams and played rows; NaN without a seam."""
        return _rms(self.apart[:, : self.played].reshape(-1, self.apart.shape[-1]))

    def rms_by_step(self) -> Floats:
        """(O, C) over all seams, for each row after the later chunk took over."""
        return np.stack([_rms(self.apart[:, step]) for step in range(self.apart.shape[1])])


def _rms(values: Floats) -> Floats:
    count = np.isfinite(values).sum(axis=0)
    total = np.nansum(values**2, axis=0)
    return np.where(count == 0, np.nan, np.sqrt(total / np.maximum(count, 1)))


def seams(rows: RowNumbers, chunks: Floats, late: int, every: int, counted: Flags) -> Seams:
    """The seams between chunks that overlap after the later one has arrived, in one run of rows.

    rows: (K,) of the queries. chunks: (K, H, C), in each component's unit. counted: (N,) all rows.
    every: rows between two queries, of which each chunk plays as many.
    """
    horizon, width = chunks.shape[1:]
    ends = run_ends(rows, counted)
    same_run = np.flatnonzero(ends[1:] == ends[:-1])
    longest = max(1, horizon - late - int(np.diff(rows)[same_run].min(initial=horizon)))
    found, apart = [], []
    for number in same_run.tolist():
        before, row = rows[number : number + 2].tolist()
        first = row - before + late
        overlap = min(horizon - first, int(ends[number]) - row - late)
        if overlap <= 0:
            continue
        line = np.full((longest, width), np.nan)
        earlier = chunks[number, first : first + overlap]
        line[:overlap] = chunks[number + 1, late : late + overlap] - earlier
        found.append(row)
        apart.append(line)
    lines = np.stack(apart) if apart else np.zeros((0, longest, width))
    played = lines[:, :every]
    count = np.maximum(np.isfinite(played).sum(axis=1), 1)
    offset = np.nansum(played, axis=1) / count
    return Seams(np.array(found, np.int64), lines, lines[:, 0], offset, every)
