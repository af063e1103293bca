"""Where the end effector is by the positions of its joints: the forward kinematics of one chain.

The chain is data of the embodiment's file, as a URDF has it; knows no robot and no box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.schema import Place

Floats = NDArray[np.float64]

_AXIS_TOLERANCE = 1e-3  # of an axis' length, as typed by hand; it is then normalised
_MOST_M = 10.0  # from joint to joint: more is a typing error, or millimetres


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A fixed transform, `xyz_m` (3,) and `rotation` (3, 3), and the turn after it.

    `joint` turns about `axis`, (3,) of length 1 in the frame that the transform leads to; a link
    without one is fixed: a flange or a tool.
    """

    xyz_m: Floats
    rotation: Floats
    joint: str | None = None
    axis: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """The links from the base to the end effector; `columns` places their joints in the plan."""

    links: tuple[Link, ...]
    columns: tuple[int, ...]

    def pose(self, joints: Floats) -> tuple[Floats, Floats]:
        """(..., 3) m and (..., 3, 3) of the end effector in the base, from (..., J) rad.

        `joints` is in plan joint order. Product over the links of Trans(xyz) Rot(rpy)
        Rot(axis, q), as the URDF specification has it (wiki.ros.org/urdf/XML/joint). What is not
        finite among the chain's joints gives what is not finite.
        """
        shape = joints.shape[:-1]
        position, rotation = np.zeros((*shape, 3)), np.broadcast_to(np.eye(3), (*shape, 3, 3))
        columns = iter(self.columns)
        for link in self.links:
            position = position + rotation @ link.xyz_m
            rotation = rotation @ link.rotation
            if link.axis is not None:
                rotation = rotation @ turn(link.axis, joints[..., next(columns)])
        return position, rotation


def turn(axis: Floats, angle: Floats) -> Floats:
    """(..., 3, 3) rotation by `angle` (...) rad about `axis`, (3,) of length 1.

    Rodrigues' formula: I + sin(q) K + (1 - cos(q)) K^2, K the cross product matrix of the axis.
    """
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    angle = np.asarray(angle)[..., None, None]
    rotation: Floats = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return rotation


def from_rpy(roll: float, pitch: float, yaw: float) -> Floats:
    """(3, 3) of fixed-axis angles, rad: Rz(yaw) Ry(pitch) Rx(roll), as URDF's rpy."""
    x, y, z = np.eye(3)
    rotation: Floats = turn(z, np.array(yaw)) @ turn(y, np.array(pitch)) @ turn(x, np.array(roll))
    return rotation


def read_chain(place: Place, joint_names: Sequence[str]) -> Chain:
    """The chain of the file, whose joints are among `joint_names`, the plan's.

    Raises EmbodimentError for joints that are not commanded, named twice, or none at all, for a
    joint without an axis and an axis that has not length 1.
    """
    links = tuple(_link(item, joint_names) for item in place.items())
    names = [link.joint for link in links if link.joint is not None]
    if not names:
        raise place.problem("got fixed links only, expected at least one with a joint")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise place.problem(f"{', '.join(twice)} named twice, expected each joint once")
    return Chain(links, tuple(list(joint_names).index(name) for name in names))


def _link(place: Place, joint_names: Sequence[str]) -> Link:
    at = place.fields(("xyz",), ("rpy", "joint", "axis"))
    if ("joint" in at) != ("axis" in at):
        raise place.problem("got one of joint and axis, expected both, or none of a fixed link")
    xyz_m = _frozen(_vector(at["xyz"], _MOST_M))
    rpy = _vector(at["rpy"], 2 * np.pi) if "rpy" in at else np.zeros(3)
    rotation = _frozen(from_rpy(*rpy.tolist()))
    if "joint" not in at:
        return Link(xyz_m, rotation)
    axis = _vector(at["axis"], 1.0 + _AXIS_TOLERANCE)
    length = float(np.linalg.norm(axis))
    if abs(length - 1.0) > _AXIS_TOLERANCE:
        raise at["axis"].error("an axis of length 1")
    return Link(xyz_m, rotation, at["joint"].choice(*joint_names), _frozen(axis / length))


def _vector(place: Place, most: float) -> Floats:
    numbers = [item.number(-most, most) for item in place.items()]
    if len(numbers) != 3:
        raise place.error("three numbers")
    return np.array(numbers)


def _frozen(values: Floats) -> Floats:
    values.setflags(write=False)
    return values
