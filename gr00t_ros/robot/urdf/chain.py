"""The chain of joints between two links of a URDF.

A URDF may come from anybody, so its numbers must be finite and small. Source of the rules: the URDF
specification of `joint` (wiki.ros.org/urdf/XML/joint).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.data_file import MAX_DIGITS
from gr00t_ros.robot.rotation import MOST_M, Chain, ChainLink, Floats, from_rpy
from gr00t_ros.robot.urdf.text import Element

_MAX_RPY_RAD: Final = 4 * math.pi  # a larger value is in degrees
MOVING: Final = ("revolute", "continuous", "prismatic")
"""Types of joints that move."""


def has_links(root: Element) -> bool:
    """Whether the description has a link; without links it states limits but no kinematics."""
    return root.find("link") is not None


def urdf_chain(root: Element, base: str, link: str, where: str) -> Chain:
    """The chain from link `base` to link `link`, with joint values in the order of the chain.

    The joints may be fixed, revolute, continuous or prismatic. Raises SettingsError for a link that
    does not exist (with the most similar names), a `link` that is not below `base`, a joint of
    another type, a joint that mimics another, and a joint with unusable numbers.
    """
    links = [element.get("name", "") for element in root.findall("link")]
    for name in (base, link):
        if name not in links:
            raise SettingsError(f"{where}: has no link {name!r}{_near(name, links)}")
    if base == link:
        raise SettingsError(f"{where}: base and link are both {base!r}, expected two links")
    above = joints_by_child(root, where)
    found: list[Element] = []
    at = link
    while at != base:
        joint = above.get(at)
        if joint is None or len(found) > len(above):
            raise SettingsError(
                f"{where}: link {link!r} does not hang from {base!r}: above it are "
                f"{_listed([linked(joint, 'parent') for joint in found]) or 'no links'}; take one "
                "of these as the base"
            )
        found.append(joint)
        at = linked(joint, "parent")
    parts = tuple(_chain_link(joint, where) for joint in reversed(found))
    names = [part.joint for part in parts if part.joint is not None]
    if not names:
        raise SettingsError(
            f"{where}: only fixed joints between {base!r} and {link!r}, expected one that moves"
        )
    return Chain(parts, ()).among(names)


def joints_by_child(root: Element, where: str) -> Mapping[str, Element]:
    """The joint above each link; a link has one parent."""
    found: dict[str, Element] = {}
    for joint in root.findall("joint"):
        child = linked(joint, "child")
        if child in found:
            raise SettingsError(
                f"{where}: link {child!r} is the child of two joints, {found[child].get('name')!r} "
                f"and {joint.get('name')!r}, expected one"
            )
        found[child] = joint
    return found


def linked(joint: Element, side: str) -> str:
    """The link that a joint names as its `side` (parent or child); empty if it names none."""
    element = joint.find(side)
    return "" if element is None else element.get("link", "")


def _chain_link(joint: Element, where: str) -> ChainLink:
    name, kind = joint.get("name", ""), joint.get("type", "")
    place = f"{where}: joint {name!r}"
    origin = joint.find("origin")
    xyz_m = vector(origin, "xyz", (0.0, 0.0, 0.0), MOST_M, place)
    rpy = vector(origin, "rpy", (0.0, 0.0, 0.0), _MAX_RPY_RAD, place)
    rotation = from_rpy(*rpy.tolist())
    rotation.setflags(write=False)
    if kind == "fixed":
        return ChainLink(xyz_m, rotation)
    if kind not in MOVING:
        raise SettingsError(
            f"{place} is of type {kind!r}, expected fixed, {', '.join(MOVING)}: choose another "
            "base or link"
        )
    mimic = joint.find("mimic")
    if mimic is not None:
        raise SettingsError(
            f"{place} mimics {mimic.get('joint', '')!r}, which a chain cannot follow: choose a "
            "link before it"
        )
    if not name:
        raise SettingsError(f"{place}: a joint that moves has no name")
    axis = vector(joint.find("axis"), "xyz", (1.0, 0.0, 0.0), 1e6, place)
    length = float(np.linalg.norm(axis))
    if length < 1e-6:
        raise SettingsError(f"{place}: axis {axis.tolist()} has no direction")
    axis = axis / length
    axis.setflags(write=False)
    return ChainLink(xyz_m, rotation, name, axis, slides=kind == "prismatic")


def vector(
    element: Element | None, name: str, default: Sequence[float], most: float, place: str
) -> Floats:
    """(3,) numbers of an attribute, read-only; `default` if the attribute is absent."""
    text = None if element is None else element.get(name)
    numbers = list(default) if text is None else [_number(word) for word in text.split()[:4]]
    if len(numbers) != 3 or not all(abs(number) <= most for number in numbers):
        tag = "" if element is None else element.tag
        raise SettingsError(
            f"{place}: {tag} {name}={text!r:.80}, expected three numbers of at most {most:g} "
            "(m, rad)"
        )
    found = np.array(numbers)
    found.setflags(write=False)
    return found


def _number(text: str) -> float:
    """`text` as a number; NaN if it is not one."""
    try:
        return float(text) if len(text) <= MAX_DIGITS else math.nan
    except ValueError:
        return math.nan


def _near(name: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(name, names, 3)
    if near:
        return f", the nearest are {', '.join(near)}: name base and link as it has them"
    return f"; it has {_listed(list(names)) or 'none'}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name[:60] for name in names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
