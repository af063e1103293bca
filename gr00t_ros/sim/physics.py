"""The simulated robot and table in motion: position servos at 2 ms, and what is measured of them.

Joints carry their ROS names. Knows neither trajectories nor topics nor pictures, holds no lock and
no thread: the caller serialises.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim.assets import require_assets
from gr00t_ros.sim.calibration import CUBE_EDGE_M, PLATE_HEIGHT_M, PLATE_RADIUS_M
from gr00t_ros.sim.kinematics import HOME_RAD, JOINTS
from gr00t_ros.sim.layout import draw_layout
from gr00t_ros.sim.scene import CUBES, PLATE, build_model

Array = NDArray[np.float64]

GRIPPER_JOINT = "robotiq_85_left_knuckle_joint"
JOINT_NAMES = (*JOINTS, GRIPPER_JOINT)
GRIPPER_CLOSED_RAD = 0.8
OPEN_BELOW_RAD = 0.35  # less than this cannot hold a cube of CUBE_EDGE_M
# fr3_link8, the flange; gym-hil calls its body "attachment" but turns it about z.
EEF_LINK = "fr3_link8"
_FLANGE_M = 0.107
# Newton metre seconds per radian: against it the strongest servo gets 1 mrad/s.
_BLOCKED_DAMPING = 1e5
_GRIPPER_CTRL_PER_RAD = 255.0 / GRIPPER_CLOSED_RAD  # the 2F-85's own command register


class Simulation:
    """One episode's world, started at `seed`'s layout with the robot at home and at rest."""

    def __init__(self, seed: int) -> None:
        self.layout = draw_layout(seed)
        self.model = build_model(require_assets(), self.layout)
        self._data = mujoco.MjData(self.model)
        joints = [f"joint{number}" for number in range(1, 8)] + ["left_driver_joint"]
        self._qpos = np.array([self.model.joint(name).qposadr[0] for name in joints])
        self._qvel = np.array([self.model.joint(name).dofadr[0] for name in joints])
        self._servos = np.array([self.model.actuator(f"servo{n}").id for n in range(1, 8)])
        self._fingers = self.model.actuator("fingers_actuator").id
        self._arm_damping = self.model.dof_damping[self._qvel[:7]].copy()
        self._data.qpos[self._qpos[:7]] = HOME_RAD
        self.set_targets(HOME_RAD, 0.0)
        mujoco.mj_forward(self.model, self._data)

    @property
    def time(self) -> float:
        """Simulated time since the start, s."""
        return float(self._data.time)

    def set_targets(self, arm_rad: Array, gripper_rad: float) -> None:
        """Command the servos: `arm_rad` (7,) in JOINTS' order, gripper 0 open .. 0.8 closed.

        Raises ValueError on a target that is not finite: the servos keep the last one.
        """
        if not (np.all(np.isfinite(arm_rad)) and np.isfinite(gripper_rad)):
            raise ValueError(f"servo targets must be finite, got {arm_rad}, {gripper_rad}")
        self._data.ctrl[self._servos] = arm_rad
        opened = min(max(gripper_rad, 0.0), GRIPPER_CLOSED_RAD)
        self._data.ctrl[self._fingers] = opened * _GRIPPER_CTRL_PER_RAD

    def step(self) -> None:
        """Advance by one time step of 2 ms."""
        mujoco.mj_step(self.model, self._data)

    def block_arm(self, blocked: bool) -> None:
        """Hold the arm where it is, whatever the servos do, or let it go."""
        self.model.dof_damping[self._qvel[:7]] = _BLOCKED_DAMPING if blocked else self._arm_damping

    def put_cubes_back(self) -> None:
        """Lay every cube where the layout had it, at rest."""
        for name in CUBES.values():
            joint = self.model.joint(name)
            at, turn = int(joint.qposadr[0]), int(joint.dofadr[0])
            self._data.qpos[at : at + 7] = self.model.qpos0[at : at + 7]
            self._data.qvel[turn : turn + 6] = 0.0

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        """Return JOINT_NAMES, positions (8,) rad and velocities (8,) rad/s."""
        return JOINT_NAMES, self._data.qpos[self._qpos], self._data.qvel[self._qvel]

    def eef_pose(self) -> tuple[Array, Array]:
        """Return EEF_LINK in fr3_link0: position (3,) m and quaternion (4,) x, y, z, w."""
        link = self._data.body("link7")
        axis = link.xmat.reshape(3, 3)[:, 2]
        return link.xpos + axis * _FLANGE_M, np.roll(link.xquat, -1)

    def positions(self) -> Array:
        """Return a copy of all generalised positions (nq,), for Cameras.render."""
        return self._data.qpos.copy()

    def cube_on_plate(self, colour: str = "red") -> bool:
        """Say whether that cube rests on the plate, flat, and the gripper has let go."""
        cube, plate = self._data.body(CUBES[colour]), self._data.body(PLATE)
        beside = np.linalg.norm(cube.xpos[:2] - plate.xpos[:2])
        height = cube.xpos[2] - (PLATE_HEIGHT_M + 0.5 * CUBE_EDGE_M)
        speed = np.linalg.norm(self._data.joint(CUBES[colour]).qvel[:3])
        return bool(
            beside < PLATE_RADIUS_M
            and abs(height) < 0.004
            and speed < 0.01
            and self._data.qpos[self._qpos[7]] < OPEN_BELOW_RAD
        )
