"""A policy that moves joint 1 when the number in the pictures changes, for bench/reaction.py.

It runs in `python -m gr00t_ros.sidecar bench.reaction_policy:make_policy`. The newest number of all
cameras decides: even holds one position, odd another. A chunk goes there from the present state at
a constant speed, as a policy's does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.reaction_cameras import number_in
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import Action, PolicyObservation, modality_of
from gr00t_ros.sim.stand_in.start import start_of

KEY = "joint_position"
WAY_RAD, SPEED_RAD_S = 0.02, 0.25
_THERE_RAD = 1e-3  # closer than that the target is commanded at once, so that the arm comes to rest


class ReactionPolicy:
    """Observation in, chunk out; the time of a model is the server's --delay-ms."""

    def __init__(self, embodiment: Embodiment) -> None:
        self.modality = modality_of(embodiment)
        start = start_of(embodiment).joints
        self._home = np.array([start[name] for name in embodiment.joint_names])
        steps = np.arange(1, embodiment.action_horizon + 1)
        self._reach = SPEED_RAD_S / embodiment.rate_hz * steps

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return (1, H, J) float32 targets."""
        pictures = observation["video"].values()
        number = max(number_in(picture[0, -1, 0, 0].tobytes()) for picture in pictures)
        target = self._home.copy()
        target[0] += WAY_RAD * (number % 2)
        at = observation["state"][KEY][0, -1]
        way = target - at
        way[np.abs(way) < _THERE_RAD] = 0.0
        part = np.clip(way, -self._reach[:, None], self._reach[:, None])
        rows = target - way + part
        return {KEY: rows[None].astype(np.float32)}, {}

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Do nothing: there is no memory."""
        return {}


def make_policy(embodiment: Embodiment) -> ReactionPolicy:
    """The policy for an embodiment."""
    return ReactionPolicy(embodiment)
