"""Compares the embodiment's limits and chains with robot_description, if it is published.

Source of the rules: the URDF specification of `joint` (wiki.ros.org/urdf/XML/joint): lower and
upper are 0 if absent; a continuous joint has neither. The description is latched and arrives on the
executor thread; nothing here waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from rclpy.node import Node
from std_msgs.msg import String

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.described import (
    described,
    not_described,
    unknown_chains,
    unreadable,
    while_active,
)
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.known import JointRange
from gr00t_ros.robot.urdf.chain import MOVING
from gr00t_ros.robot.urdf.text import Element, urdf_root
from gr00t_ros.ros import qos

DESCRIPTION = "/robot_description"
_ROUNDING = 1e-3  # files and descriptions may have only three decimals


def joint_ranges(urdf: str) -> dict[str, JointRange]:
    """Name -> limits of each movable joint; a limit that is not stated is infinite.

    A velocity of 0 or less and an empty range are placeholders and count as not stated. Raises
    SettingsError if `urdf` cannot be read, is a xacro that was not expanded, or has a joint twice.
    """
    return _ranges(urdf_root(urdf, DESCRIPTION))


def not_compared(why: str) -> str:
    """The problem that a description is there and cannot be read for the reason `why`."""
    return (
        f"{why}; so the file's limits cannot be compared with the robot's: publish a description "
        "that can be read, or none"
    )


def _ranges(root: Element) -> dict[str, JointRange]:
    return {
        joint.get("name", ""): _limits(joint, joint.find("limit"))
        for joint in root.findall("joint")
        if joint.get("type") in MOVING
    }


def _limits(joint: Element, limit: Element | None) -> JointRange:
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


class DescribedLimits:
    """Subscribes to robot_description until `destroy`.

    The chains of the embodiment's kinematics come from the description. An active session keeps
    the chains that it began with; a new description that contradicts a chain removes it.
    """

    def __init__(
        self,
        node: Node,
        embodiment: Embodiment,
        use: Callable[[Embodiment], None] = lambda _: None,
    ) -> None:
        """Subscribe on `node`; the description arrives when its executor runs.

        `use` is called on the executor thread with the embodiment whenever its chains change.
        """
        self._node, self._embodiment, self._use = node, embodiment, use
        self.robot = embodiment
        """The embodiment with the chains that are in use."""
        self.chain_problems = unknown_chains(embodiment)
        """Problems of the chain of the workspace; those of a stream are in the stream's report."""
        self._newest, self._active = embodiment, False
        self.ranges: dict[str, JointRange] | None = None
        """Movable joint -> its limits in the description; None if no description was received."""
        self.unreadable = ""
        """Why the newest description cannot be read; empty if it can, or if there is none."""
        self.root = ""
        """The tag of the root of the newest description that was read: robot, or sdf of an SDF."""
        self._subscription = node.create_subscription(String, DESCRIPTION, self._take, qos.STATUS)

    def problems(self) -> list[str]:
        """One text for each joint for which the file allows more than the description.

        A description that is there and cannot be read is a problem: it may state less than the
        file. Without any description there is nothing to contradict.
        """
        if self.unreadable:
            return [not_compared(self.unreadable)]
        return described_problems(self._embodiment, self.ranges or {})

    def missing(self) -> tuple[str, ...]:
        """Joints of the file that are not in the description or fixed there; empty without one."""
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

    def begin(self) -> Embodiment:
        """Keep the present chains for an active session; returns the embodiment with them."""
        self._active = True
        return self.robot

    def end(self) -> None:
        """Use the chains of the newest description now, and of each later one on arrival."""
        self._active = False
        self._take_over(self._newest)

    def destroy(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _take(self, message: String) -> None:
        try:
            root = urdf_root(message.data, DESCRIPTION)
        except SettingsError as error:
            self.ranges, self.unreadable = None, str(error)
            self._newest = unreadable(self._newest, str(error))
            if self.chain_problems:
                self.chain_problems = (f"workspace: {error}",)
            if not self._active:
                self._take_over(self._newest)
            return
        self.ranges, self.unreadable, self.root = _ranges(root), "", root.tag
        self._newest, self.chain_problems = described(self._embodiment, root, DESCRIPTION)
        newest = self._newest
        self._take_over(while_active(self.robot, newest, DESCRIPTION) if self._active else newest)

    def _take_over(self, robot: Embodiment) -> None:
        if robot is not self.robot:
            self.robot = robot
            self._use(robot)


def chain_problems(embodiment: Embodiment, urdf: str) -> list[str]:
    """One text for each chain of the file that is unknown or contradicts the description.

    `urdf`: the text of the description, empty if none is published. Raises SettingsError if the
    text is not a URDF.
    """
    robot, found = embodiment, unknown_chains(embodiment)
    if urdf:
        robot, found = described(embodiment, urdf_root(urdf, DESCRIPTION), DESCRIPTION)
    lines = [
        f"state.{one.key}: {one.chain_problem or not_described(one.frame or '', one.link)}"
        for one in robot.state
        if one.source == "kinematics" and one.chain is None
    ]
    return [*lines, *found]


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
                f"more than {DESCRIPTION} allows, [{described.lower:g}, {described.upper:g}]; is "
                "it the file of this robot?"
            )
        if limits.velocity[row] > described.velocity * (1.0 + _ROUNDING):
            found.append(
                f"limits.{name}.velocity: {limits.velocity[row]:g} in "
                f"{embodiment.source} is more than {DESCRIPTION} allows, "
                f"{described.velocity:g}; is it the file of this robot?"
            )
    return found
