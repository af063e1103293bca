"""A small policy network: two cameras and the robot's state in, one action chunk out.

Each camera has a convolutional encoder that ends in a spatial softmax: it gives the places, in the
picture, of what its channels respond to. A cube's place in the picture is what the arm's motion
depends on, and a place generalises from few episodes where whole feature maps do not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """What fixes the network's sizes. A chunk's joints move straight between `knots` in time."""

    cameras: tuple[str, ...]
    size_px: tuple[int, int]
    joints: int
    horizon: int
    points: int = 24
    width: int = 256
    knots: int = 12


@dataclass(frozen=True, slots=True)
class Prediction:
    """For B observations, normalised.

    steps: (B, H, J) way of the joints from the state. closed: (B, H) logits of a closed gripper.
    goal: (B, J) way to where the gripper's order changes next.
    """

    steps: Tensor
    closed: Tensor
    goal: Tensor


class Places(nn.Module):
    """Spatial softmax: a map of each channel becomes the mean place of its response."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.full((channels, 1), 3.0))
        rows, columns = torch.meshgrid(
            torch.linspace(-1.0, 1.0, height), torch.linspace(-1.0, 1.0, width), indexing="ij"
        )
        self.register_buffer("grid", torch.stack([rows.flatten(), columns.flatten()], dim=1))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 2 C) in -1 .. 1."""
        weights = torch.softmax(maps.flatten(2) * self.sharpness, dim=2)
        return (weights @ self.grid).flatten(1)


class Eye(nn.Module):
    """The encoder of one camera: (B, 3, h, w) uint8 to (B, 2 * points)."""

    def __init__(self, size_px: tuple[int, int], points: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 8, stride=4, padding=2),  # as cheap as a small filter at every pixel
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, points, 1),
        )
        height, width = (side // 4 for side in size_px)
        self.places = Places(points, height, width)

    def forward(self, picture: Tensor) -> Tensor:
        """The places of what was seen."""
        kind = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        maps = self.layers(picture.to(kind) / 127.5 - 1.0)
        return self.places(maps.float())


class SmallPolicy(nn.Module):
    """Pictures and state to a chunk. The normalisation is part of the checkpoint."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        state, joints, horizon = shape.joints + 1, shape.joints, shape.horizon
        self.eyes = nn.ModuleList([Eye(shape.size_px, shape.points) for _ in shape.cameras])
        seen = 2 * shape.points * len(shape.cameras) + state
        self.find = nn.Sequential(
            nn.Linear(seen, shape.width),
            nn.ReLU(),
            nn.Linear(shape.width, shape.width),
            nn.ReLU(),
            nn.Linear(shape.width, joints),
        )
        self.move = nn.Sequential(
            nn.Linear(seen + joints, shape.width),
            nn.ReLU(),
            nn.Linear(shape.width, shape.width),
            nn.ReLU(),
            nn.Linear(shape.width, shape.knots * joints + horizon),
        )
        for name, size in (
            ("state_mean", (state,)),
            ("state_scale", (state,)),
            ("step_mean", (horizon, joints)),
            ("step_scale", (horizon, joints)),
            ("goal_scale", (joints,)),
        ):
            self.register_buffer(name, torch.zeros(size) if "mean" in name else torch.ones(size))

    def forward(self, pictures: list[Tensor], state: Tensor) -> Prediction:
        """Pictures of each camera (B, 3, h, w) uint8, state (B, J + 1)."""
        seen = [eye(picture) for eye, picture in zip(self.eyes, pictures, strict=True)]
        known = torch.cat([*seen, (state - self.state_mean) / self.state_scale], dim=1)
        goal = self.find(known)
        out = self.move(torch.cat([known, goal], dim=1))
        horizon = self.shape.horizon
        knots = out[:, horizon:].view(len(state), self.shape.joints, self.shape.knots)
        steps = functional.interpolate(knots, horizon, mode="linear", align_corners=True)
        return Prediction(steps.transpose(1, 2), out[:, :horizon], goal)

    @torch.no_grad()
    def act(self, pictures: list[Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
        """Joint targets (B, H, J) rad and (B, H) whether the gripper is to be closed, 0 or 1."""
        found = self(pictures, state)
        steps = found.steps * self.step_scale + self.step_mean
        return state[:, None, :-1] + steps, (found.closed > 0.0).float()


def save(path: Path, model: SmallPolicy, extra: dict[str, object]) -> None:
    """Write a checkpoint; a killed training leaves the one before."""
    draft = path.with_suffix(".draft")
    torch.save({"shape": asdict(model.shape), "weights": model.state_dict(), **extra}, draft)
    draft.replace(path)


def load(path: Path) -> tuple[SmallPolicy, dict[str, Any]]:
    """Read a checkpoint; unpickles nothing but tensors and plain values."""
    stored = torch.load(path, weights_only=True)
    shape = stored.pop("shape")
    shape = {**shape, "cameras": tuple(shape["cameras"]), "size_px": tuple(shape["size_px"])}
    model = SmallPolicy(Shape(**shape))
    model.load_state_dict(stored.pop("weights"))
    return model, stored
