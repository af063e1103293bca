"""The Unitree G1's waist, arms and head camera in plain numpy: forward and inverse kinematics.

The base is the pelvis: x forward, y left, z up. Joint names, limits, joint origins and axes are
those of unitree_ros g1_description/g1_29dof_rev_1_0.urdf; the shoulders' tilts are as in MuJoCo
Menagerie's unitree_g1, which was made from it. Does not depend on images, tasks, ROS or MuJoCo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.rotation import matrix_from_quaternion, turn
from gr00t_ros.sim.path import JointRanges
from gr00t_ros.sim.vision import PinholeCamera

Array = NDArray[np.float64]

SIDES = ("left", "right")
LEG_JOINTS = tuple(
    f"{side}_{name}_joint"
    for side in SIDES
    for name in ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
)
WAIST_JOINTS = ("waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint")
_ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow")
_WRIST = ("wrist_roll", "wrist_pitch", "wrist_yaw")
ARM_JOINTS = {side: tuple(f"{side}_{name}_joint" for name in (*_ARM, *_WRIST)) for side in SIDES}
# GR00T's order of the groups left_hand and right_hand (embodiments.md, Joint orders).
_FINGERS = ("index_0", "index_1", "middle_0", "middle_1", "thumb_0", "thumb_1", "thumb_2")
HAND_JOINTS = {side: tuple(f"{side}_hand_{name}_joint" for name in _FINGERS) for side in SIDES}

MARGIN_RAD = 0.05
_WRIST_RAD = 1.614429558
_ARM_LIMITS = {
    "left": (
        (-3.0892, -1.5882, -2.618, -1.0472, -1.972222054, -_WRIST_RAD, -_WRIST_RAD),
        (2.6704, 2.2515, 2.618, 2.0944, 1.972222054, _WRIST_RAD, _WRIST_RAD),
    ),
    "right": (
        (-3.0892, -2.2515, -2.618, -1.0472, -1.972222054, -_WRIST_RAD, -_WRIST_RAD),
        (2.6704, 1.5882, 2.618, 2.0944, 1.972222054, _WRIST_RAD, _WRIST_RAD),
    ),
}
# The limit of the embodiment file (limits.md, shipping defaults); the motors reach 20 and more.
VELOCITY_RAD_S = 1.5
ARM_RANGES = {
    side: JointRanges(
        np.array(lower), np.array(upper), np.full(7, VELOCITY_RAD_S), margin_rad=MARGIN_RAD
    )
    for side, (lower, upper) in _ARM_LIMITS.items()
}
# Elbows back, forearms level and above the table: no hand hides the things from the camera.
READY_ARM_RAD = {
    "left": np.array([0.7, 0.3, 0.0, -0.6, 0.0, 0.0, 0.0]),
    "right": np.array([0.7, -0.3, 0.0, -0.6, 0.0, 0.0, 0.0]),
}

PALM_M = 0.08  # wrist_yaw_link to the palm's middle along x
# Joint by joint: origin in the link before (m), fixed rotation there (3, 3), axis.
_X, _Y, _Z = np.eye(3)
_LEVEL = np.eye(3)
_Chain = tuple[tuple[tuple[float, float, float], Array, Array], ...]
_WAIST_CHAIN: _Chain = (
    ((0.0, 0.0, 0.0), _LEVEL, _Z),
    ((-0.0039635, 0.0, 0.044), _LEVEL, _X),
    ((0.0, 0.0, 0.0), _LEVEL, _Y),
)


def _arm_chain(sign: float, shoulder_m: float) -> _Chain:
    out = matrix_from_quaternion([sign * 0.139201, 0.0, 0.0, 0.990264])  # x, y, z, w
    back = matrix_from_quaternion([sign * -0.139172, 0.0, 0.0, 0.990268])
    return (
        ((0.0039563, sign * shoulder_m, 0.24778), out, _Y),
        ((0.0, sign * 0.038, -0.013831), back, _X),
        ((0.0, sign * 0.00624, -0.1032), _LEVEL, _Z),
        ((0.015783, 0.0, -0.080518), _LEVEL, _Y),
        ((0.1, sign * 0.00188791, -0.01), _LEVEL, _X),
        ((0.038, 0.0, 0.0), _LEVEL, _Y),
        ((0.046, 0.0, 0.0), _LEVEL, _Z),
    )


_ARM_CHAINS = {"left": _arm_chain(1.0, 0.10022), "right": _arm_chain(-1.0, 0.10021)}

# The RealSense D435 in torso_link: d435_joint of the URDF. The vertical field of view of its colour
# picture is 42 degrees (Intel's data sheet).
CAMERA_M = np.array([0.0576235, 0.01753, 0.42987])
CAMERA_PITCH_RAD = 0.8307767239493009
CAMERA_FOV_RAD = float(np.radians(42.0))


@dataclass(frozen=True, slots=True, eq=False)
class Hand:
    """A palm: its middle `position_m` (3,) in the pelvis, and the arm's `jacobian` (3, 7) m/rad."""

    position_m: Array
    jacobian: Array


