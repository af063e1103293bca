"""Facts about a robot that are known before its embodiment file exists, and text as one-line YAML.

Sources are a dataset, a live graph or a URDF; sidecar/embodiment_skeleton decides which facts
settle a field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


def text(value: str) -> str:
    """Return `value` as a double-quoted scalar without a line break or control character."""
    return '"' + "".join(map(_escaped, value)) + '"'


def listed(values: Iterable[str]) -> str:
    """Return texts as a flow list."""
    return f"[{', '.join(map(text, values))}]"


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\U{ord(char):08x}"


@dataclass(frozen=True, slots=True)
class KnownCamera:
    """One image topic that publishes; `rate_hz` as counted, 0 where only one frame came."""

    topic: str
    height_px: int
    width_px: int
    transport: str  # "raw" | "compressed"
    rate_hz: float


@dataclass(frozen=True, slots=True)
class KnownController:
    """One trajectory controller that publishes its state; `names` in its own order."""

    name: str
    topic: str
    state_topic: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JointRange:
    """A URDF joint's limits: rad and rad/s, or m and m/s; infinite if it states none."""

    lower: float
    upper: float
    velocity: float


@dataclass(frozen=True, slots=True)
class Known:
    """Everything found; `joint_topics` is JointState topic -> joints with positions.

    `sizes` (height, width in pixels), `state_names` and `action_names` are a dataset's, by
    modality key; its names need not be the robot's. `robot`: its name, `tag`: its embodiment tag,
    empty where no source has them. `positions`: where each joint is now, rad or m.
    `description`: the text of /robot_description, empty where none was received; `unreadable`:
    the problem that it cannot be read, else empty.
    `remarks` and `questions` by place ("state.arm", "" for the file): facts of a source for which
    there is no field, and reasons why the value of the place is not known.
    """

    rate_hz: float | None = None
    robot: str = ""
    tag: str = ""
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    state_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    action_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cameras: tuple[KnownCamera, ...] = ()
    joint_topics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    controllers: tuple[KnownController, ...] = ()
    ranges: Mapping[str, JointRange] = field(default_factory=dict)
    description: str = ""
    unreadable: str = ""
    positions: Mapping[str, float] = field(default_factory=dict)
    remarks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    questions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def joint_topic(self, names: tuple[str, ...]) -> str | None:
        """The one JointState topic that has all `names`; None where none or several do."""
        found = [topic for topic, has in self.joint_topics.items() if names and {*names} <= {*has}]
        return found[0] if len(found) == 1 else None

    def controller(self, names: tuple[str, ...]) -> KnownController | None:
        """The one controller that moves all `names`; None where none or several do."""
        found = [c for c in self.controllers if names and {*names} <= {*c.names}]
        return found[0] if len(found) == 1 else None
