"""One episode of the Franka's scripted policy: instruction, things seen, motion, progress.

A sentence that is not fully understood gives no task: a robot must not act on a part of a sentence
("do not put ...").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim import vision
from gr00t_ros.sim.franka.kinematics import HOME_RAD, RANGES, downward_pose, solve, tool_pose
from gr00t_ros.sim.franka.layout import CUBE_EDGE_M, EXTERIOR, PLATE_HEIGHT_M, PLATE_RADIUS_M
from gr00t_ros.sim.path import LegSpeeds, Motion, MotionBuilder, OutOfReachError, StayError
from gr00t_ros.sim.vision import Kind, colour_mask

Array = NDArray[np.float64]

_COLOUR = r"(?:the |a )?(?P<{0}>(?!the |a )\w+)"
_SENTENCE = re.compile(
    rf"(?:please )?(?:put|place|move|pick(?: up)?) {_COLOUR.format('cube')} (?:cube|block)"
    rf"(?: and (?:put|place) it)? (?:on|onto) {_COLOUR.format('plate')} plate(?: please)?"
)
CUBE = Kind(0.5 * CUBE_EDGE_M, (0.5 * CUBE_EDGE_M**2, 5.0 * CUBE_EDGE_M**2))
PLATE = Kind(
    0.5 * PLATE_HEIGHT_M, (0.6 * np.pi * PLATE_RADIUS_M**2, 1.6 * np.pi * PLATE_RADIUS_M**2)
)
_TABLE_M = ((0.2, 0.75), (-0.45, 0.45))
# So slow from rest that a reply that is 500 ms late still begins within 0.15 rad of the held
# position (limit of the node's guard): its step after 100 ms of commit time.
PACE = LegSpeeds(speed=0.26, acceleration_rad_s2=1.1)
HOVER_M = 0.15
GRASP_M = 0.5 * CUBE_EDGE_M
PLACE_M = PLATE_HEIGHT_M + GRASP_M + 0.003
# gripper_position of a 2F-85 on a 4 cm cube is about 0.55 (0 open .. 1 closed).
_GRIPPED = 0.4
# Largest change of a gripper at rest between two queries. The 2F-85 at half speed, 0.25 rad/s,
# changes by 0.16 in 8 steps.
_STILL = 0.02
RELEASED = 0.3
_EMPTY = 0.9  # with a cube the gripper cannot close further than this
_GATE_PATIENCE = 12  # queries; the arm goes on even if the gripper moves less than expected
_ARRIVED_RAD = 0.03


@dataclass(frozen=True, slots=True)
class InstructedTask:
    """Which cube goes onto which plate, by colour; the colours may be unknown."""

    cube: str
    plate: str


def parse_task(text: str) -> InstructedTask | None:
    """Return the task that `text` asks for, in any case and punctuation, or None.

    "Put the red cube on the blue plate." -> Task("red", "blue").
    """
    words = " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())
    match = _SENTENCE.fullmatch(words)
    return InstructedTask(match["cube"], match["plate"]) if match else None


def find(picture: NDArray[np.uint8], colour: str, kind: Kind) -> Array | None:
    """vision.find in the exterior camera's picture: (2,) m in fr3_link0, or None."""
    return vision.find(picture, colour, kind, EXTERIOR, _TABLE_M)


def pick_and_place(start_rad: Array, cube_m: Array, plate_m: Array) -> Motion:
    """Return the whole motion from `start_rad` (7,); `cube_m`, `plate_m` (2,) in fr3_link0.

    Raises OutOfReachError.
    """
    path = MotionBuilder(start_rad, RANGES, PACE)
    _rise(path)
    path.leg(np.stack([path.end_rad, _reach(cube_m, HOVER_M, HOME_RAD)]))
    down = _vertical(path.end_rad, cube_m, GRASP_M)
    path.leg(down)
    path.gate(closing=True)
    path.leg(down[::-1])
    return _place(path, plate_m)


