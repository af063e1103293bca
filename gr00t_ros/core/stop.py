"""The exact controlled stop: from any velocity and acceleration to rest, on the knot grid.

Jerk is constant between knots, so that the controller's cubic and quintic reproduce the motion
exactly. Knows no reference, no position limit and no time of day.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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

    For each n1 and n3 the shortest n2 with |a1| inside its limit is tried; at the largest n1 and
    n3 even a swing from a0 to the opposite limit respects the jerk limit, so one always fits.
    """
    swing = acceleration + np.maximum(acceleration, np.abs(state.acceleration))
    n1, n3 = np.meshgrid(
        np.arange(1, np.ceil((swing / (jerk * knot_s)).max()) + 1),
        np.arange(1, np.ceil((acceleration / (jerk * knot_s)).max()) + 1),
        indexing="ij",
    )
    n1, n3 = n1.reshape(-1, 1), n3.reshape(-1, 1)
    gained = state.velocity + state.acceleration * n1 * (knot_s / 2)
    ramps = (n1 + n3) / 2
    n2 = np.maximum(np.ceil(np.abs(gained) / (acceleration * knot_s) - ramps - 1e-9), 0.0)
    a1 = -gained / ((ramps + n2) * knot_s)
    bound = jerk * knot_s * (1 + 1e-9)
    fits = (np.abs(a1 - state.acceleration) <= bound * n1) & (np.abs(a1) <= bound * n3)
    total = np.where(fits, n1 + n2 + n3, np.inf)
    best = np.argmin(total, axis=0)
    joint = np.arange(len(best))
    phases = np.stack([n1[best, 0], n2[best, joint], n3[best, 0]]).astype(np.int64)
    return phases, a1[best, joint]
