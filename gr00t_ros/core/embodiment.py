"""One robot as GR00T knows it: tag, streams, action keys, outputs, limits, parsed from a mapping.

Refuses to know files and YAML: the caller reads them and passes the mapping and its name.
"""

from __future__ import annotations

from dataclasses import dataclass

from gr00t_ros.core.actions import ActionKey, Output
from gr00t_ros.core.limits import JointLimits
from gr00t_ros.core.streams import StateStream, VideoStream

__all__ = [
    "ActionKey",
    "Embodiment",
    "JointLimits",
    "Output",
    "StateStream",
    "VideoStream",
]


@dataclass(frozen=True, slots=True, eq=False)
class Embodiment:
    """A robot and its embodiment tag; tuples keep the order of the file.

    `rate_hz` is the rate of action steps and of history; `source` names the file in messages.
    """

    robot: str
    tag: str
    rate_hz: float
    language_key: str
    action_horizon: int
    video: tuple[VideoStream, ...]
    state: tuple[StateStream, ...]
    action: tuple[ActionKey, ...]
    outputs: tuple[Output, ...]
    limits: JointLimits
    source: str

    @property
    def step_ns(self) -> int:
        """Time between two action steps and two delta indices."""
        return round(1e9 / self.rate_hz)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """All commanded joints: the outputs' names one after the other (plan joint order)."""
        return tuple(name for output in self.outputs for name in output.names)
