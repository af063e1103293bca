"""The continuous path of a motion on knots, and how far each joint moves along it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.shaper import Rows

Floats = NDArray[np.float64]

SUBDIVISIONS = 8
"""Grid intervals a knot interval is divided into: 2.5 ms at knots of 20 ms."""


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """Points of a path, and bounds between them, as float64.

    ``times_s`` (G,): since the first point. ``positions`` (G, J): rad or m. ``travel`` (G, J): how
    far each joint has moved since the first point, back and forth counted, at most. ``speed``
    (G - 1, J): the largest speed of each joint from one point to the next, at most. For tools that
    follow poses, travel and speed have other columns than the positions (pose_path.py).
    """

    times_s: Floats
    positions: Floats
    travel: Floats
    speed: Floats


def path_of(rows: Rows, knot_s: float) -> Path:
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
    return Path(times_s, positions, travel, speed)
