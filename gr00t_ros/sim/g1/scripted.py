"""The G1's scripted policy: it sees a coloured cube and reaches for it with the nearer hand.

It uses the observation and the instruction only: no clock, no ROS, no simulator, no weights. It
keeps the planned motion of the episode and how far the arm has come; a reset drops both. It stays
still when it does not understand the sentence or does not see the cube.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ObservationError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import modality_of
from gr00t_ros.sim import vision
from gr00t_ros.sim.description import columns, need
from gr00t_ros.sim.g1.kinematics import (
    ARM_JOINTS,
    ARM_RANGES,
    HAND_JOINTS,
    SIDES,
    WAIST_JOINTS,
    ego_camera,
    hand,
    solve,
)
from gr00t_ros.sim.g1.layout import CUBE_EDGE_M, TABLE_M
from gr00t_ros.sim.path import LegSpeeds, Motion, MotionBuilder, OutOfReachError, StayError
from gr00t_ros.sim.vision import HUES_DEG

Array = NDArray[np.float64]

_SENTENCE = re.compile(
    r"(?:please )?(?:reach(?: for| to)?|touch|go to|move (?:your|the|a) hand to)"
    r" (?:the |a )?(?P<colour>(?!the |a )\w+) (?:cube|block)(?: please)?"
)
EGO_KEY = "ego_view"
JOINTS: Mapping[str, tuple[str, ...]] = {
    "left_arm": ARM_JOINTS["left"],
    "right_arm": ARM_JOINTS["right"],
    "left_hand": HAND_JOINTS["left"],
    "right_hand": HAND_JOINTS["right"],
    "waist": WAIST_JOINTS,
}
"""State and action key -> the joints that the policy expects under it, in its own order."""
# The base stays where it is: the usual standing height (embodiments.md), and no velocity.
BASE = {"base_height_command": np.array([0.74]), "navigate_command": np.zeros(3)}
CUBE = vision.Kind(TABLE_M + 0.5 * CUBE_EDGE_M, (0.5 * CUBE_EDGE_M**2, 5.0 * CUBE_EDGE_M**2))
_TABLE_M = ((0.2, 0.6), (-0.45, 0.45))
# So slow from rest that a reply that is 400 ms late still begins within 0.15 rad of the held
# position (limit of the node's guard).
PACE = LegSpeeds(speed=0.3, acceleration_rad_s2=0.8)
# Height of the palm's middle above the cube's. The hand goes to HOVER_M first, so that no finger
# sweeps things away.
HOVER_M = 0.16
REACHED_M = 0.082
_MOVED_RAD = 0.1  # a joint this far from its held position was moved by another program or by hand


def parse_colour(text: str) -> str | None:
    """Return the colour of the cube that `text` asks to reach, or None.

    "Reach for the red cube." -> "red", in any case and punctuation.
    """
    words = " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())
    match = _SENTENCE.fullmatch(words)
    return match["colour"] if match else None


@dataclass(frozen=True, slots=True, eq=False)
class Posture:
    """The measured joints that the policy uses: waist (3,), and each side's arm (7,), rad."""

    waist_rad: Array
    arm_rad: dict[str, Array]


class ScriptedEpisode:
    """The state of one task; a reset and another instruction make a new one."""

    def __init__(self, colour: str) -> None:
        """Reach for the cube of that colour."""
        self.colour = colour
        self.side = ""
        self._motion: Motion | None = None
        self._index = 0
        self._last_rad: Array | None = None

    def advance(self, posture: Posture, picture: NDArray[np.uint8]) -> None:
        """Find the arm on the motion, after planning one if needed; never go backwards.

        `picture` is (H, W, 3) uint8 rgb of the ego camera. Raises StayError if the cube is not in
        sight or out of reach.
        """
        if self._motion is None or self._motion.must_begin_anew(
            self._index, posture.arm_rad[self.side], self._last_rad
        ):
            self._plan(posture, picture)
        assert self._motion is not None
        arm = posture.arm_rad[self.side]
        self._last_rad = arm
        self._index, _ = self._motion.locate(arm, self._index)

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
        """What the arm does: reach or done."""
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
    path = MotionBuilder(posture.arm_rad[side], ARM_RANGES[side], PACE)
    for height_m in (HOVER_M, REACHED_M):
        wanted = cube_m + np.array([0.0, 0.0, height_m])
        joints = solve(side, wanted, posture.waist_rad, path.end_rad)
        if joints is None:
            x, y, z = wanted
            raise OutOfReachError(f"{side} hand to x {x:.3f}, y {y:.3f}, z {z:.3f} m")
        path.leg(np.stack([path.end_rad, joints]))
    return path.motion()