def torso_pose(waist_rad: Array) -> tuple[Array, Array]:
    """Return torso_link in the pelvis: position (3,) m and rotation (3, 3); `waist_rad` (3,)."""
    position, rotation = np.zeros(3), np.eye(3)
    for (origin, _, axis), angle in zip(_WAIST_CHAIN, waist_rad, strict=True):
        position = position + rotation @ np.array(origin)
        rotation = rotation @ turn(axis, angle)
    return position, rotation


def ego_camera(waist_rad: Array) -> PinholeCamera:
    """Return the head camera in the pelvis for these waist joints (3,)."""
    position, rotation = torso_pose(waist_rad)
    return PinholeCamera(position + rotation @ CAMERA_M, rotation @ camera_axes(), CAMERA_FOV_RAD)


def camera_axes() -> Array:
    """Return the camera's axes in torso_link (3, 3): columns right, up, backwards."""
    tilt = turn(_Y, np.array(CAMERA_PITCH_RAD))
    return np.column_stack([tilt @ -_Y, tilt @ _Z, tilt @ -_X])


def hand(side: str, waist_rad: Array, arm_rad: Array) -> Hand:
    """Return the palm of that side; `waist_rad` (3,), `arm_rad` (7,)."""
    position, rotation = torso_pose(waist_rad)
    origins, axes = np.empty((7, 3)), np.empty((7, 3))
    for index, ((origin, fixed, axis), angle) in enumerate(
        zip(_ARM_CHAINS[side], arm_rad, strict=True)
    ):
        position = position + rotation @ np.array(origin)
        rotation = rotation @ fixed
        origins[index], axes[index] = position, rotation @ axis
        rotation = rotation @ turn(axis, angle)
    palm = position + rotation @ np.array([PALM_M, 0.0, 0.0])
    return Hand(palm, np.cross(axes, palm - origins).T)


def solve(
    side: str, wanted_m: Array, waist_rad: Array, seed_rad: Array, iterations: int = 60
) -> Array | None:
    """Return arm joints (7,) rad that bring the palm to `wanted_m` (3,), or None if none is found.

    Damped least squares (Buss 2004) with the seed's posture in the null space; every iterate is
    clipped to the limits less MARGIN_RAD. A result within 1 mm counts as found.
    """
    ranges = ARM_RANGES[side]
    lower, upper = ranges.lower_rad + MARGIN_RAD, ranges.upper_rad - MARGIN_RAD
    joints = np.clip(seed_rad, lower, upper)
    for _ in range(iterations):
        now = hand(side, waist_rad, joints)
        error = wanted_m - now.position_m
        if np.linalg.norm(error) < 1e-3:
            return joints
        square = now.jacobian @ now.jacobian.T + 1e-4 * np.eye(3)
        inverse = now.jacobian.T @ np.linalg.inv(square)
        posture = 0.05 * (seed_rad - joints)
        step = inverse @ error + posture - inverse @ (now.jacobian @ posture)
        joints = np.clip(joints + np.clip(step, -0.2, 0.2), lower, upper)
    return None
