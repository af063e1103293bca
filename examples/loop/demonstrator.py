"""The scripted policy with an unsteady hand: a demonstrator whose mistakes and corrections teach.

A steady demonstrator is always exactly above the cube when it goes down. A policy that learns from
it never sees how to come back from two centimetres beside. So now and then this one goes a little
astray for the length of a chunk, and corrects itself with the next, as people do. The noise has
mean zero and a minority of the chunks have it: it does not shift what is learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import Action
from gr00t_ros.sim.path import minimum_jerk
from gr00t_ros.sim.robots import make_policy

ARM = "joint_position"
ASTRAY = 0.35
"""Share of the chunks, while the arm is on its way."""
OFFSET_RAD = 0.02
"""Standard deviation of each joint's offset at the end of the rise; 1 to 2 cm at the tool."""
RISE_S = 0.6
ON_THE_WAY = ("approach", "carry")
"""Phases of the scripted policy in which the fingers do not move."""


class Demonstrator:
    """A Policy (serve/policies.py) around the scripted one; a seed gives one behaviour."""

    def __init__(self, embodiment: Embodiment, seed: int) -> None:
        self._policy = make_policy(embodiment)
        self.modality = self._policy.modality
        self._random = np.random.default_rng(seed)
        time_s = np.arange(embodiment.action_horizon) / embodiment.rate_hz
        self._rise = minimum_jerk(np.clip(time_s / RISE_S, 0.0, 1.0)).astype(np.float32)

    def __call__(
        self, observation: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """The scripted chunk, or one that leads a little astray."""
        action, info = self._policy(observation, options)
        astray = self._random.random() < ASTRAY
        if not astray or info["phase"] not in ON_THE_WAY:
            return action, info
        arm: NDArray[np.float32] = action[ARM]
        offset = self._random.normal(0.0, OFFSET_RAD, arm.shape[-1])
        return {**action, ARM: arm + self._rise[:, None] * np.asarray(offset, np.float32)}, info

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Forget the episode."""
        return self._policy.reset(options)
