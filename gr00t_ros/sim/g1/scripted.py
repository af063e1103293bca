"""The policy without weights: it sees a coloured cube and reaches it with the nearer hand.

It reads the observation and the instruction, nothing else: no clock, no ROS, no simulator. What it
remembers within an episode is the planned motion and how far along the arm was seen; reset
forgets both. Whatever it does not understand, see or trust, it answers by staying still.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import EmbodimentError, ObservationError
from gr00t_ros.core.modality import ModalityConfig
from gr00t_ros.sidecar.modality_of import modality_of
from gr00t_ros.sim.g1.episode import Episode, Posture
from gr00t_ros.sim.g1.instruction import parse_colour
from gr00t_ros.sim.g1.kinematics import ARM_JOINTS, ARM_RANGES, HAND_JOINTS, SIDES, WAIST_JOINTS
from gr00t_ros.sim.path import StayError
from gr00t_ros.sim.vision import HUES_DEG

Array = NDArray[np.float64]

EGO_KEY = "ego_view"
JOINTS: Mapping[str, tuple[str, ...]] = {
    "left_arm": ARM_JOINTS["left"],
    "right_arm": ARM_JOINTS["right"],
    "left_hand": HAND_JOINTS["left"],
    "right_hand": HAND_JOINTS["right"],
    "waist": WAIST_JOINTS,
}
"""State and action key -> the joints that the policy expects under it, in its own order."""

_MOVED_RAD = 0.1  # off the held place: somebody else moved it

# The base stays where it is: the usual standing height (embodiments.md), and no velocity.
BASE = {"base_height_command": np.array([0.74]), "navigate_command": np.zeros(3)}


class ScriptedPolicy:
    """Reaches a cube by sight; a Policy for a G1 embodiment (policies.Policy)."""

    def __init__(self, embodiment: Embodiment) -> None:
        """Raise EmbodimentError where a stream or action key that it needs is missing or other."""
        self.modality: ModalityConfig = modality_of(embodiment)
        self._horizon = embodiment.action_horizon
        self._rate_hz = embodiment.rate_hz
        self._language_key = embodiment.language_key
        state = {stream.key: stream for stream in embodiment.state}
        action = {one.key: one for one in embodiment.action}
        _need(embodiment, "video", {stream.key for stream in embodiment.video}, {EGO_KEY})
        _need(embodiment, "state", set(state), set(JOINTS))
        _need(embodiment, "action", set(action), set(JOINTS))
        _need(embodiment, "action", set(JOINTS) | set(BASE), set(action))
        source = embodiment.source
        self._seen = {key: _columns(key, state[key].names, source) for key in JOINTS}
        self._told = {key: _columns(key, action[key].names, source) for key in JOINTS}
        self._keys = tuple(action)
        self._episode: Episode | None = None
        self._held: dict[str, Array] = {}

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Forget the episode."""
        self._episode = None
        self._held = {}
        return {}

    def __call__(
        self, observation: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any] | None
    ) -> tuple[Mapping[str, NDArray[np.float32]], Mapping[str, Any]]:
        """Return absolute targets, key -> (1, H, D) float32, and an info map saying what it does.

        Step 0 of the moving arm is the observed state itself. Raises ObservationError for more
        than one robot and
        for a state that is not finite.
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
        """Return rows (H, D) that hold what was first seen: the measured state again and again
        would give way to every force.
        """
        for key, row in joints.items():
            held = self._held.get(key)
            if held is None or np.abs(held - row).max() > _MOVED_RAD:
                self._held[key] = row
        return {key: np.repeat(row[None], self._horizon, axis=0) for key, row in self._held.items()}

    def _joints(self, state: Mapping[str, Any]) -> dict[str, Array]:
        """Return each key's newest row in our order of joints."""
        joints = {}
        for key, columns in self._seen.items():
            rows = np.asarray(state[key])
            if len(rows) != 1:
                raise ObservationError("the scripted policy drives one robot, got several")
            joints[key] = rows[0, -1, columns].astype(np.float64)
            if not np.all(np.isfinite(joints[key])):
                raise ObservationError(f"the state is not finite: {key} {joints[key]}")
        return joints

    def _episode_of(self, text: str) -> Episode:
        colour = parse_colour(text)
        if colour is None:
            raise StayError(f"instruction not understood: {text!r}")
        if colour not in HUES_DEG:
            raise StayError(f"unknown colour: {colour!r}")
        if self._episode is None or self._episode.colour != colour:
            self._episode = Episode(colour)
        return self._episode

    def _action_of(self, rows: Mapping[str, Array]) -> Mapping[str, NDArray[np.float32]]:
        action = {}
        for key in self._keys:
            if key in BASE:
                values = np.repeat(BASE[key][None], self._horizon, axis=0)
            else:
                values = np.empty_like(rows[key])
                values[:, self._told[key]] = rows[key]
            action[key] = values[None].astype(np.float32)
        return action


def make_policy(embodiment: Embodiment) -> ScriptedPolicy:
    """Build the scripted policy; raises EmbodimentError where streams or keys are missing."""
    return ScriptedPolicy(embodiment)


def _posture(joints: Mapping[str, Array]) -> Posture:
    """Refuse arms outside their limits: such a state cannot be this robot's."""
    arms = {side: joints[f"{side}_arm"] for side in SIDES}
    for side, arm in arms.items():
        ranges = ARM_RANGES[side]
        if np.any((arm < ranges.lower_rad) | (arm > ranges.upper_rad)):
            raise StayError(f"{side}_arm outside the robot's limits: {arm.round(3)}")
    return Posture(joints["waist"], arms)


def _need(embodiment: Embodiment, where: str, known: set[str], needed: set[str]) -> None:
    if not needed <= known:
        raise EmbodimentError(
            f"{embodiment.source}: {where}: the scripted policy "
            f"{'needs' if where != 'action' else 'returns'} {', '.join(sorted(needed))}, "
            f"got {', '.join(sorted(known))}"
        )


def _columns(key: str, names: tuple[str, ...], source: str) -> NDArray[np.intp]:
    if sorted(names) != sorted(JOINTS[key]):
        raise EmbodimentError(
            f"{source}: {key}: the scripted policy drives {', '.join(JOINTS[key])}, "
            f"got {', '.join(names)}"
        )
    return np.array([names.index(name) for name in JOINTS[key]])
