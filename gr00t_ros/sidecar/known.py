"""What may be known of a robot before its embodiment file is written: from a dataset, from topics.

Holds facts alone; sidecar/skeleton.py decides which of them settle a place of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Camera:
    """One image topic that publishes; `rate_hz` as counted, 0 where only one frame came."""

    topic: str
    height_px: int
    width_px: int
    transport: str  # "raw" | "compressed"
    rate_hz: float


@dataclass(frozen=True, slots=True)
class Controller:
    """One trajectory controller that tells its state; `names` in its own order."""

    name: str
    topic: str
    state_topic: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JointRange:
    """A URDF joint's limits: rad and rad/s, or m and m/s; infinite where it states none."""

    lower: float
    upper: float
    velocity: float


@dataclass(frozen=True, slots=True)
class Known:
    """Everything found; `joint_topics` is JointState topic -> the joints it names.

    `sizes` (height, width in pixels), `state_names` and `action_names` are a dataset's, by
    modality key; its names need not be the robot's. `positions`: where each joint is now, rad or m.
    `remarks` and `questions` by place ("state.arm", "" for the file): what a source says that no
    field takes, and what leaves the place open.
    """

    rate_hz: float | None = None
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    state_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    action_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cameras: tuple[Camera, ...] = ()
    joint_topics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    controllers: tuple[Controller, ...] = ()
    ranges: Mapping[str, JointRange] = field(default_factory=dict)
    positions: Mapping[str, float] = field(default_factory=dict)
    remarks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    questions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def joint_topic(self, names: tuple[str, ...]) -> str | None:
        """The one JointState topic that has all `names`; None where none or several do."""
        found = [topic for topic, has in self.joint_topics.items() if names and {*names} <= {*has}]
        return found[0] if len(found) == 1 else None

    def controller(self, names: tuple[str, ...]) -> Controller | None:
        """The one controller that moves all `names`; None where none or several do."""
        found = [c for c in self.controllers if names and {*names} <= {*c.names}]
        return found[0] if len(found) == 1 else None