class ScriptedPolicy:
    """Reaches for a cube by sight; a Policy for a G1 embodiment (policies.Policy)."""

    def __init__(self, embodiment: Embodiment) -> None:
        """Raise EmbodimentError if a stream or action key is missing or has other joints."""
        self.modality: ModalityConfig = modality_of(embodiment)
        self._horizon = embodiment.action_horizon
        self._rate_hz = embodiment.rate_hz
        self._language_key = embodiment.language_key
        state = {stream.key: stream for stream in embodiment.state}
        action = {one.key: one for one in embodiment.action}
        need(embodiment, "video", {stream.key for stream in embodiment.video}, {EGO_KEY})
        need(embodiment, "state", set(state), set(JOINTS))
        need(embodiment, "action", set(action), set(JOINTS))
        need(embodiment, "action", set(JOINTS) | set(BASE), set(action))
        # Columns of JOINTS in the arrays of the state and of the action.
        source = embodiment.source
        self._state_columns = {
            key: columns(key, state[key].names, joints, source) for key, joints in JOINTS.items()
        }
        self._action_columns = {
            key: columns(key, action[key].names, joints, source) for key, joints in JOINTS.items()
        }
        self._keys = tuple(action)
        self._episode: ScriptedEpisode | None = None
        self._held: dict[str, Array] = {}

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Drop the episode."""
        self._episode = None
        self._held = {}
        return {}

    def __call__(
        self, observation: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any] | None
    ) -> tuple[Mapping[str, NDArray[np.float32]], Mapping[str, Any]]:
        """Return absolute targets, key -> (1, H, D) float32, and an info map with the phase.

        Step 0 of the moving arm is the observed state itself. Raises ObservationError for more
        than one robot and for a state that is not finite.
        """
        picture = np.asarray(observation["video"][EGO_KEY])
        joints = self._joints(observation["state"])
        if len(picture) != 1:
            raise ObservationError("the scripted policy drives one robot, got a batch of several")
        rows = self._still(joints)
        try:
            posture = _posture(joints)
            episode = self._episode_of(observation["language"][self._language_key][0][0])
            episode.advance(posture, picture[0, -1])
        except StayError as why:
            return self._action_of(rows), {"phase": "still", "reason": str(why)}
        moving = f"{episode.side}_arm"
        rows[moving] = episode.targets(posture, self._horizon, self._rate_hz)
        self._held[moving] = joints[moving]
        return self._action_of(rows), {"phase": episode.phase, "reason": "", "hand": episode.side}

    def _still(self, joints: Mapping[str, Array]) -> dict[str, Array]:
        """Return rows (H, D) that hold the first measured state.

        Commanding the newest measured state instead would give way to every force.
        """
        for key, row in joints.items():
            held = self._held.get(key)
            if held is None or np.abs(held - row).max() > _MOVED_RAD:
                self._held[key] = row
        return {key: np.repeat(row[None], self._horizon, axis=0) for key, row in self._held.items()}

    def _joints(self, state: Mapping[str, Any]) -> dict[str, Array]:
        """Return each key's newest row in our order of joints."""
        joints = {}
        for key, places in self._state_columns.items():
            rows = np.asarray(state[key])
            if len(rows) != 1:
                raise ObservationError("the scripted policy drives one robot, got several")
            joints[key] = rows[0, -1, places].astype(np.float64)
            if not np.all(np.isfinite(joints[key])):
                raise ObservationError(f"the state is not finite: {key} {joints[key]}")
        return joints

    def _episode_of(self, text: str) -> ScriptedEpisode:
        colour = parse_colour(text)
        if colour is None:
            raise StayError(f"instruction not understood: {text!r}")
        if colour not in HUES_DEG:
            raise StayError(f"unknown colour: {colour!r}")
        if self._episode is None or self._episode.colour != colour:
            self._episode = ScriptedEpisode(colour)
        return self._episode

    def _action_of(self, rows: Mapping[str, Array]) -> Mapping[str, NDArray[np.float32]]:
        action = {}
        for key in self._keys:
            if key in BASE:
                values = np.repeat(BASE[key][None], self._horizon, axis=0)
            else:
                values = np.empty_like(rows[key])
                values[:, self._action_columns[key]] = rows[key]
            action[key] = values[None].astype(np.float32)
        return action


def make_policy(embodiment: Embodiment) -> ScriptedPolicy:
    """Make the scripted policy; raises EmbodimentError if streams or keys are missing."""
    return ScriptedPolicy(embodiment)


def _posture(joints: Mapping[str, Array]) -> Posture:
    """The posture; StayError for an arm outside its limits, which cannot be this robot's state."""
    arms = {side: joints[f"{side}_arm"] for side in SIDES}
    for side, arm in arms.items():
        ranges = ARM_RANGES[side]
        if np.any((arm < ranges.lower_rad) | (arm > ranges.upper_rad)):
            raise StayError(f"{side}_arm outside the robot's limits: {arm.round(3)}")
    return Posture(joints["waist"], arms)
