"""One episode of the scripted policy: where the things were seen, the motion, how far it is.

Works in joints, gripper closure and pictures; knows no modality keys and no arrays of a server.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim.franka import motion as motions
from gr00t_ros.sim.franka import vision
from gr00t_ros.sim.franka.calibration import EXTERIOR, PLATE_RADIUS_M
from gr00t_ros.sim.franka.instruction import Task
from gr00t_ros.sim.franka.kinematics import RANGES, tool_pose
from gr00t_ros.sim.path import Motion, OutOfReachError, StayError
from gr00t_ros.sim.vision import colour_mask

Array = NDArray[np.float64]

# gripper_position of a 2F-85 on a 4 cm cube is about 0.55 (0 open .. 1 closed).
_GRIPPED = 0.4
_STILL = 0.02  # between two queries: 0.25 rad/s, the 2F-85's at half speed, is 0.16 in 8 steps
RELEASED = 0.3
_EMPTY = 0.9  # closed further than any cube lets it
_GATE_PATIENCE = 12  # queries; a gripper that moves less than expected must not stop the arm
_OFF_MOTION_RAD = 0.2
_ARRIVED_RAD = 0.03
_STOOD_RAD = 0.005  # between two queries
_FAST_RAD_S = 0.1


class Episode:
    """What is remembered of one task; made anew by reset and by another instruction."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._motion: Motion | None = None
        self._index = 0
        self._gate_queries = 0
        self._cube_m: Array | None = None
        self._plate_m: Array | None = None
        self._in_hand = False
        self._put_down = False
        self._last_rad: Array | None = None
        self._last_gripper: float | None = None

    def advance(self, joints: Array, gripper: float, picture: NDArray[np.uint8]) -> None:
        """Find the arm on the motion, planning one where there is none; never go backwards.

        `joints` (7,) rad, `gripper` 0 open .. 1 closed, `picture` (H, W, 3) uint8 of the exterior
        camera. Raises StayError where there is nothing to do or something is not in sight.
        """
        if self._motion is None or self._must_begin_anew(self._motion, joints):
            self._motion = self._plan(joints, gripper, picture)
            self._index = self._gate_queries = 0
        self._last_rad = joints
        last = gripper if self._last_gripper is None else self._last_gripper
        stands = abs(gripper - last) < _STILL
        self._last_gripper = gripper
        self._index, distance = self._motion.locate(joints, self._index)
        gate = self._motion.next_gate(self._index)
        if gate is None or self._index < gate.start or distance > _ARRIVED_RAD:
            return
        self._gate_queries += 1
        done = gripper > _GRIPPED and stands if gate.closing else gripper < RELEASED
        if done or self._gate_queries > _GATE_PATIENCE:
            self._index, self._gate_queries = gate.end, 0
            self._in_hand, self._put_down = gate.closing, not gate.closing

    def _must_begin_anew(self, motion: Motion, joints: Array) -> bool:
        """Whether somebody else moved the arm, or stopped it where the motion is fast.

        From rest, the middle of a fast leg would be a jump that the node must refuse.
        """
        index, distance = motion.locate(joints, self._index)
        if distance > _OFF_MOTION_RAD:
            return True
        stood = self._last_rad is not None and np.abs(joints - self._last_rad).max() < _STOOD_RAD
        return bool(stood and motion.speed(index) > _FAST_RAD_S)

    def _plan(self, joints: Array, gripper: float, picture: NDArray[np.uint8]) -> Motion:
        self._look(joints, gripper, picture)
        try:
            if self._put_down:
                return motions.retreat(joints)
            assert self._plate_m is not None
            if self._in_hand or self._cube_m is None:
                return motions.place(joints, self._plate_m)
            if np.linalg.norm(self._cube_m - self._plate_m) < PLATE_RADIUS_M:
                return motions.retreat(joints)
            return motions.pick_and_place(joints, self._cube_m, self._plate_m)
        except OutOfReachError as error:
            raise StayError(f"out of reach: {error}") from error

    def _look(self, joints: Array, gripper: float, picture: NDArray[np.uint8]) -> None:
        """Find plate and cube, or remember where they were when the arm hides them now."""
        plate = vision.find(picture, self.task.plate, vision.PLATE)
        self._plate_m = self._plate_m if plate is None else plate
        if self._plate_m is None:
            raise StayError(f"no {self.task.plate} plate in sight")
        if self._in_hand or self._put_down:
            return
        if RELEASED < gripper < _EMPTY:
            self._in_hand = _in_hand(picture, self.task.cube, joints)
            if not self._in_hand:
                raise StayError(f"the gripper is half closed and holds no {self.task.cube} cube")
            return
        cube = vision.find(picture, self.task.cube, vision.CUBE)
        self._cube_m = self._cube_m if cube is None else cube
        if self._cube_m is None:
            raise StayError(f"no {self.task.cube} cube in sight")

    @property
    def phase(self) -> str:
        """What the arm is about: approach, grasp, carry, release, retreat or done."""
        assert self._motion is not None
        if self._index >= len(self._motion.joints) - 1:
            return "done"
        gate = self._motion.next_gate(self._index)
        if gate is None:
            return "retreat"
        at_gate = self._index == gate.start
        if gate.closing:
            return "grasp" if at_gate else "approach"
        return "release" if at_gate else "carry"

    def targets(self, joints: Array, horizon: int, rate_hz: float) -> tuple[Array, Array]:
        """Return joint targets (H, 7) rad and gripper (H,) 0 or 1, from `joints` at step 0 on."""
        assert self._motion is not None
        return self._motion.targets(self._index, joints, horizon, rate_hz, RANGES)


def _in_hand(picture: NDArray[np.uint8], colour: str, joints: Array) -> bool:
    """Say whether `colour` is seen where the tool is: within a cube's edge of its projection."""
    size_px = (picture.shape[0], picture.shape[1])
    tool = tool_pose(joints)[:3, 3]
    ends = EXTERIOR.project([tool, tool + EXTERIOR.axes[:, 1] * motions.GRASP_M * 2.0], size_px)
    radius = float(np.linalg.norm(ends[1] - ends[0]))
    seen = np.argwhere(colour_mask(picture, colour))
    near = np.linalg.norm(seen - ends[0], axis=1) < radius
    return int(near.sum()) >= 6
