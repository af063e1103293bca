"""Compares the embodiment's limits with those of robot_description, if it is published.

Source of the rules: the URDF specification of `joint` (wiki.ros.org/urdf/XML/joint): lower and
upper are 0 if absent; a continuous joint has neither. The description is latched and arrives on the
executor thread; nothing here waits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from xml.etree import ElementTree

from rclpy.node import Node
from std_msgs.msg import String

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.known import JointRange
from gr00t_ros.ros import qos

_MOVING = ("revolute", "prismatic", "continuous")
_UNEXPANDED = (
    "robot_description: a xacro that was not expanded ({}): publish what the program xacro makes "
    "of it"
)


def joint_ranges(urdf: str) -> dict[str, JointRange]:
    """Name -> limits of each movable joint; a limit that is not stated is infinite.

    A velocity of 0 or less and an empty range are placeholders and count as not stated. Raises
    SettingsError if `urdf` is not XML, or is a xacro that was not expanded.
    """
    try:
        root = ElementTree.fromstring(urdf)
    except ElementTree.ParseError as error:
        if "<xacro:" in urdf:
            raise SettingsError(_UNEXPANDED.format("it has <xacro: elements")) from None
        raise SettingsError(f"robot_description: no XML: {error}") from error
    return {
        joint.get("name", ""): _limits(joint, joint.find("limit"))
        for joint in _expanded(root).iter("joint")
        if joint.get("type") in _MOVING
    }


def _expanded(root: ElementTree.Element) -> ElementTree.Element:
    """`root`; SettingsError if macros or expressions of xacro are left in it."""
    for element in root.iter():
        if "xacro" in element.tag.rpartition("}")[0]:
            name = element.tag.rpartition("}")[2]
            raise SettingsError(_UNEXPANDED.format(f"it has an element xacro:{name}"))
        if element.tag in ("joint", "limit"):
            for name, value in element.attrib.items():
                if "${" in value or "$(" in value:
                    raise SettingsError(_UNEXPANDED.format(f'{element.tag} {name}="{value}"'))
    return root


def _limits(joint: ElementTree.Element, limit: ElementTree.Element | None) -> JointRange:
    stated = {} if limit is None else limit.attrib
    lower, upper = (_number(stated.get(name, "0")) for name in ("lower", "upper"))
    if joint.get("type") == "continuous" or not lower < upper:  # false for NaN too
        lower, upper = -math.inf, math.inf
    velocity = _number(stated.get("velocity", "0"))
    return JointRange(lower, upper, velocity if velocity > 0.0 else math.inf)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


TOPIC = "/robot_description"
_ROUNDING = 1e-3  # files and descriptions may have only three decimals


class DescribedLimits:
    """Subscribes to robot_description until `destroy`."""

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        """Subscribe on `node`; the description arrives when its executor runs."""
        self._node, self._embodiment = node, embodiment
        self.ranges: dict[str, JointRange] | None = None
        """Movable joint -> its limits in the description; None if no description was received."""
        self.unreadable = ""
        self._subscription = node.create_subscription(String, TOPIC, self._take, qos.STATUS)

    def problems(self) -> list[str]:
        """One text for each joint for which the file allows more than the description."""
        return described_problems(self._embodiment, self.ranges or {})

    def missing(self) -> tuple[str, ...]:
        """Joints of the file that the description lacks or has as fixed; empty without one."""
        if self.ranges is None:
            return ()
        return tuple(name for name in self._embodiment.limits.names if name not in self.ranges)

    def unstated(self) -> tuple[str, ...]:
        """Joints of the file for which the description states no range or no velocity."""
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
    """One text for each joint for which the file allows more than `ranges` (the description)."""
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
