"""The Franka's cubes and plate, found in the exterior camera's picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim import vision
from gr00t_ros.sim.franka.calibration import (
    CUBE_EDGE_M,
    EXTERIOR,
    PLATE_HEIGHT_M,
    PLATE_RADIUS_M,
)
from gr00t_ros.sim.vision import Kind

CUBE = Kind(0.5 * CUBE_EDGE_M, (0.5 * CUBE_EDGE_M**2, 5.0 * CUBE_EDGE_M**2))
PLATE = Kind(
    0.5 * PLATE_HEIGHT_M, (0.6 * np.pi * PLATE_RADIUS_M**2, 1.6 * np.pi * PLATE_RADIUS_M**2)
)
_TABLE_M = ((0.2, 0.75), (-0.45, 0.45))


def find(picture: NDArray[np.uint8], colour: str, kind: Kind) -> NDArray[np.float64] | None:
    """As vision.find, in the exterior camera's picture: (2,) m in fr3_link0, or None."""
    return vision.find(picture, colour, kind, EXTERIOR, _TABLE_M)
