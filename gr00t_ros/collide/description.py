"""A robot's links, joints and collision shapes from a URDF, and an SRDF's disabled pairs.

Shapes are as the URDF has them: boxes, spheres, cylinders, capsules, and meshes as their points; a
mesh counts as the convex hull of its points, which contains it. Source of the rules: the URDF
specification of `link`, `joint` and `mimic` (wiki.ros.org/urdf/XML).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.rotation import MOST_M, from_rpy
from gr00t_ros.robot.urdf.chain import MOVING, joints_by_child, linked, vector
from gr00t_ros.robot.urdf.text import Element, urdf_root

Floats = NDArray[np.float64]
Names = frozenset[str]

ReadMesh = Callable[[str, str], Floats]
"""(URL of a mesh, place for messages) -> its points (K, 3); raises SettingsError."""

_FREE: Final = ("floating", "planar")
"""Types of joints that leave open where their link is: the robot's base, or a loose part."""
_NUMBERS: Final = {
    "sphere": ("radius",),
    "cylinder": ("radius", "length"),
    "capsule": ("radius", "length"),
}


def _no_points() -> Floats:
    return np.zeros((0, 3))


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One convex shape at a place of its link (or of the base, for objects of a scene).

    kind: box, sphere, cylinder, capsule, mesh or plane. size_m: full edges of a box; radius, or
    radius and length along z (a capsule's without its ends). points: (K, 3) of a mesh, scaled; the
    shape is their convex hull. A plane's z points to its free side.
    """

    kind: str
    size_m: tuple[float, ...]
    xyz_m: Floats
    rotation: Floats
    points: Floats = field(default_factory=_no_points)

    @property
    def core(self) -> tuple[Floats, float]:
        """(K, 3) points in the shape's own frame, and a radius, m.

        The shape lies in the convex hull of balls of that radius around the points: exactly for
        all kinds but the cylinder, which is inside of it. A plane has no points.
        """
        if self.kind == "sphere":
            return np.zeros((1, 3)), self.size_m[0]
        if self.kind in ("cylinder", "capsule"):
            end = 0.5 * self.size_m[1]
            return np.array([[0.0, 0.0, -end], [0.0, 0.0, end]]), self.size_m[0]
        if self.kind == "box":
            signs = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3), axis=-1).reshape(-1, 3)
            return signs * np.array(self.size_m), 0.0
        return self.points, 0.0

    @property
    def placed_core(self) -> tuple[Floats, float]:
        """(K, 3) points and a radius, m: `core` in the frame that the shape's place is given in."""
        points, radius_m = self.core
        return self.xyz_m + points @ self.rotation.T, radius_m


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """The joint above a link, and its origin in the frame of the link before it.

    name: None where it is fixed. axis: (3,) of length 1. range: rad or m; where it has no limits,
    [-pi, pi] for a joint that turns, and infinite for one that slides. The position is scale * that
    of the joint `follows` + offset; a joint that mimics none follows itself.
    """

    name: str | None
    xyz_m: Floats
    rotation: Floats
    axis: Floats
    slides: bool = False
    range: tuple[float, float] = (0.0, 0.0)
    follows: str = ""
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """One link: its parent (None for the root), the joint above it, and its shapes."""

    name: str
    parent: str | None
    joint: Joint
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """A robot: its links by name, each after its parent. `where`: its name in messages.

    disabled: pairs of links that an SRDF disables, with the reason given there.
    """

    where: str
    links: Mapping[str, Link]
    disabled: Mapping[Names, str]

    @property
    def root(self) -> str:
        """The link that has no parent: the base that the robot moves from."""
        return next(iter(self.links))

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The joints that move on their own, in the order of the links."""
        above = [link.joint for link in self.links.values()]
        return tuple(one.name for one in above if one.name and one.follows == one.name)

    def ranges(self, names: Collection[str]) -> Floats:
        """(2, J) lower and upper positions of these joints, rad or m."""
        found = {link.joint.name: link.joint.range for link in self.links.values()}
        return np.asarray(np.array([found[name] for name in names]).reshape(-1, 2).T)

    def chain(self, name: str) -> tuple[str, ...]:
        """The links from the root to this one, both included."""
        found = [name]
        while (parent := self.links[found[-1]].parent) is not None:
            found.append(parent)
        return tuple(reversed(found))

    def moving(self, name: str) -> tuple[str, ...]:
        """The links of the chain to this one whose joint moves."""
        return tuple(one for one in self.chain(name) if self.links[one].joint.name is not None)

    def adjacent(self) -> frozenset[Names]:
        """The pairs of links with shapes that a joint connects, directly or through links without.

        Two links that hang from one link without shapes are not adjacent.
        """
        found = set()
        for link in self.links.values():
            parent = link.parent
            while parent is not None and not self.links[parent].shapes:
                parent = self.links[parent].parent
            if link.shapes and parent is not None:
                found.add(frozenset({link.name, parent}))
        return frozenset(found)

    @property
    def shapeless(self) -> tuple[str, ...]:
        """The links that move and have no collision shape: nothing checks them."""
        return tuple(
            name for name, link in self.links.items() if not link.shapes and self.moving(name)
        )

    def unknown(self, names: Collection[str]) -> list[str]:
        """Those of `names` that are no links of the robot."""
        return sorted(set(names) - set(self.links))

    def fixed_pose(self, name: str) -> tuple[Floats, Floats] | None:
        """(3,) m and (3, 3) of a link in the root; None if a joint between them moves."""
        if self.moving(name):
            return None
        at, axes = np.zeros(3), np.eye(3)
        for one in self.chain(name):
            joint = self.links[one].joint
            at, axes = at + axes @ joint.xyz_m, axes @ joint.rotation
        return at, axes


def read_description(
    text: str, where: str, read_mesh: ReadMesh, disabled: Mapping[Names, str] | None = None
) -> Description:
    """The robot of a URDF. disabled: of its SRDF (`disabled_pairs`).

    The robot begins at its base: below the floating or planar joint by which the base stands or
    drives in the world. Raises SettingsError where such a joint has shapes on both sides, for other
    joints that are neither fixed nor move about or along one axis, a shape with unusable numbers, a
    mesh that cannot be read, and links that form no tree.
    """
    root = urdf_root(text, where)
    above = joints_by_child(root, where)
    elements = {element.get("name", ""): element for element in root.findall("link")}
    roots = [name for name in elements if name not in above]
    if len(roots) != 1:
        raise SettingsError(
            f"{where}: got {len(roots)} links without a parent ({', '.join(roots[:5])}), "
            "expected one: the base"
        )
    children: dict[str, list[str]] = {}
    for child, joint in above.items():
        children.setdefault(linked(joint, "parent"), []).append(child)
    bases: dict[str, str] = {}  # of each link: the nearest link above that is free, or the root
    waiting = [roots[0]]
    while waiting:
        name = waiting.pop(0)
        if name not in elements:
            raise SettingsError(f"{where}: a joint names link {name!r:.60}, expected a link of it")
        over = above.get(name)
        free = over is None or over.get("type") in _FREE
        bases[name] = name if over is None or free else bases[linked(over, "parent")]
        waiting += children.get(name, [])
    lost = sorted(set(elements) - set(bases))
    if lost:
        raise SettingsError(
            f"{where}: links {', '.join(lost[:5])} do not hang from {roots[0]!r}, expected one tree"
        )
    base = _base(elements, bases, above, where)
    links = {
        name: Link(
            name,
            None if name == base else linked(above[name], "parent"),
            FIXED if name == base else _joint(above[name], where),
            tuple(
                _shape(element, f"{where}: link {name!r}", read_mesh)
                for element in elements[name].findall("collision")
            ),
        )
        for name in bases
        if bases[name] == base
    }
    return Description(where, _with_mimics(links, where), disabled or {})


def _base(
    elements: Mapping[str, Element],
    bases: Mapping[str, str],
    above: Mapping[str, Element],
    where: str,
) -> str:
    """The link that the checked part of the robot begins at: all links with shapes hang from it."""
    shaped = {bases[name]: name for name in bases if elements[name].find("collision") is not None}
    if len(shaped) < 2:
        moving = [bases[name] for name in above if above[name].get("type") in MOVING]
        return next(iter([*shaped, *moving, *bases]))
    first, loose = sorted(list(shaped)[:2], key=lambda base: base in above)  # the root has no joint
    joint = above[loose]
    raise SettingsError(
        f"{where}: joint {joint.get('name')!r} is {joint.get('type')}, and both {shaped[first]!r} "
        f"and {shaped[loose]!r}, on its two sides, have collision shapes: where they are against "
        "each other is not known. Expected shapes on one side: put what stands around the robot "
        "into the scene file"
    )


def disabled_pairs(text: str, where: str) -> dict[Names, str]:
    """The pairs of links that an SRDF disables, each with its reason as the file has it."""
    found: dict[Names, str] = {}
    for element in urdf_root(text, where).findall("disable_collisions"):
        pair = frozenset({element.get("link1", ""), element.get("link2", "")})
        if len(pair) != 2 or "" in pair:
            raise SettingsError(
                f"{where}: disable_collisions of {sorted(pair)}, expected two links: link1, link2"
            )
        found[pair] = element.get("reason", "no reason given")
    return found


FIXED: Final = Joint(None, np.zeros(3), np.eye(3), np.array([0.0, 0.0, 1.0]))


def _with_mimics(links: Mapping[str, Link], where: str) -> dict[str, Link]:
    """The links, where each joint that mimics follows a joint that moves on its own."""
    joints = {link.joint.name: link.joint for link in links.values() if link.joint.name}
    return {
        name: link
        if link.joint.name is None or link.joint.follows == link.joint.name
        else replace(link, joint=_following(link.joint, joints, where))
        for name, link in links.items()
    }


def _following(joint: Joint, joints: Mapping[str, Joint], where: str) -> Joint:
    """A joint that mimics, on the joint at the end of its chain of mimics.

    Its range covers what that joint makes of it.
    """
    scale, offset, follows, passed = joint.scale, joint.offset, joint.follows, {joint.name}
    while follows not in joints or joints[follows].follows != follows:
        if follows not in joints or follows in passed:
            raise SettingsError(
                f"{where}: joint {joint.name!r} mimics in the end {follows!r}, expected a joint "
                "that moves and does not follow it in turn"
            )
        passed.add(follows)
        other = joints[follows]
        scale, offset, follows = scale * other.scale, offset + scale * other.offset, other.follows
    ends = [scale * end + offset if scale else offset for end in joints[follows].range]
    reached = min(*ends, joint.range[0]), max(*ends, joint.range[1])
    return replace(joint, follows=follows, scale=scale, offset=offset, range=reached)


def _origin(element: Element, place: str) -> tuple[Floats, Floats]:
    origin = element.find("origin")
    xyz_m = vector(origin, "xyz", (0.0, 0.0, 0.0), MOST_M, place)
    rpy = vector(origin, "rpy", (0.0, 0.0, 0.0), 4 * math.pi, place)
    return xyz_m, from_rpy(*rpy.tolist())


def _joint(element: Element, where: str) -> Joint:
    name, kind = element.get("name", ""), element.get("type", "")
    place = f"{where}: joint {name!r}"
    xyz_m, rotation = _origin(element, place)
    if kind == "fixed":
        return Joint(None, xyz_m, rotation, FIXED.axis)
    if kind not in MOVING or not name:
        raise SettingsError(
            f"{place} is of type {kind!r}, expected a name and a type: fixed, {', '.join(MOVING)}"
        )
    axis = vector(element.find("axis"), "xyz", (1.0, 0.0, 0.0), 1e6, place)
    length = float(np.linalg.norm(axis))
    if length < 1e-6:
        raise SettingsError(f"{place}: axis {axis.tolist()}, expected a direction")
    mimic = element.find("mimic")
    follows, scale, offset = name, 1.0, 0.0
    if mimic is not None:
        follows = mimic.get("joint", "")
        scale = _number(mimic, "multiplier", place, 1.0)
        offset = _number(mimic, "offset", place, 0.0)
    return Joint(
        *(name, xyz_m, rotation, axis / length, kind == "prismatic"),
        *(_range(element, kind, place), follows, scale, offset),
    )


def _range(element: Element, kind: str, place: str) -> tuple[float, float]:
    limit = element.find("limit")
    if kind == "continuous" or limit is None:
        return (-math.inf, math.inf) if kind == "prismatic" else (-math.pi, math.pi)
    lower = _number(limit, "lower", place, 0.0)
    upper = _number(limit, "upper", place, 0.0)
    if lower > upper:
        raise SettingsError(f"{place}: limit from {lower:g} to {upper:g}, expected lower <= upper")
    return lower, upper


def _number(element: Element, name: str, place: str, default: float | None = None) -> float:
    text = element.get(name)
    if text is None and default is not None:
        return default
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not abs(value) <= 1e6:
        raise SettingsError(f"{place}: {element.tag} {name}={text!r:.40}, expected a finite number")
    return value


def _shape(element: Element, place: str, read_mesh: ReadMesh) -> Shape:
    xyz_m, rotation = _origin(element, place)
    geometry = element.find("geometry")
    one = None if geometry is None else next(iter(geometry), None)
    kind = "none" if one is None else one.tag
    numbers: tuple[float, ...]
    if one is not None and kind in _NUMBERS:
        numbers = tuple(_number(one, name, f"{place}: {kind}") for name in _NUMBERS[kind])
    elif one is not None and kind == "box":
        numbers = tuple(vector(one, "size", (0.0, 0.0, 0.0), MOST_M, place).tolist())
    elif one is not None and kind == "mesh":
        scale = vector(one, "scale", (1.0, 1.0, 1.0), 1e6, place)
        if not np.abs(scale).min() > 0.0:
            raise SettingsError(f"{place}: mesh scale {scale.tolist()}, expected no 0")
        points = read_mesh(one.get("filename", ""), place) * scale
        return Shape(kind, (), xyz_m, rotation, points)
    else:
        raise SettingsError(
            f"{place}: collision geometry {kind!r}, expected box, sphere, cylinder, capsule or mesh"
        )
    if not 0.0 < min(numbers) <= max(numbers) <= MOST_M:
        raise SettingsError(
            f"{place}: {kind} of {', '.join(f'{n:g}' for n in numbers)} m, expected sizes above 0 "
            f"and up to {MOST_M:g} m"
        )
    return Shape(kind, numbers, xyz_m, rotation)
