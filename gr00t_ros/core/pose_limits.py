"""What an end effector may do: its workspace box, its speeds and accelerations, its first step.

Knows no pose and no output; who keeps the limits is core/pose_follower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.schema import Place

_FIELDS = ("speed", "acceleration", "turn_speed", "turn_acceleration", "x", "y", "z", "jump")


@dataclass(frozen=True, slots=True, eq=False)
class PoseLimits:
    """Limits of one end effector in the frame of its output.

    lower, upper: (3,) float64 m, read-only, corners of the box that its poses stay in.
    jump_m, jump_rad: largest distance of a chunk's first pose from the one that is held.
    """

    speed_m_s: float
    acceleration_m_s2: float
    turn_speed_rad_s: float
    turn_acceleration_rad_s2: float
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    jump_m: float
    jump_rad: float


def read_pose_limits(place: Place) -> PoseLimits:
    """The limits of the file: speed m/s, acceleration m/s^2, turn_* rad, box m, jump [m, rad]."""
    at = place.fields(_FIELDS)
    corners = np.array([at[axis].interval() for axis in "xyz"]).T.copy()
    corners.setflags(write=False)  # before the views are taken: they inherit it
    jump = [item.positive() for item in at["jump"].items()]
    if len(jump) != 2:
        raise at["jump"].error("[m, rad]")
    speed, turn_speed = at["speed"].positive(), at["turn_speed"].positive()
    return PoseLimits(
        speed_m_s=speed,
        acceleration_m_s2=at["acceleration"].deceleration(speed),
        turn_speed_rad_s=turn_speed,
        turn_acceleration_rad_s2=at["turn_acceleration"].deceleration(turn_speed),
        lower=corners[0],
        upper=corners[1],
        jump_m=jump[0],
        jump_rad=jump[1],
    )
