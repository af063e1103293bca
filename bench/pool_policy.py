"""The scripted policy of a simulated robot with the time that a model would take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import Action, Policy, PolicyObservation, make_policy

MODEL_S: Final = 0.1
ROW_S: Final = 0.01  # of each further row


class SlowPolicy:
    """Answers B rows in MODEL_S + (B - 1) ROW_S, each as the scripted policy answers it alone."""

    def __init__(self, scripted: Policy) -> None:
        self._scripted = scripted
        self.modality = scripted.modality

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return (B, H, D) float32 chunks."""
        end = time.monotonic() + MODEL_S - ROW_S
        rows = len(next(iter(observation["state"].values())))
        actions = [
            self._scripted(
                {
                    name: {key: value[at : at + 1] for key, value in part.items()}
                    for name, part in observation.items()
                },
                options,
            )[0]
            for at in range(rows)
        ]
        time.sleep(max(0.0, end + rows * ROW_S - time.monotonic()))
        return {key: np.concatenate([one[key] for one in actions]) for key in actions[0]}, {}

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Begin a new episode."""
        return self._scripted.reset(options)


def make_slow_policy(embodiment: Embodiment) -> SlowPolicy:
    """Build it for an embodiment that a simulated robot has."""
    return SlowPolicy(make_policy("scripted", embodiment))
