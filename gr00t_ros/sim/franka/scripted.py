"""The Franka's scripted policy: it sees coloured things and moves the arm to them.

It uses the observation and the instruction only: no clock, no ROS, no simulator, no weights. It
keeps the planned motion of the episode and how far the arm has come; a reset drops both. It stays
still when it does not understand the sentence, does not see a thing, or gets an implausible state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ObservationError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import StateStream
from gr00t_ros.serve.policies import modality_of
from gr00t_ros.sim.description import columns, need
from gr00t_ros.sim.franka.episode import RELEASED, ScriptedEpisode, parse_task
from gr00t_ros.sim.franka.kinematics import JOINTS, LOWER_RAD, UPPER_RAD, flange_pose
from gr00t_ros.sim.path import StayError
from gr00t_ros.sim.vision import HUES_DEG

Array = NDArray[np.float64]

EXTERIOR_KEY = "exterior_image_1_left"
_JOINT_KEYS = {"joint_position", "gripper_position"}
_POSE_KEY = "eef_9d"
_EEF_OFF_M = 0.08  # allows for pose and joints of slightly different times
_EEF_OFF_RAD = 0.4


class ScriptedPolicy:
    """Puts a cube on a plate by sight; a Policy for a Franka embodiment (policies.Policy)."""

    def __init__(self, embodiment: Embodiment) -> None:
        """Raise EmbodimentError if a stream or action key is missing or has other joints."""
        self.modality: ModalityConfig = modality_of(embodiment)
        self._horizon = embodiment.action_horizon
        self._rate_hz = embodiment.rate_hz
        self._language_key = embodiment.language_key
        self._state = {stream.key: stream for stream in embodiment.state}
        self._action = {action.key: action for action in embodiment.action}
        need(embodiment, "video", {stream.key for stream in embodiment.video}, {EXTERIOR_KEY})
        need(embodiment, "state", set(self._state), _JOINT_KEYS | ({_POSE_KEY} & set(self._action)))
        need(embodiment, "action", set(self._action), _JOINT_KEYS)
        need(embodiment, "action", _JOINT_KEYS | {_POSE_KEY}, set(self._action))
        # Columns of JOINTS in the arrays of the state and of the action.
        key, source = "joint_position", embodiment.source
        self._state_columns = columns(key, self._state[key].names, JOINTS, source)
        self._action_columns = columns(key, self._action[key].names, JOINTS, source)
        self._episode: ScriptedEpisode | None = None

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Drop the episode."""
        self._episode = None
        return {}

    def __call__(
        self, observation: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any] | None
    ) -> tuple[Mapping[str, NDArray[np.float32]], Mapping[str, Any]]:
        """Return absolute targets, key -> (1, H, D) float32, and an info map with the phase.

        Step 0 is the observed state itself. Raises ObservationError for more than one robot and
        for a state that is not finite.
        """
        state = {key: np.asarray(value)[:, -1] for key, value in observation["state"].items()}
        picture = np.asarray(observation["video"][EXTERIOR_KEY])
        if len(picture) != 1 or len(state["joint_position"]) != 1:
            raise ObservationError("the scripted policy drives one robot, got a batch of several")
        joints = state["joint_position"][0, self._state_columns].astype(np.float64)
        gripper = float(state["gripper_position"][0, 0])
        if not (np.all(np.isfinite(joints)) and np.isfinite(gripper)):
            raise ObservationError(f"the state is not finite: {joints}, gripper {gripper}")
        try:
            self._check(joints, state)
            episode = self._episode_of(observation["language"][self._language_key][0][0])
            episode.advance(joints, gripper, picture[0, -1])
        except StayError as why:
            return self._still(joints, gripper), {"phase": "still", "reason": str(why)}
        targets, closed = episode.targets(joints, self._horizon, self._rate_hz)
        return self._action_of(targets, closed), {"phase": episode.phase, "reason": ""}

    def _check(self, joints: Array, state: Mapping[str, Any]) -> None:
        """Raise StayError for a state outside the limits, or a hand pose that contradicts it."""
        outside = (joints < LOWER_RAD) | (joints > UPPER_RAD)
        if outside.any():
            names = [name for name, wrong in zip(JOINTS, outside, strict=True) if wrong]
            raise StayError(f"joint_position outside the robot's limits: {', '.join(names)}")
        stream = self._state.get(_POSE_KEY)
        if stream is None:
            return
        expected = _eef_9d(joints, stream)
        off_m = float(np.linalg.norm(state[_POSE_KEY][0, :3] - expected[:3]))
        off_rad = float(np.linalg.norm(state[_POSE_KEY][0, 3:] - expected[3:]))
        if not (off_m < _EEF_OFF_M and off_rad < _EEF_OFF_RAD):
            raise StayError(
                f"eef_9d is {off_m:.3f} m and {off_rad:.2f} off joint_position's own pose"
            )

    def _episode_of(self, text: str) -> ScriptedEpisode:
        task = parse_task(text)
        if task is None:
            raise StayError(f"instruction not understood: {text!r}")
        for colour in (task.cube, task.plate):
            if colour not in HUES_DEG:
                raise StayError(f"unknown colour: {colour!r}")
        if self._episode is None or self._episode.task != task:
            self._episode = ScriptedEpisode(task)
        return self._episode

    def _still(self, joints: Array, gripper: float) -> Mapping[str, NDArray[np.float32]]:
        # The robot must never be sent to a state outside its limits.
        here = np.clip(joints, LOWER_RAD, UPPER_RAD)
        targets = np.repeat(here[None], self._horizon, axis=0)
        # The command is open or closed: a gripper that holds something stays closed.
        return self._action_of(targets, np.full(self._horizon, float(gripper > RELEASED)))

    def _action_of(self, targets: Array, gripper: Array) -> Mapping[str, NDArray[np.float32]]:
        ordered = np.empty_like(targets)
        ordered[:, self._action_columns] = targets
        values = {"joint_position": ordered, "gripper_position": gripper[:, None]}
        if _POSE_KEY in self._action:
            stream = self._state[_POSE_KEY]
            values[_POSE_KEY] = np.stack([_eef_9d(row, stream) for row in targets])
        return {key: values[key][None].astype(np.float32) for key in self._action}


def make_policy(embodiment: Embodiment) -> ScriptedPolicy:
    """Make the scripted policy; raises EmbodimentError if streams or keys are missing."""
    return ScriptedPolicy(embodiment)


def _eef_9d(joints: Array, stream: StateStream) -> Array:
    """Return fr3_link8 as xyz and the first two rows of R_base_eef x rotate (embodiments.md)."""
    pose = flange_pose(joints)
    turn = np.eye(3) if stream.rotate is None else np.array(stream.rotate)
    return np.concatenate([pose[:3, 3], (pose[:3, :3] @ turn)[:2].ravel()])
