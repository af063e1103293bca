"""A simulated robot and its world in motion: position servos at 2 ms, and what is measured.

Joints carry their ROS names. Knows neither trajectories nor topics nor pictures, holds no lock and
no thread: the caller serialises.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SimulationError
from gr00t_ros.sim.description import LinkPose, RobotDescription

Array = NDArray[np.float64]

# Dry friction that no servo overcomes, Nm, and hardly soft: under the strongest one it creeps by
# less than 1 mrad/s. (Damping that did as much threw a moving arm's acceleration out of bounds.)
_BLOCKED_FRICTION_NM = 1e4
_BLOCKED_IMPEDANCE = 0.9999
_UNSTABLE = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)


class Simulation:
    """One episode's world, started at `seed`'s layout with the robot at its ready pose, at rest."""

    def __init__(self, robot: RobotDescription, seed: int) -> None:
        """Raise SettingsError where the robot's model is not installed."""
        self.robot = robot
        self.model = robot.build_model(seed)
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(joint.model_name) for joint in robot.joints]
        self._names = robot.joint_names
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._qvel = np.array([joint.dofadr[0] for joint in joints])
        self._servos = np.array([self.model.actuator(joint.actuator).id for joint in robot.joints])
        self._gain = np.array([joint.control_per_rad for joint in robot.joints])
        ranges = [joint.range_rad or (-np.inf, np.inf) for joint in robot.joints]
        self._lower, self._upper = np.array(ranges).T
        self._arm = self._qvel[robot.columns(robot.controllers[0].joints)]
        self._arm_friction = self.model.dof_frictionloss[self._arm].copy()
        self._arm_impedance = self.model.dof_solimp[self._arm].copy()
        self.data.qpos[self._qpos] = robot.ready_rad
        self.set_targets(robot.ready_rad)
        mujoco.mj_forward(self.model, self.data)

    @property
    def time(self) -> float:
        """Simulated time since the start, s."""
        return float(self.data.time)

    def set_targets(self, targets_rad: Array) -> None:
        """Command all servos: `targets_rad` (J,) in the order of the robot's joints.

        Raises ValueError on a target that is not finite: the servos keep the last one.
        """
        if not np.all(np.isfinite(targets_rad)):
            raise ValueError(f"servo targets must be finite, got {targets_rad}")
        clipped = np.clip(targets_rad, self._lower, self._upper)
        self.data.ctrl[self._servos] = clipped * self._gain

    def step(self) -> None:
        """Advance by one time step of 2 ms.

        Raises SimulationError where the numbers ran away: MuJoCo itself then starts a new world,
        and an arm that is suddenly elsewhere would be taken for the node's doing.
        """
        mujoco.mj_step(self.model, self.data)
        if any(self.data.warning[kind].number for kind in _UNSTABLE):
            raise SimulationError(
                f"physics: the simulation is unstable at {self.time:.3f} s, expected finite motion"
            )

    def block_arm(self, blocked: bool) -> None:
        """Hold the first controller's joints, whatever their servos do, or let them go."""
        impedance = self._arm_impedance.copy()
        if blocked:
            impedance[:, :2] = _BLOCKED_IMPEDANCE
        friction = _BLOCKED_FRICTION_NM if blocked else self._arm_friction
        self.model.dof_frictionloss[self._arm] = friction
        self.model.dof_solimp[self._arm] = impedance

    def put_cubes_back(self) -> None:
        """Lay every free thing where the layout had it, at rest."""
        for joint in np.flatnonzero(self.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE):
            at, turn = self.model.jnt_qposadr[joint], self.model.jnt_dofadr[joint]
            self.data.qpos[at : at + 7] = self.model.qpos0[at : at + 7]
            self.data.qvel[turn : turn + 6] = 0.0

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        """Return the joints' names, positions (J,) rad and velocities (J,) rad/s."""
        return self._names, self.data.qpos[self._qpos], self.data.qvel[self._qvel]

    def pose(self, link: LinkPose) -> tuple[Array, Array]:
        """Return a link's position (3,) m and quaternion (4,) x, y, z, w in its frame."""
        body = self.data.body(link.body)
        position = body.xpos + body.xmat.reshape(3, 3) @ link.offset_m
        return position, np.roll(body.xquat, -1)

    def positions(self) -> Array:
        """Return a copy of all generalised positions (nq,), for Cameras.render."""
        return self.data.qpos.copy()
