"""A simulated robot and its world in motion: position servos at 2 ms, and the measured state.

Joints have their ROS names. Does not depend on trajectories, topics or pictures. Has no lock and no
thread: the caller must serialise all calls.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError, SimulationError
from gr00t_ros.sim.description import LinkPose, RobotDescription
from gr00t_ros.sim.world import WALL

Array = NDArray[np.float64]

# Dry friction, Nm, that no servo overcomes, with a stiff constraint: against the strongest servo it
# creeps by less than 1 mrad/s. (Damping with the same effect made a moving arm's acceleration
# exceed all bounds.)
_BLOCKED_FRICTION_NM = 1e4
_BLOCKED_IMPEDANCE = 0.9999
_UNSTABLE = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)


class Simulation:
    """The world of one episode: starts with the layout of `seed` and the robot at rest, ready."""

    def __init__(self, robot: RobotDescription, seed: int, wall_y_m: float = 0.0) -> None:
        """wall_y_m: place of a wall beside the robot, 0 for none.

        Raises SettingsError if the robot's model is not installed, or its world can have no wall.
        """
        self.robot = robot
        self.model = _walled(robot, seed, wall_y_m) if wall_y_m else robot.build_model(seed)
        self._wall = self.model.geom(WALL).id if wall_y_m else None
        self.data = mujoco.MjData(self.model)
        self._warnings = [self.data.warning[kind] for kind in _UNSTABLE]
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
        clipped = np.minimum(np.maximum(targets_rad, self._lower), self._upper)
        self.data.ctrl[self._servos] = clipped * self._gain

    def step(self) -> None:
        """Advance by one time step of 2 ms.

        Raises SimulationError if the simulation became unstable. MuJoCo then resets the world, and
        the jump of the arm would look like a motion that the node commanded.
        """
        mujoco.mj_step(self.model, self.data)
        if any(warning.number for warning in self._warnings):
            raise SimulationError(
                f"physics: the simulation is unstable at {self.time:.3f} s, expected finite motion"
            )

    def block_arm(self, blocked: bool) -> None:
        """Block the first controller's joints against their servos, or release them."""
        impedance = self._arm_impedance.copy()
        if blocked:
            impedance[:, :2] = _BLOCKED_IMPEDANCE
        friction = _BLOCKED_FRICTION_NM if blocked else self._arm_friction
        self.model.dof_frictionloss[self._arm] = friction
        self.model.dof_solimp[self._arm] = impedance

    def put_cubes_back(self) -> None:
        """Put every free thing back to its place in the layout, at rest."""
        for joint in np.flatnonzero(self.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE):
            qpos, qvel = self.model.jnt_qposadr[joint], self.model.jnt_dofadr[joint]
            self.data.qpos[qpos : qpos + 7] = self.model.qpos0[qpos : qpos + 7]
            self.data.qvel[qvel : qvel + 6] = 0.0

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        """Return the joints' names, positions (J,) rad and velocities (J,) rad/s."""
        return self._names, self.data.qpos[self._qpos], self.data.qvel[self._qvel]

    def efforts(self) -> Array:
        """Return what the drives of all joints give, (J,) Nm or N, weight included.

        The world carries the robot's weight; a real drive does that itself.
        """
        given = self.data.qfrc_actuator + self.data.qfrc_gravcomp
        return np.asarray(given[self._qvel])

    def external_torques(self) -> Array:
        """Return what contacts do to all joints, (J,) Nm or N; not the forces of limits."""
        data = self.data
        kept = data.efc_type >= int(mujoco.mjtConstraint.mjCNSTR_CONTACT_FRICTIONLESS)
        found: Array = np.zeros(self.model.nv)
        if kept.any():
            mujoco.mj_mulJacTVec(self.model, data, found, np.where(kept, data.efc_force, 0.0))
        return np.asarray(found[self._qvel])

    def wall_force(self) -> float:
        """Return the force with which the wall is pushed, N; 0 without a wall."""
        if self._wall is None:
            return 0.0
        total, force = np.zeros(3), np.zeros(6)
        for number, contact in enumerate(self.data.contact):
            if self._wall in (contact.geom1, contact.geom2):
                mujoco.mj_contactForce(self.model, self.data, number, force)
                sign = 1.0 if contact.geom1 == self._wall else -1.0
                total += sign * (contact.frame.reshape(3, 3).T @ force[:3])
        return float(np.linalg.norm(total))

    def pose(self, link: LinkPose) -> tuple[Array, Array]:
        """Return a link's position (3,) m and quaternion (4,) x, y, z, w in its frame."""
        body = self.data.body(link.body)
        position = body.xpos + body.xmat.reshape(3, 3) @ link.offset_m
        return position, np.roll(body.xquat, -1)

    def positions(self) -> Array:
        """Return a copy of all generalised positions (nq,), for Cameras.render."""
        return np.array(self.data.qpos)


def _walled(robot: RobotDescription, seed: int, wall_y_m: float) -> mujoco.MjModel:
    if robot.build_walled is None:
        raise SettingsError(
            f"wall_y_m: got {wall_y_m} for {robot.name}, whose world has no wall, expected 0"
        )
    return robot.build_walled(seed, wall_y_m)
