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
        arm, closed = self.model.act(pictures, torch.from_numpy(state)[None])
        return {ARM: arm.numpy(), GRIPPER: closed[..., None].numpy()}, {}

    def reset(self, options: Mapping[str, Any] | None) -> dict[str, Any]:
        """Do nothing: the policy sees all that it needs in the observation."""
        return {}


def make(embodiment: Embodiment) -> Served:
    """The policy of the checkpoint that the environment variable SMALL_POLICY names."""
    return Served(embodiment, Path(os.environ["SMALL_POLICY"]))
