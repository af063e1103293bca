"""Desk6's joints, lengths, limits and inverse kinematics with the tip pointing straight down.

An invented arm: yaw, shoulder, elbow, forearm roll, wrist pitch, tip roll. With all joints at zero
it points straight up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim.path import JointRanges, OutOfReachError

Array = NDArray[np.float64]

JOINTS = tuple(f"desk6_joint{number}" for number in range(1, 7))
SHOULDER_M, UPPER_M, FOREARM_M, TIP_M = 0.20, 0.30, 0.26, 0.12
READY_RAD = np.array([0.0, 0.2, 1.6, 0.0, 1.3416, 0.0])  # the tip points down, in front of the base
RANGES = JointRanges(
    lower_rad=np.array([-2.8, -1.0, -0.2, -2.8, -2.0, -3.0]),
    upper_rad=np.array([2.8, 1.8, 2.6, 2.8, 2.6, 3.0]),
    velocity_rad_s=np.array([2.0, 1.6, 2.0, 3.0, 3.0, 3.0]),
    margin_rad=0.05,
)


def solve(tip_m: Array) -> Array:
    """Return the joints (6,) rad that put the tip at `tip_m` (3,) m in the base, pointing down.

    Law of cosines in the vertical plane of shoulder and elbow. Raises OutOfReachError.
    """
    x, y, z = tip_m
    out, up = float(np.hypot(x, y)), float(z + TIP_M - SHOULDER_M)
    cosine = (out**2 + up**2 - UPPER_M**2 - FOREARM_M**2) / (2.0 * UPPER_M * FOREARM_M)
    if abs(cosine) > 1.0:
        raise OutOfReachError(f"tip to x {x:.3f}, y {y:.3f}, z {z:.3f} m")
    elbow = float(np.arccos(cosine))
    inner = np.arctan2(FOREARM_M * np.sin(elbow), UPPER_M + FOREARM_M * np.cos(elbow))
    shoulder = float(np.arctan2(out, up) - inner)
    wrist = np.pi - shoulder - elbow
    joints = np.array([np.arctan2(y, x), shoulder, elbow, 0.0, wrist, 0.0])
    if np.any(joints < RANGES.lower_rad + RANGES.margin_rad) or np.any(
        joints > RANGES.upper_rad - RANGES.margin_rad
    ):
        raise OutOfReachError(f"joints {joints.round(2)} are outside their limits")
    return joints
