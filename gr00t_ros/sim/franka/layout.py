"""The Franka's calibration, the things' sizes, and where things lie at the start of an episode.

Scene and policy share these numbers; on a real robot they come from a calibration and a ruler. The
frame is fr3_link0, whose origin lies on the table's surface. Does not need the simulator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim.vision import looking_at

Array = NDArray[np.float64]

CUBE_EDGE_M = 0.04
PLATE_RADIUS_M = 0.075
PLATE_HEIGHT_M = 0.008

# Oblique from the front left, as DROID's left exterior camera sees the robot and its table.
EXTERIOR = looking_at((1.04, 0.58, 0.70), (0.36, -0.02, 0.215), float(np.radians(54.0)))

REACH_X_M = (0.36, 0.60)
REACH_Y_M = (-0.24, 0.24)
CUBE_TO_PLATE_M = 0.22
OTHER_APART_M = 0.14
# Red cube and plate lie on opposite sides of the mid-plane, at least this far from it, so that a
# mirrored picture gives both of them a wrong position.
OFF_MIDPLANE_M = 0.07
YAW_RAD = 0.3


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions (x, y) in fr3_link0, m, and the cubes' yaw, rad."""

    red_cube_m: tuple[float, float]
    green_cube_m: tuple[float, float]
    blue_plate_m: tuple[float, float]
    red_yaw_rad: float
    green_yaw_rad: float


def lateral_m(point_m: Array) -> float:
    """Return the signed distance, m, of (2,) m from the exterior camera's vertical mid-plane."""
    right = EXTERIOR.axes[:2, 0]
    return float((point_m - EXTERIOR.position_m[:2]) @ right)


def draw_layout(seed: int) -> Layout:
    """Draw the layout of `seed`: things apart from each other and within reach.

    A seed always gives the same layout.
    """
    random = np.random.default_rng(seed)
    while True:
        red, green, plate = random.uniform(
            [REACH_X_M[0], REACH_Y_M[0]], [REACH_X_M[1], REACH_Y_M[1]], size=(3, 2)
        )
        if _apart(red, green, plate):
            break
    yaws = random.uniform(-YAW_RAD, YAW_RAD, size=2)
    return Layout(_pair(red), _pair(green), _pair(plate), float(yaws[0]), float(yaws[1]))


def _apart(red: Array, green: Array, plate: Array) -> bool:
    sides = lateral_m(red), lateral_m(plate)
    return bool(
        min(abs(sides[0]), abs(sides[1])) > OFF_MIDPLANE_M
        and sides[0] * sides[1] < 0.0
        and float(np.linalg.norm(red - plate)) > CUBE_TO_PLATE_M
        and min(np.linalg.norm(green - red), np.linalg.norm(green - plate)) > OTHER_APART_M
    )


def _pair(point: Array) -> tuple[float, float]:
    return float(point[0]), float(point[1])
