"""Reads the joints' limits out of a robot_description.

Refuses to know kinematics: names, ranges and velocities alone. Source of the rules: the URDF
specification of `joint` (wiki.ros.org/urdf/XML/joint): lower and upper are 0 where they are absent,
a continuous joint has neither.
"""

from __future__ import annotations

import math
from xml.etree import ElementTree

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.sidecar.known import JointRange

_MOVING = ("revolute", "prismatic", "continuous")
_UNEXPANDED = (
    "robot_description: a xacro that was not expanded ({}): publish what the program xacro makes "
    "of it"
)


def joint_ranges(urdf: str) -> dict[str, JointRange]:
    """Name -> limits of each joint that moves; a limit that is not stated is infinite.

    A velocity of 0 or less and a range without width are placeholders and state nothing. Raises
    SettingsError if `urdf` is no XML, or a xacro that was not expanded.
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
    """`root`, refused where macros or expressions of xacro are left in it."""
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
