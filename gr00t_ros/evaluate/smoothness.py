"""How smooth a motion is: velocity, acceleration, jerk, and how often it turns back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TURN_SHARE = 0.02
TURN_LEAST = 1e-3
"""A turn counts if the motion goes back by this share of the recorded span, and by 1e-3."""


@dataclass(frozen=True, slots=True, eq=False)
class Smoothness:
    """Of C components, (3, C): velocity, acceleration and jerk, in units a second, s^2 and s^3.

    turns_hz: (C,) changes of direction a second.
    """

    most: Floats
    rms: Floats
    turns_hz: Floats


def smoothness(motion: Floats, step_s: float, deadband: Floats) -> Smoothness:
    """Of a motion (N, C) with NaN rows at its gaps, by differences of successive rows.

    deadband: (C,) how far a motion must go back until that counts as a turn.
    """
    orders, values = [], motion
    for _ in range(3):
        values = np.diff(values, axis=0) / step_s
        orders.append(values)
    most = np.stack([_reduced(np.abs(one), np.max) for one in orders])
    rms = np.stack([np.sqrt(_reduced(one**2, np.mean)) for one in orders])
    duration_s = step_s * np.maximum(np.isfinite(orders[0]).sum(axis=0), 1)
    turns = [turning_points(column, band) for column, band in zip(motion.T, deadband, strict=True)]
    return Smoothness(most, rms, np.array(turns) / duration_s)


def turn_deadband(recorded: Floats) -> Floats:
    """(C,) the deadband of turns for a recorded motion (N, C)."""
    finite = np.isfinite(recorded)
    some = finite.any(axis=0)
    high = np.where(finite, recorded, -np.inf).max(axis=0, initial=-np.inf)
    low = np.where(finite, recorded, np.inf).min(axis=0, initial=np.inf)
    span = np.where(some, high - low, 0.0)
    return np.maximum(TURN_SHARE * span, TURN_LEAST)


def turning_points(column: Floats, deadband: float) -> int:
    """How often a motion (N,) changes direction by more than `deadband`."""
    turns, direction, extreme = 0, 0, np.nan
    for value in column[np.isfinite(column)].tolist():
        if np.isnan(extreme):
            extreme = value
        elif direction >= 0 and value < extreme - deadband:
            turns, direction, extreme = turns + (direction > 0), -1, value
        elif direction <= 0 and value > extreme + deadband:
            turns, direction, extreme = turns + (direction < 0), 1, value
        elif direction >= 0:
            extreme = max(extreme, value) if direction else extreme
        else:
            extreme = min(extreme, value)
    return turns


def _reduced(values: Floats, of: object) -> Floats:
    """(C,) a reduction over the finite rows of each column; NaN where there is none."""
    found = np.full(values.shape[1], np.nan)
    for column in range(values.shape[1]):
        finite = values[np.isfinite(values[:, column]), column]
        if len(finite):
            found[column] = of(finite)  # type: ignore[operator]
    return found
