"""How far two series are apart in time: predictions, states and pictures against actions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.evaluate.accuracy import shifted

Floats = NDArray[np.float64]

MOST_ROWS = 10
_STEP_ROWS = 0.25
_STILL = 1e-4  # standard deviation of a component that does not move, in its unit
_SMALL_PX = 32  # pictures are compared at about this height


@dataclass(frozen=True, slots=True)
class Lag:
    """rows: how many rows the one is behind the other, at which they agree best.

    explained: share of the squared error at shift 0 that vanishes with this shift, 0 to 1; for
    pictures, the correlation at the best shift. relative: the squared error at shift 0 as a share
    of the reference's variance; for pictures, the correlation at shift 0. All are NaN where nothing
    moves.
    """

    rows: float
    explained: float
    relative: float = float("nan")


NO_LAG = Lag(float("nan"), float("nan"))


def lag(values: Floats, reference: Floats, counted: NDArray[np.bool_]) -> Lag:
    """By how many rows `values` (N, C) are behind `reference` (N, C), in quarters of a row.

    The shift s is that at which values(t) agrees best with reference(t - s), over the components
    that move, each weighted by the inverse of its variance. All shifts use the same rows.
    """
    finite = counted[:, None] & np.isfinite(reference)
    spread = np.array([_spread(reference[use, c]) for c, use in enumerate(finite.T)])
    moving = spread > _STILL
    most = min(MOST_ROWS, len(values) // 4)
    if not moving.any() or most < 1:
        return NO_LAG
    steps = np.arange(-most / _STEP_ROWS, most / _STEP_ROWS + 1) * _STEP_ROWS
    apart = np.stack([values - shifted(reference, shift) for shift in steps])[:, :, moving]
    use = counted[:, None] & np.isfinite(apart).all(axis=0)
    if not use.any(axis=0).all():
        return NO_LAG
    weighted = np.where(use, (apart / spread[moving]) ** 2, 0.0)
    cost = (weighted.sum(axis=1) / use.sum(axis=0)).mean(axis=1)
    at_zero = cost[np.argmin(np.abs(steps))]
    # Of equal costs the smallest shift: a series that is constant has no lag.
    best = min(range(len(steps)), key=lambda i: (cost[i], abs(steps[i])))
    if at_zero <= 0.0:
        return Lag(0.0, 0.0, 0.0)
    return Lag(float(steps[best]), float(1.0 - cost[best] / at_zero), float(at_zero))


def _spread(values: Floats) -> float:
    return float(np.std(values)) if len(values) else 0.0


def picture_change(pictures: Iterable[NDArray[np.uint8]]) -> Floats:
    """(N,) mean change of each picture from the one before, 0..255; NaN for the first."""
    changes, before = [], None
    for picture in pictures:
        small = _blocks(picture, max(1, picture.shape[0] // _SMALL_PX))
        changes.append(np.nan if before is None else float(np.abs(small - before).mean()))
        before = small
    return np.array(changes)


def _blocks(picture: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """The means of the green channel over all blocks of `size` x `size` pixels."""
    height, width = (side // size for side in picture.shape[:2])
    green = picture[: height * size, : width * size, 1]
    lines = green.reshape(height, size, width * size).sum(axis=1, dtype=np.uint32)
    blocks = lines.reshape(height, width, size).sum(axis=2)
    return np.asarray(blocks / size**2, np.float32)


def picture_lag(change: Floats, state: Floats) -> Lag:
    """By how many rows the change of pictures (N,) is behind the motion of the state (N, C).

    By the correlation of both, smoothed over three rows; `explained` is the correlation.
    """
    speed = np.full(len(state), np.nan)
    scale = np.maximum(np.nanstd(state, axis=0), _STILL)
    speed[1:] = np.sqrt((np.diff(state / scale, axis=0) ** 2).sum(axis=1))
    motion, seen = _smooth(speed), _smooth(change)
    most = min(MOST_ROWS, len(state) // 4)
    shifts = range(-most, most + 1)
    found = [_correlation(seen, shifted(motion[:, None], shift)[:, 0]) for shift in shifts]
    if not found or not np.isfinite(found).any():
        return NO_LAG
    best = int(np.nanargmax(found))
    return Lag(float(shifts[best]), float(found[best]), float(found[most]))


def _smooth(values: Floats) -> Floats:
    padded = np.concatenate([values[:1], values, values[-1:]])
    mean: Floats = (padded[:-2] + padded[1:-1] + padded[2:]) / 3.0
    return mean


def _correlation(first: Floats, second: Floats) -> float:
    use = np.isfinite(first) & np.isfinite(second)
    if use.sum() < 8 or np.std(first[use]) < 1e-9 or np.std(second[use]) < 1e-9:
        return float("nan")
    return float(np.corrcoef(first[use], second[use])[0, 1])
