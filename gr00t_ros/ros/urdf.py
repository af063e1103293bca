"""Reads the joints' limits out of a robot_description.

Refuses to know kinematics: names, ranges and velocities alone.
"""

from __future__ import annotations

import math
from xml.etree import ElementTree

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.sidecar.known import JointRange


def joint_ranges(urdf: str) -> dict[str, JointRange]:
    """Name -> limits of each revolute and prismatic joint that states all three, and they differ.

    Raises SettingsError if `urdf` is no XML.
    """
    try:
        root = ElementTree.fromstring(urdf)
    except ElementTree.ParseError as error:
        raise SettingsError(f"robot_description: no XML: {error}") from error
    found = {}
    for joint in root.iter("joint"):
        limit = joint.find("limit")
        if limit is not None and joint.get("type") in ("revolute", "prismatic"):
            values = [_number(limit.get(name)) for name in ("lower", "upper", "velocity")]
            lower, upper, velocity = values
            if lower < upper and 0.0 < velocity < math.inf:  # false for NaN too
                found[joint.get("name", "")] = JointRange(lower, upper, velocity)
    return found


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
