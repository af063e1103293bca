"""Slows a reference that is too fast for a joint, for all joints together.

The path stays as it is, only its time stretches; what is lost is caught up where there is room.
Also how fast a velocity limit itself may be lowered under a motion. Knows no chunks and no filter.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.shaper import Bounds

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

# How much faster than its own time a lagging reference may be followed.
CATCH_UP = 1.25
# Slowest pace: a reference at a limit that is zero must not stand still for ever.
SLOWEST = 0.02
# Share of the velocity limit that the reference may use; the filter needs the rest to correct.
VELOCITY_SHARE = 0.9
# Share of the acceleration limit that a lowered velocity limit uses; the filter needs the rest.
SLOWING_SHARE = 0.5


def paced(
    sample: Callable[[Times], Floats],
    times_ns: Times,
    lag_ns: int,
    within: Bounds,
    checked: NDArray[np.bool_],
) -> tuple[Floats, Times]:
    """The reference (N, J) to follow at times_ns (N,), and its lag (N,) ns behind its own time.

    times_ns are evenly spaced. lag_ns: at the first of them. checked: (J,) joints whose speed
    counts; step commands of a gripper are the filter's to smooth.
    """
    knot_ns = int(times_ns[1] - times_ns[0])
    behind = -(-lag_ns // knot_ns)
    grid = times_ns[0] - lag_ns + knot_ns * np.arange(len(times_ns) + behind + 1)
    raw = sample(grid)
    ratio = _ratios(raw, knot_ns, within, checked)
    if lag_ns == 0 and min(ratio[: len(times_ns)]) >= 1.0:
        return raw[: len(times_ns)], np.zeros_like(times_ns)
    # A pace must not use time that has not come, so the lag never becomes negative.
    reached = [0.0]
    for knot in range(1, len(times_ns)):
        at = reached[-1]
        pace = min(CATCH_UP, max(SLOWEST, ratio[min(int(at), len(ratio) - 1)]))
        reached.append(min(at + pace, knot + lag_ns / knot_ns))
    own_ns = grid[0] + np.round(np.array(reached) * knot_ns).astype(np.int64)
    return sample(own_ns), times_ns - own_ns


def slowing_per_s(target: Bounds, velocity_scale: float) -> float:
    """How much of the velocity scale may be taken away in a second on the way to `target`.

    velocity_scale: of `target`. All joints slow down together, which keeps the path. A filter that
    meets a limit falling at r rad/s^2 from rest of acceleration brakes at up to 2 r, which takes
    2 r^2 / jerk of velocity to take back: more than the target itself would turn the joint round.
    """
    most = SLOWING_SHARE * target.acceleration
    most = np.minimum(most, np.sqrt(target.jerk * target.velocity / 2))
    return float(np.min(most / target.velocity)) * velocity_scale


def _ratios(raw: Floats, knot_ns: int, within: Bounds, checked: NDArray[np.bool_]) -> list[float]:
    """Allowed speed over the reference's own, between each two rows of raw, over all joints."""
    steps = np.diff(raw, axis=0)
    limits = within.speed(np.stack([raw, -raw], axis=1))
    limits = VELOCITY_SHARE * np.minimum(limits[1:], limits[:-1])
    allowed = np.where(steps > 0, limits[:, 0], limits[:, 1])
    needed = np.where(checked, np.abs(steps) / (knot_ns * 1e-9), 0.0)
    ratios: list[float] = np.min(allowed / np.maximum(needed, 1e-9), axis=1).tolist()
    return ratios
