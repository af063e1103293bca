"""The limits of every joint that is commanded, as arrays in plan joint order.

Owns the numbers; what is done when one is passed is the guard's and the shaper's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class JointLimits:
    """Limits of J joints in plan joint order; every array is read-only (J,) float64.

    lower, upper: position, rad. velocity, acceleration, jerk: rad/s, rad/s^2, rad/s^3, positive.
    margin: kept inside the position limits, rad. jump: largest distance of a chunk's first step
    from the held position, rad, inf where unchecked. held: largest |held - measured| at a start,
    rad, inf where unchecked. envelope: (J, 4) float64 [offset, slope, upper, lower] of the FR3's
    velocity limit that depends on position, NaN rows where there is none:
    v <= -offset + sqrt(slope * (upper - q)), v >= offset - sqrt(slope * (q - lower))
    (libfranka rate_limiting.h, computeUpperLimitsJointVelocity and its lower twin).
    """

    names: tuple[str, ...]
    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    jerk: Array
    margin: Array
    jump: Array
    held: Array
    envelope: Array

    def __len__(self) -> int:
        """J, the number of joints."""
        return len(self.names)
