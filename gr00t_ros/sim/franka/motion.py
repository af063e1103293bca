"""A pick-and-place motion of the Franka: legs over the table, gates where the gripper works.

Knows the arm and where the things are, nothing of pictures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim.franka.calibration import CUBE_EDGE_M, PLATE_HEIGHT_M
from gr00t_ros.sim.franka.kinematics import HOME_RAD, RANGES, downward_pose, solve, tool_pose
from gr00t_ros.sim.path import Motion, OutOfReachError, Pace, Path

Array = NDArray[np.float64]

# So gentle from rest that a reply 500 ms late still begins within 0.15 rad of the held position
# (the node's guard): its step after 100 ms of commit time.
PACE = Pace(speed=0.26, acceleration_rad_s2=1.1)
HOVER_M = 0.15
GRASP_M = 0.5 * CUBE_EDGE_M
PLACE_M = PLATE_HEIGHT_M + GRASP_M + 0.003


def pick_and_place(start_rad: Array, cube_m: Array, plate_m: Array) -> Motion:
    """Return the whole motion from `start_rad` (7,); `cube_m`, `plate_m` (2,) in fr3_link0.

    Raises OutOfReachError.
    """
    path = Path(start_rad, RANGES, PACE)
    _rise(path)
    path.leg(np.stack([path.end_rad, _reach(cube_m, HOVER_M, HOME_RAD)]))
    down = _vertical(path.end_rad, cube_m, GRASP_M)
    path.leg(down)
    path.gate(closing=True)
    path.leg(down[::-1])
    return _place(path, plate_m)


def place(start_rad: Array, plate_m: Array) -> Motion:
    """Return the motion for a cube between the fingers: grip, up, to the plate, release.

    Raises OutOfReachError.
    """
    path = Path(start_rad, RANGES, PACE, closed=True)
    path.gate(closing=True)
    _rise(path)
    return _place(path, plate_m)


def retreat(start_rad: Array) -> Motion:
    """Return the motion up and home with an open gripper. Raises OutOfReachError."""
    path = Path(start_rad, RANGES, PACE)
    _rise(path)
    path.leg(np.stack([path.end_rad, HOME_RAD]))
    return path.motion()


def _place(path: Path, plate_m: Array) -> Motion:
    path.leg(np.stack([path.end_rad, _reach(plate_m, HOVER_M, HOME_RAD)]))
    down = _vertical(path.end_rad, plate_m, PLACE_M)
    path.leg(down)
    path.gate(closing=False)
    path.leg(down[::-1])
    path.leg(np.stack([path.end_rad, HOME_RAD]))
    return path.motion()


def _rise(path: Path) -> None:
    position = tool_pose(path.end_rad)[:3, 3]
    if position[2] < HOVER_M - 0.01:
        path.leg(_vertical(path.end_rad, position[:2], HOVER_M))


def _vertical(start_rad: Array, place_m: Array, height_m: float) -> Array:
    """Return knots (5, 7) straight up or down from `start_rad` to `height_m`."""
    begin = tool_pose(start_rad)[2, 3]
    knots = [start_rad]
    for fraction in (0.25, 0.5, 0.75, 1.0):
        knots.append(_reach(place_m, begin + fraction * (height_m - begin), knots[-1]))
    return np.stack(knots)


def _reach(place_m: Array, height_m: float, seed_rad: Array) -> Array:
    joints = solve(downward_pose(np.array([place_m[0], place_m[1], height_m])), seed_rad)
    if joints is None:
        raise OutOfReachError(f"x {place_m[0]:.3f}, y {place_m[1]:.3f}, z {height_m:.3f} m")
    return joints
