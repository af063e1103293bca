"""Serves a checkpoint of the small policy with gr00t sidecar, as any policy of one's own.

SMALL_POLICY=policy.pt gr00t sidecar examples.small_policy.serve:make --embodiment franka_droid_n16
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from examples.small_policy.dataset import ARM, GRIPPER, reduce
from examples.small_policy.model import load
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import modality_of

STOOD_RAD = 0.005
"""An arm that turned less than this from one query to the next stands."""
GENTLE_S = 0.5
"""A chunk for an arm that stands reaches its full speed after this time."""


class Served:
    """The policy as the server calls it: arrays of one observation in, arrays of a chunk out."""

    def __init__(self, embodiment: Embodiment, checkpoint: Path) -> None:
        torch.set_num_threads(1)  # the node and the robot need the other processors
        self.modality = modality_of(embodiment)
        self.model, _ = load(checkpoint)
        self.model.eval()
        if self.model.shape.horizon != embodiment.action_horizon:
            raise ValueError(
                f"{checkpoint}: trained for chunks of {self.model.shape.horizon} steps, "
                f"expected {embodiment.action_horizon} as {embodiment.source} has it"
            )
        self._time_s = np.arange(embodiment.action_horizon) / embodiment.rate_hz
        self._last: NDArray[np.float32] | None = None

    def __call__(
        self, observation: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any] | None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Key -> (1, H, D) float32: joints in rad, gripper 0 open or 1 closed."""
        shape = self.model.shape
        pictures = [
            torch.from_numpy(reduce(observation["video"][camera][0, -1], shape.size_px)).permute(
                2, 0, 1
            )[None]
            for camera in shape.cameras
        ]
        state = np.concatenate([observation["state"][key][0, -1] for key in (ARM, GRIPPER)])
        found = self.model.act(pictures, torch.from_numpy(state)[None])
        arm, closed = found[0].numpy(), found[1].numpy()
        last, self._last = self._last, state
        if last is None or np.abs(state - last)[:-1].max() < STOOD_RAD:
            arm = self._gentle(arm)
        return {ARM: arm, GRIPPER: closed[..., None]}, {}

    def _gentle(self, arm: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same way (1, H, J), begun at rest.

        One picture does not show whether the arm moves. Was it stopped on the way, the policy goes
        on at the speed that the demonstrator had there, and the node refuses such a jump.
        """
        time_s = self._time_s
        later_s = np.maximum(time_s - 0.5 * GENTLE_S, 0.0)
        warped_s = np.where(time_s < GENTLE_S, 0.5 * time_s**2 / GENTLE_S, later_s)
        columns = [np.interp(warped_s, time_s, column) for column in arm[0].T]
        return np.stack(columns, axis=1)[None].astype(np.float32)

    def reset(self, options: Mapping[str, Any] | None) -> dict[str, Any]:
        """Forget where the arm was."""
        self._last = None
        return {}


def make(embodiment: Embodiment) -> Served:
    """The policy of the checkpoint that the environment variable SMALL_POLICY names."""
    return Served(embodiment, Path(os.environ["SMALL_POLICY"]))
