"""The Franka's forward and inverse kinematics in plain numpy.

Frames as in franka_description: the base is fr3_link0, the flange is fr3_link8, and the tool centre
point lies between the Robotiq's pads. Does not depend on images, tasks, ROS or MuJoCo.

Source of the table: Franka Control Interface documentation, "Denavit-Hartenberg parameters"
(frankarobotics.github.io/docs/robot_specifications.html); FR3 and Panda share them. The limits
are limits.md's (franka_description robots/fr3/joint_limits.yaml).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim.path import JointRanges

Array = NDArray[np.float64]

JOINTS = tuple(f"fr3_joint{number}" for number in range(1, 8))
GRIPPER_JOINT = "robotiq_85_left_knuckle_joint"
# Craig's convention, one row a joint: a (m), d (m), alpha (rad); a and alpha of the link before.
_DH = np.array(
    [
        [0.0, 0.333, 0.0],
        [0.0, 0.0, -np.pi / 2],
        [0.0, 0.316, np.pi / 2],
        [0.0825, 0.0, np.pi / 2],
        [-0.0825, 0.384, -np.pi / 2],
        [0.0, 0.0, np.pi / 2],
        [0.088, 0.0, np.pi / 2],
    ]
)
FLANGE_M = 0.107
TOOL_M = 0.1488  # flange to the pads' centre along the flange's z (gym-hil: 0.0038 + 0.145)

LOWER_RAD = np.array([-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159])
UPPER_RAD = np.array([2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159])
VELOCITY_RAD_S = np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26])
MARGIN_RAD = 0.05
RANGES = JointRanges(LOWER_RAD, UPPER_RAD, VELOCITY_RAD_S, MARGIN_RAD)
# DROID's home, with the wrist turned so that the jaws close along the base's y.
HOME_RAD = np.array([0.0, -0.628, 0.0, -2.513, 0.0, 1.885, np.pi / 4])


def _link_transforms() -> Array:
    fixed = np.zeros((7, 4, 4))
    for row, (a, d, alpha) in zip(fixed, _DH, strict=True):
        cosine, sine = np.cos(alpha), np.sin(alpha)
        row[:] = [
            [1.0, 0.0, 0.0, a],
            [0.0, cosine, -sine, -sine * d],
            [0.0, sine, cosine, cosine * d],
            [0.0, 0.0, 0.0, 1.0],
        ]
    return fixed


_FIXED = _link_transforms()


def joint_frames(joints_rad: Array) -> Array:
    """Return (7, 4, 4): each joint's frame in the base, z along its axis; `joints_rad` is (7,)."""
    frames = np.empty((7, 4, 4))
    turn = np.eye(4)
    pose = np.eye(4)
    for index in range(7):
        cosine, sine = np.cos(joints_rad[index]), np.sin(joints_rad[index])
        turn[0, 0], turn[0, 1], turn[1, 0], turn[1, 1] = cosine, -sine, sine, cosine
        pose = pose @ _FIXED[index] @ turn
        frames[index] = pose
    return frames


def flange_pose(joints_rad: Array) -> Array:
    """Return fr3_link8 in fr3_link0, (4, 4), m."""
    pose: Array = joint_frames(joints_rad)[-1].copy()
    pose[:3, 3] += pose[:3, 2] * FLANGE_M
    return pose


def tool_pose(joints_rad: Array) -> Array:
    """Return the tool centre point in fr3_link0, (4, 4), m, with the flange's axes."""
    pose = flange_pose(joints_rad)
    pose[:3, 3] += pose[:3, 2] * TOOL_M
    return pose


def tool_jacobian(joints_rad: Array) -> tuple[Array, Array]:
    """Return the tool's pose (4, 4) and geometric Jacobian (6, 7): linear rows, then angular."""
    frames = joint_frames(joints_rad)
    pose = frames[-1].copy()
    pose[:3, 3] += pose[:3, 2] * (FLANGE_M + TOOL_M)
    axes, origins = frames[:, :3, 2], frames[:, :3, 3]
    return pose, np.vstack([np.cross(axes, pose[:3, 3] - origins).T, axes.T])


def rotation_error(wanted: Array, actual: Array) -> Array:
    """Return the small rotation (3,) rad in the base that turns `actual` into `wanted`.

    Half the sum of the columns' cross products: exact to second order, and zero at the goal.
    """
    return np.asarray(0.5 * np.cross(actual.T, wanted.T).sum(axis=0))


def solve(wanted: Array, seed_rad: Array, iterations: int = 30) -> Array | None:
    """Return joints (7,) rad that bring the tool to `wanted` (4, 4), or None if none is found.

    Damped least squares (Buss 2004) with the seed's posture in the null space; every iterate is
    clipped to the limits less MARGIN_RAD. A result within 0.1 mm and 1 mrad counts as found.
    """
    lower, upper = LOWER_RAD + MARGIN_RAD, UPPER_RAD - MARGIN_RAD
    joints = np.clip(seed_rad, lower, upper)
    for _ in range(iterations):
        pose, jacobian = tool_jacobian(joints)
        error = np.concatenate(
            [wanted[:3, 3] - pose[:3, 3], rotation_error(wanted[:3, :3], pose[:3, :3])]
        )
        if np.linalg.norm(error[:3]) < 1e-4 and np.linalg.norm(error[3:]) < 1e-3:
            return joints
        inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + 1e-4 * np.eye(6))
        posture = 0.1 * (seed_rad - joints)
        step = inverse @ error + posture - inverse @ (jacobian @ posture)
        joints = np.clip(joints + np.clip(step, -0.3, 0.3), lower, upper)
    return None


def downward_pose(position_m: Array, jaw_yaw_rad: float = -np.pi / 2) -> Array:
    """Return the tool's pose (4, 4) at `position_m` (3,), pointing down, jaws along the yaw."""
    angle = jaw_yaw_rad + np.pi / 4  # the jaws' 45 degrees, seen from above through the flip
    cosine, sine = np.cos(angle), np.sin(angle)
    pose = np.eye(4)
    pose[:3, :3] = [[cosine, sine, 0.0], [sine, -cosine, 0.0], [0.0, 0.0, -1.0]]
    pose[:3, 3] = position_m
    return pose
