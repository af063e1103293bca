"""The embodiment's limits against those of the robot's own description, where one is published.

A file that allows what the robot's URDF does not is refused before a start. Nothing here waits: the
description is latched and arrives on the executor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from rclpy.node import Node
from std_msgs.msg import String

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import SettingsError
from gr00t_ros.ros import qos
from gr00t_ros.ros.urdf import joint_ranges
from gr00t_ros.sidecar.known import JointRange

TOPIC = "/robot_description"
_ROUNDING = 1e-3  # files and descriptions state as few as three decimals


class DescribedLimits:
    """Listens to robot_description for as long as it exists."""

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        """Subscribe on `node`; nothing is known before its executor runs."""
        self._node, self._embodiment = node, embodiment
        self.ranges: dict[str, JointRange] | None = None
        """Joint that moves -> what the description allows; None where none was received."""
        self.unreadable = ""
        self._subscription = node.create_subscription(String, TOPIC, self._take, qos.STATUS)

    def problems(self) -> list[str]:
        """Every joint for which the file allows more than the robot's description."""
        return described_problems(self._embodiment, self.ranges or {})

    def missing(self) -> tuple[str, ...]:
        """Joints of the file that the description lacks or holds fixed; empty without one."""
        if self.ranges is None:
            return ()
        return tuple(name for name in self._embodiment.limits.names if name not in self.ranges)

    def unstated(self) -> tuple[str, ...]:
        """Joints of the file of which the description has no range or no velocity."""
        names = [name for name in self._embodiment.limits.names if name in (self.ranges or {})]
        ranges = self.ranges or {}
        return tuple(
            name
            for name in names
            if not math.isfinite(ranges[name].upper - ranges[name].lower + ranges[name].velocity)
        )

    def destroy(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _take(self, message: String) -> None:
        try:
            self.ranges, self.unreadable = joint_ranges(message.data), ""
        except SettingsError as error:
            self.ranges, self.unreadable = None, str(error)


def described_problems(embodiment: Embodiment, ranges: Mapping[str, JointRange]) -> list[str]:
    """A line for every joint for which the file allows more than `ranges`, the description's."""
    limits = embodiment.limits
    found = []
    for row, name in enumerate(limits.names):
        described = ranges.get(name)
        if described is None:
            continue
        low, high = float(limits.lower[row]), float(limits.upper[row])
        if low < described.lower - _ROUNDING or high > described.upper + _ROUNDING:
            found.append(
                f"limits.{name}.position: [{low:g}, {high:g}] in {embodiment.source} is "
                f"more than {TOPIC} allows, [{described.lower:g}, {described.upper:g}]; is it "
                "the file of this robot?"
            )
        if limits.velocity[row] > described.velocity * (1.0 + _ROUNDING):
            found.append(
                f"limits.{name}.velocity: {limits.velocity[row]:g} in "
                f"{embodiment.source} is more than {TOPIC} allows, "
                f"{described.velocity:g}; is it the file of this robot?"
            )
    return found
