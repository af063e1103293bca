"""Where the G1's cubes lie at the start of an episode: a seed becomes positions on the table.

Also the sizes that scene and policy share. The frame is the pelvis. Does not need the simulator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PELVIS_M = 0.793  # above the floor, standing
TABLE_M = -0.06  # the table's surface
CUBE_EDGE_M = 0.05
COLOURS = ("red", "blue", "green")
REACH_X_M = (0.28, 0.35)
REACH_Y_M = (-0.22, 0.22)
# At least a hand's width from the middle, so that one hand is nearer than the other; and so far
# apart that a hand at one cube is not at another.
OFF_MIDDLE_M = 0.06
APART_M = 0.13
YAW_RAD = 0.4


@dataclass(frozen=True, slots=True)
class Layout:
    """For each of COLOURS the cube's position (x, y) in the pelvis, m, and its yaw, rad."""

    cubes_m: tuple[tuple[float, float], ...]
    yaws_rad: tuple[float, ...]


def draw_layout(seed: int) -> Layout:
    """Draw the layout of `seed`: cubes apart from each other and within reach.

    A seed always gives the same layout. Red and blue lie on different sides, so that a policy that
    confuses the colours moves the wrong hand.
    """
    random = np.random.default_rng(seed)
    low, high = zip(REACH_X_M, REACH_Y_M, strict=True)
    while True:
        places = random.uniform(low, high, size=(len(COLOURS), 2))
        if _apart(places):
            break
    yaws = random.uniform(-YAW_RAD, YAW_RAD, size=len(COLOURS))
    return Layout(tuple((float(x), float(y)) for x, y in places), tuple(map(float, yaws)))


def _apart(places: Array) -> bool:
    red, blue = places[0], places[1]
    gaps = [np.linalg.norm(places[i] - places[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    off = min(abs(red[1]), abs(blue[1]))
    return bool(red[1] * blue[1] < 0.0 and off > OFF_MIDDLE_M and min(gaps) > APART_M)
