"""One episode of the G1's scripted policy: where the cube was seen, the motion, how far it is.

Works in joints and pictures; knows no modality keys and no arrays of a server.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim import vision
from gr00t_ros.sim.g1.kinematics import ARM_RANGES, SIDES, ego_camera, hand, solve
from gr00t_ros.sim.g1.layout import CUBE_EDGE_M, TABLE_M
from gr00t_ros.sim.path import Motion, OutOfReachError, Pace, Path, StayError

Array = NDArray[np.float64]

CUBE = vision.Kind(TABLE_M + 0.5 * CUBE_EDGE_M, (0.5 * CUBE_EDGE_M**2, 5.0 * CUBE_EDGE_M**2))
_TABLE_M = ((0.2, 0.6), (-0.45, 0.45))
# So gentle from rest that a reply 400 ms late still begins within 0.15 rad of the held position
# (the node's guard).
PACE = Pace(speed=0.3, acceleration_rad_s2=0.8)
# The palm's middle above the cube's: first high, so that no finger sweeps things away.
HOVER_M = 0.16
REACHED_M = 0.082
_OFF_MOTION_RAD = 0.2
_STOOD_RAD = 0.005  # between two queries
_FAST_RAD_S = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Posture:
    """The measured joints that the policy uses: waist (3,), and each side's arm (7,), rad."""

    waist_rad: Array
    arm_rad: dict[str, Array]


class Episode:
    """What is remembered of one task; made anew by reset and by another instruction."""

    def __init__(self, colour: str) -> None:
        """Reach the cube of that colour."""
        self.colour = colour
        self.side = ""
        self._motion: Motion | None = None
        self._index = 0
        self._last_rad: Array | None = None

    def advance(self, posture: Posture, picture: NDArray[np.uint8]) -> None:
        """Find the arm on the motion, planning one where there is none; never go backwards.

        `picture` is (H, W, 3) uint8 rgb of the ego camera. Raises StayError where the cube is not
        in sight or out of reach.
        """
        if self._motion is None or self._must_begin_anew(self._motion, posture):
            self._plan(posture, picture)
        assert self._motion is not None
        arm = posture.arm_rad[self.side]
        self._last_rad = arm
        self._index, _ = self._motion.locate(arm, self._index)

    def _must_begin_anew(self, motion: Motion, posture: Posture) -> bool:
        """Whether somebody else moved the arm, or stopped it where the motion is fast."""
        arm = posture.arm_rad[self.side]
        index, distance = motion.locate(arm, self._index)
        if distance > _OFF_MOTION_RAD:
            return True
        stood = self._last_rad is not None and np.abs(arm - self._last_rad).max() < _STOOD_RAD
        return bool(stood and motion.speed(index) > _FAST_RAD_S)

    def _plan(self, posture: Posture, picture: NDArray[np.uint8]) -> None:
        camera = ego_camera(posture.waist_rad)
        seen = vision.find(picture, self.colour, CUBE, camera, _TABLE_M)
        if seen is None:
            raise StayError(f"no {self.colour} cube in sight")
        cube = np.append(seen, CUBE.middle_m)
        self.side = nearer_side(posture, cube)
        try:
            self._motion = reach(self.side, posture, cube)
        except OutOfReachError as error:
            raise StayError(f"out of reach: {error}") from error
        self._index = 0

    @property
    def phase(self) -> str:
        """What the arm is about: reach or done."""
        assert self._motion is not None
        return "done" if self._index >= len(self._motion.joints) - 1 else "reach"

    def targets(self, posture: Posture, horizon: int, rate_hz: float) -> Array:
        """Return the chosen arm's joint targets (H, 7) rad, from the measured ones at step 0 on."""
        assert self._motion is not None
        arm, ranges = posture.arm_rad[self.side], ARM_RANGES[self.side]
        return self._motion.targets(self._index, arm, horizon, rate_hz, ranges)[0]


def nearer_side(posture: Posture, cube_m: Array) -> str:
    """Return the side whose palm is nearer to the cube (3,) in the pelvis."""

    def distance_m(side: str) -> float:
        palm = hand(side, posture.waist_rad, posture.arm_rad[side]).position_m
        return float(np.linalg.norm(palm - cube_m))

    return min(SIDES, key=distance_m)


def reach(side: str, posture: Posture, cube_m: Array) -> Motion:
    """Return the motion of that arm to above the cube (3,), then down to it.

    Raises OutOfReachError.
    """
    path = Path(posture.arm_rad[side], ARM_RANGES[side], PACE)
    for height_m in (HOVER_M, REACHED_M):
        wanted = cube_m + np.array([0.0, 0.0, height_m])
        joints = solve(side, wanted, posture.waist_rad, path.end_rad)
        if joints is None:
            x, y, z = wanted
            raise OutOfReachError(f"{side} hand to x {x:.3f}, y {y:.3f}, z {z:.3f} m")
        path.leg(np.stack([path.end_rad, joints]))
    return path.motion()
