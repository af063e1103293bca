"""Desk6's scripted policy: it sees the cube of the named colour and puts the tip above it.

It uses the observation and the instruction only, and has no weights. It stays still when it does
not understand the instruction or does not see the cube.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import modality_of
from gr00t_ros.sim import vision
from gr00t_ros.sim.desk6.kinematics import JOINTS, RANGES, solve
from gr00t_ros.sim.desk6.scene import CAMERA, CUBE_EDGE_M
from gr00t_ros.sim.path import LegSpeeds, Motion, MotionBuilder, OutOfReachError, StayError

Array = NDArray[np.float64]

_CUBE = vision.Kind(0.5 * CUBE_EDGE_M, (0.4 * CUBE_EDGE_M**2, 6.0 * CUBE_EDGE_M**2))
_DESK_M = ((0.15, 0.5), (-0.35, 0.35))
_ABOVE_M, _AT_M = 0.12, 0.065  # height of the tip above the desk
_PACE = LegSpeeds(speed=0.4, acceleration_rad_s2=1.2)
_SENTENCE = re.compile(r"(?:touch|point at|go to) the (?P<colour>\w+) cube")


class ScriptedPolicy:
    """Points at a cube by sight; a Policy for an embodiment with camera `front` and key `arm`."""

    def __init__(self, embodiment: Embodiment) -> None:
        """Raise EmbodimentError for other keys or joints than those of Desk6."""
        keys = [[item.key for item in part] for part in (embodiment.video, embodiment.state)]
        keys.append([action.key for action in embodiment.action])
        if keys != [["front"], ["arm"], ["arm"]] or embodiment.action[0].names != JOINTS:
            raise EmbodimentError(
                f"{embodiment.source}: got video, state and action keys {keys}, expected front, "
                f"arm and arm with the joints {', '.join(JOINTS)}"
            )
        self.modality: ModalityConfig = modality_of(embodiment)
        self._horizon, self._rate_hz = embodiment.action_horizon, embodiment.rate_hz
        self._language_key = embodiment.language_key
        self._motion: Motion | None = None
        self._index = 0

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Drop the motion."""
        self._motion = None
        return {}

    def __call__(
        self, observation: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any] | None
    ) -> tuple[Mapping[str, NDArray[np.float32]], Mapping[str, Any]]:
        """Return absolute joint targets, {"arm": (1, H, 6) float32}, and a map with the phase."""
        joints = np.asarray(observation["state"]["arm"])[0, -1].astype(np.float64)
        picture = np.asarray(observation["video"]["front"])[0, -1]
        try:
            targets = self._targets(
                joints, picture, observation["language"][self._language_key][0][0]
            )
            info = {"phase": "touch", "reason": ""}
        except (StayError, OutOfReachError) as why:
            targets = np.repeat(joints[None], self._horizon, axis=0)
            info = {"phase": "still", "reason": str(why)}
        return {"arm": targets[None].astype(np.float32)}, info

    def _targets(self, joints: Array, picture: NDArray[np.uint8], text: str) -> Array:
        if self._motion is None:
            self._motion, self._index = _plan(joints, picture, text), 0
        self._index, _ = self._motion.locate(joints, self._index)
        targets = self._motion.targets(self._index, joints, self._horizon, self._rate_hz, RANGES)
        return targets[0]


def make_policy(embodiment: Embodiment) -> ScriptedPolicy:
    """Make the scripted policy; raises EmbodimentError if keys are missing."""
    return ScriptedPolicy(embodiment)


def _plan(joints: Array, picture: NDArray[np.uint8], text: str) -> Motion:
    match = _SENTENCE.fullmatch(text.lower().strip(" ."))
    if match is None or match["colour"] not in vision.HUES_DEG:
        raise StayError(f"instruction not understood: {text!r}")
    seen = vision.find(picture, match["colour"], _CUBE, CAMERA, _DESK_M)
    if seen is None:
        raise StayError(f"no {match['colour']} cube in sight")
    path = MotionBuilder(joints, RANGES, _PACE)
    for height_m in (_ABOVE_M, _AT_M):
        path.leg(np.stack([path.end_rad, solve(np.append(seen, height_m))]))
    return path.motion()