def place(start_rad: Array, plate_m: Array) -> Motion:
    """Return the motion for a cube between the fingers: close, up, to the plate, release.

    `start_rad` (7,); `plate_m` (2,) in fr3_link0. Raises OutOfReachError.
    """
    path = MotionBuilder(start_rad, RANGES, PACE, closed=True)
    path.gate(closing=True)
    _rise(path)
    return _place(path, plate_m)


def retreat(start_rad: Array) -> Motion:
    """Return the motion from `start_rad` (7,) up and home, gripper open. Raises OutOfReachError."""
    path = MotionBuilder(start_rad, RANGES, PACE)
    _rise(path)
    path.leg(np.stack([path.end_rad, HOME_RAD]))
    return path.motion()


def _place(path: MotionBuilder, plate_m: Array) -> Motion:
    path.leg(np.stack([path.end_rad, _reach(plate_m, HOVER_M, HOME_RAD)]))
    down = _vertical(path.end_rad, plate_m, PLACE_M)
    path.leg(down)
    path.gate(closing=False)
    path.leg(down[::-1])
    path.leg(np.stack([path.end_rad, HOME_RAD]))
    return path.motion()


def _rise(path: MotionBuilder) -> None:
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


class ScriptedEpisode:
    """The state of one task; a reset and another instruction make a new one."""

    def __init__(self, task: InstructedTask) -> None:
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
        """Find the arm on the motion, after planning one if needed; never go backwards.

        `joints` (7,) rad, `gripper` 0 open .. 1 closed, `picture` (H, W, 3) uint8 of the exterior
        camera. Raises StayError if there is nothing to do or a thing is not in sight.
        """
        if self._motion is None or self._motion.must_begin_anew(
            self._index, joints, self._last_rad
        ):
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
        # a gripper that a pause has stopped on its way stands, too: not at the first query
        grips = gripper > _GRIPPED and stands and self._gate_queries > 1
        done = grips if gate.closing else gripper < RELEASED
        if done or self._gate_queries > _GATE_PATIENCE:
            self._index, self._gate_queries = gate.end, 0
            self._in_hand, self._put_down = gate.closing, not gate.closing

    def _plan(self, joints: Array, gripper: float, picture: NDArray[np.uint8]) -> Motion:
        self._look(joints, gripper, picture)
        try:
            if self._put_down:
                return retreat(joints)
            assert self._plate_m is not None
            if self._in_hand or self._cube_m is None:
                return place(joints, self._plate_m)
            if np.linalg.norm(self._cube_m - self._plate_m) < PLATE_RADIUS_M:
                return retreat(joints)
            return pick_and_place(joints, self._cube_m, self._plate_m)
        except OutOfReachError as error:
            raise StayError(f"out of reach: {error}") from error

    def _look(self, joints: Array, gripper: float, picture: NDArray[np.uint8]) -> None:
        """Find plate and cube; where the arm hides one of them, keep its last position."""
        plate = find(picture, self.task.plate, PLATE)
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
        cube = find(picture, self.task.cube, CUBE)
        self._cube_m = self._cube_m if cube is None else cube
        if self._cube_m is None:
            raise StayError(f"no {self.task.cube} cube in sight")

    @property
    def phase(self) -> str:
        """What the arm does: approach, grasp, carry, release, retreat or done."""
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
    """Whether `colour` is seen at the tool: within a cube's edge of the tool's projection."""
    size_px = (picture.shape[0], picture.shape[1])
    tool = tool_pose(joints)[:3, 3]
    ends = EXTERIOR.project([tool, tool + EXTERIOR.axes[:, 1] * GRASP_M * 2.0], size_px)
    radius = float(np.linalg.norm(ends[1] - ends[0]))
    seen = np.argwhere(colour_mask(picture, colour))
    near = np.linalg.norm(seen - ends[0], axis=1) < radius
    return int(near.sum()) >= 6
