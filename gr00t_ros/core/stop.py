"""The exact controlled stop: from any velocity and acceleration to rest, on the knot grid.

Jerk is constant between knots, so that the controller's cubic and quintic reproduce the motion
exactly. Knows no reference, no position limit and no time of day.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Knots beside the least n3 that are tried as well: a longer last phase may ease the first one.
_AROUND = np.array([-1.0, 0.0, 1.0, 2.0])[None, :, None]


class Rows(NamedTuple):
    """Motion at consecutive knots: three (N, J) float64 arrays in rad, rad/s and rad/s^2."""

    position: Floats
    velocity: Floats
    acceleration: Floats


class State(NamedTuple):
    """Motion at one instant: three (J,) float64 arrays in rad, rad/s and rad/s^2."""

    position: Floats
    velocity: Floats
    acceleration: Floats


def stop(state: State, acceleration: Floats, jerk: Floats, knot_s: float) -> Rows:
    """The shortest three-phase stop of each joint, as the rows after `state`.

    Phases of n1, n2 and n3 knots: jerk to a1, hold it, jerk to zero (control.md 1, item 5):
    a1 = -(v0 + a0*T1/2) / (T1/2 + T2 + T3/2), j1 = (a1 - a0)/T1, j3 = -a1/T3.
    acceleration, jerk: (J,) limits. All joints get as many rows as the slowest needs; the last
    row has velocity and acceleration exactly 0.
    """
    phases, peak = _phases(state, acceleration, jerk, knot_s)
    ends = np.cumsum(phases, axis=0)
    knot = np.arange(1, int(ends[-1].max()) + 1)[:, None]
    ramp_in = np.minimum(knot / phases[0], 1.0)
    ramp_out = np.clip((ends[-1] - knot) / phases[2], 0.0, 1.0)
    before = state.acceleration
    rows = np.where(knot <= ends[0], before + (peak - before) * ramp_in, peak * ramp_out)
    rows = np.where(knot >= ends[-1], 0.0, rows)
    result = integrate(state, rows, knot_s)
    result.velocity[knot >= ends[-1]] = 0.0
    return result


def integrate(state: State, acceleration: Floats, knot_s: float) -> Rows:
    """Motion through the accelerations (N, J) of the knots after `state`, linear between them."""
    a = np.vstack([state.acceleration, acceleration])
    velocity = state.velocity + np.cumsum((a[:-1] + a[1:]) * (knot_s / 2), axis=0)
    v = np.vstack([state.velocity, velocity])
    way = v[:-1] * knot_s + (2 * a[:-1] + a[1:]) * (knot_s**2 / 6)
    return Rows(state.position + np.cumsum(way, axis=0), velocity, acceleration)


def _phases(
    state: State, acceleration: Floats, jerk: Floats, knot_s: float
) -> tuple[NDArray[np.int64], Floats]:
    """(3, J) knots of each phase and (J,) a1 of the shortest admissible stop.

    For each n1 a few n3 are tried, each with the shortest n2 with |a1| inside its limit: those
    around the least n3 that takes a1 back inside the jerk limit, which is the acceleration limit's
    or, where nothing is held between (n2 = 0), the root of n3 * (n1 + n3) = 2*|v1| / (j*T^2), v1
    being the velocity that the first phase begins to turn; and the largest. At the largest n1 and
    n3 even a swing from a0 to the opposite limit respects the jerk limit, so one always fits.
    """
    push = jerk * knot_s
    swing = acceleration + np.maximum(acceleration, np.abs(state.acceleration))
    n1 = np.arange(1, np.ceil((swing / push).max()) + 1)[:, None, None]
    largest = np.ceil(acceleration / push)
    gained = state.velocity + state.acceleration * n1 * (knot_s / 2)
    root = (np.sqrt(n1**2 + 8 * np.abs(gained) / (push * knot_s)) - n1) / 2
    least = np.minimum(np.ceil(root), largest)
    around = np.clip(least + _AROUND, 1, largest)
    n3 = np.concatenate([around, np.broadcast_to(largest, gained.shape)], axis=1)
    ramps = (n1 + n3) / 2
    n2 = np.maximum(np.ceil(np.abs(gained) / (acceleration * knot_s) - ramps - 1e-9), 0.0)
    a1 = -gained / ((ramps + n2) * knot_s)
    bound = push * (1 + 1e-9)
    fits = (np.abs(a1 - state.acceleration) <= bound * n1) & (np.abs(a1) <= bound * n3)
    total = np.where(fits, n1 + n2 + n3, np.inf).reshape(-1, len(swing))
    row, column = np.unravel_index(np.argmin(total, axis=0), n3.shape[:2])
    joint = np.arange(len(swing))
    best = row, column, joint
    phases = np.stack([n1[row, 0, 0], n2[best], n3[best]]).astype(np.int64)
    return phases, a1[best]
