"""Tools: what moves rigidly with end effectors that are commanded by poses, and their ways.

Where a controller owns the joints, only the pose of the end effector is known in advance. The tool
is then checked as a body that can be anywhere: all links that are rigidly connected with the
commanded link, all links behind them (a gripper), and what these carry. Six joints put it there:
three that slide and three that turn. Links that are fixed to the robot's base stand where they are.
All other links, which is the rest of the arm, are left out: nothing here knows where they will be.

Between two poses of a window the streamer moves the commanded link along a straight line, and turns
it about one axis that stands still, both at an even rate. Let the link's origin move by v dt and
the link turn by w dt. A point of the tool at the distance c from that origin moves by
|v + w x c| dt at most, so by no more than (|v| + |w| |c|) dt. Let r be the largest distance of the
tool's points from the origin. Over a way on which the origin travels s metres and the link turns by
a radians in total, no point moves by more than s + r a. The distance of the tool and a body that
stands still changes by at most as much; for two tools that move, by at most the sum for both.

The reach of the three turning joints that hold a tool contains r. The first one is the
largest distance of its points from the common origin of the three, and contains the ranges of the
joints behind it (reach.py). Therefore it bounds a rotation about any axis through that origin, and
the postures of the six joints are never compared with each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.collide.description import FIXED, Description, Joint, Link
from gr00t_ros.collide.scene import Scene
from gr00t_ros.collide.window import SUBDIVISIONS, CheckedPath, WindowCheck
from gr00t_ros.errors import SceneError, SettingsError
from gr00t_ros.motion.clearance import Ahead
from gr00t_ros.robot.rotation import Pose, axis_angle_from_matrix, turn

Floats = NDArray[np.float64]

COLUMNS: Final = 6
"""Columns of each tool in a posture: x, y, z in m, then turns about z, y, x in rad."""
_MOVES: Final = ("x", "y", "z", "yaw", "pitch", "roll")
_AXES: Final = np.eye(3)[[0, 1, 2, 2, 1, 0]]
SLIDE, TURN = 0, 3
"""The columns whose reach bounds any translation, and any rotation, of the tool."""

_BASE: Final = "gr00t_base"  # without a shape, so that nothing is adjacent through it
_FAR_M: Final = 1e3
_MOST_RAD: Final = math.pi  # half of a range in which a joint of a gripper may be anywhere


class ToolLink(NamedTuple):
    """The output that commands it, its link, and the link in whose frame the poses are."""

    output: str
    link: str
    frame: str


@dataclass(frozen=True, slots=True, eq=False)
class Tools:
    """The tools of a robot, and a description in which they can be anywhere.

    robot: what they were made from. frames: for each tool the (3,) m and (3, 3) of the frame in
    which its poses are given, in the robot's base. links: of the robot, by tool. description: the
    tools on their six joints, and the links that are fixed to the base.
    """

    robot: Description
    tools: tuple[ToolLink, ...]
    frames: tuple[tuple[Floats, Floats], ...]
    links: tuple[frozenset[str], ...]
    description: Description

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The joints that put the tools in their places, in the order of a posture."""
        return tuple(_joint_name(tool, move) for tool in self.tools for move in _MOVES)

    @property
    def columns(self) -> list[int]:
        """The columns of the reach that bound translation and rotation: two for each tool."""
        return [COLUMNS * i + column for i in range(len(self.tools)) for column in (SLIDE, TURN)]

    def posture(self, poses: Mapping[str, Pose]) -> Floats:
        """(6 T,) where the tools are while their outputs command these poses."""
        rows = [
            self.places(index, pose.position[None], pose.rotation[None])[0]
            for index, pose in enumerate(poses[tool.output] for tool in self.tools)
        ]
        return np.concatenate(rows)

    def places(self, index: int, position: Floats, rotation: Floats) -> Floats:
        """(G, 6) columns of one tool for poses (G, 3) m and (G, 3, 3) in its own frame."""
        at, axes = self.frames[index]
        return np.hstack([at + position @ axes.T, _turns(axes @ rotation)])

    def room(self) -> dict[str, tuple[float, float]]:
        """The joints behind the tools, each anywhere in its range: nothing says where it is."""
        own = set(self.joint_names)
        joints = {one.joint.name: one.joint for one in self.description.links.values()}
        return {n: joints[n].range for n in self.description.joint_names if n not in own}

    def refuse_others(self, joint_names: Sequence[str]) -> None:
        """Raise SettingsError for commanded joints that are not behind a tool.

        Those behind a tool need no check of their own: they count as anywhere in their range.
        """
        behind = self.room()
        others = [name for name in joint_names if name not in behind]
        if others:
            raise SettingsError(
                f"joints {', '.join(others)} are commanded beside the poses of "
                f"{_outputs(self.tools)}, and are not behind its link in {self.robot.where}: "
                "expected an embodiment file that commands the arm by joints alone (all of it is "
                "checked), or by poses with no joints but those of the tool (the tool is checked)"
            )

    def scene(self, scene: Scene) -> Scene:
        """The part of the scene that concerns the tools and the base.

        Raises SceneError for names that are no links of the robot, and for a carried thing that
        no tool carries: its way is not known.
        """
        scene.check_links(self.robot)
        inside = frozenset[str]().union(*self.links)
        for one in scene.carried:
            if one.link not in inside:
                raise SceneError(
                    f"{scene.where}: attached.{one.name}: the way of link {one.link} is not known, "
                    f"because {_outputs(self.tools)} is commanded by poses: expected a link of the "
                    f"tool: {', '.join(sorted(inside))}",
                    f"attached.{one.name}",
                )
        known = set(self.description.links)
        names = known | {one.name for one in scene.carried}
        return replace(
            scene,
            padding_m={link: m for link, m in scene.padding_m.items() if link in known},
            carried=tuple(replace(one, touch=one.touch & known) for one in scene.carried),
            solids=tuple(
                replace(one, links=None if one.links is None else one.links & known)
                for one in scene.solids
            ),
            contacts={pair: c for pair, c in scene.contacts.items() if pair[0] in names},
            always_touching={
                pair: text for pair, text in scene.always_touching.items() if pair <= known
            },
        )


def tools_of(robot: Description, tools: Sequence[ToolLink]) -> Tools:
    """The tools of these links.

    Raises SettingsError for a link or frame that the robot does not have, a frame that moves, a
    link that does not move, two outputs that command one body, and a gripper's joint that may be
    anywhere on more than a whole turn.
    """
    frames = tuple(_frame(robot, tool) for tool in tools)
    tops = [_top(robot, tool) for tool in tools]
    links = tuple(_behind(robot, top) for top in tops)
    for index, own in enumerate(links):
        for other in range(index):
            if own & links[other]:
                raise SettingsError(
                    f"outputs {tools[other].output} and {tools[index].output} command links of one "
                    "body, expected end effectors that move apart"
                )
    found = {_BASE: Link(_BASE, None, FIXED, ())}
    for name, link in robot.links.items():
        if not robot.moving(name):
            found[name] = replace(link, parent=link.parent or _BASE)
    for tool, top, own in zip(tools, tops, links, strict=True):
        found |= {link.name: link for link in _on_joints(robot, tool, top)}
        found |= {name: link for name, link in robot.links.items() if name in own - {top}}
        _check_room(robot, tool, own - {top})
    adjacent = {pair: "adjacent" for pair in robot.adjacent()}
    disabled = {p: why for p, why in (adjacent | dict(robot.disabled)).items() if p <= set(found)}
    description = Description(robot.where, found, disabled)
    return Tools(robot, tuple(tools), frames, links, description)


def _frame(robot: Description, tool: ToolLink) -> tuple[Floats, Floats]:
    if tool.frame not in robot.links:
        raise SettingsError(
            f"output {tool.output}: frame {tool.frame!r} is no link of {robot.where}, expected one "
            f"that is fixed to {robot.root!r}"
        )
    frame = robot.fixed_pose(tool.frame)
    if frame is None:
        raise SettingsError(
            f"output {tool.output}: frame {tool.frame!r} moves against the base, expected a link "
            f"that is fixed to {robot.root!r}"
        )
    return frame


def _top(robot: Description, tool: ToolLink) -> str:
    """The first link of the body that the commanded link is a part of: its joint moves."""
    if not tool.link:
        raise SettingsError(
            f"output {tool.output}: it is not known which link has the commanded pose, because the "
            "state key that measures it names none; write link into the output"
        )
    if tool.link not in robot.links:
        raise SettingsError(
            f"output {tool.output}: {tool.link!r} is no link of {robot.where}, expected the link "
            f"whose pose is commanded: write link into the output, one of {', '.join(robot.links)}"
        )
    moving = robot.moving(tool.link)
    if not moving:
        raise SettingsError(
            f"output {tool.output}: link {tool.link!r} is fixed to the base {robot.root!r}, "
            "expected one that moves"
        )
    return moving[-1]


def _behind(robot: Description, top: str) -> frozenset[str]:
    """A link and all links that hang from it."""
    found = {top}
    for name, link in robot.links.items():  # each after its parent
        if link.parent in found:
            found.add(name)
    return frozenset(found)


def _on_joints(robot: Description, tool: ToolLink, top: str) -> list[Link]:
    """Six links without shapes that put the commanded link in its place, then the top link."""
    parent, found = _BASE, []
    for move, axis in zip(_MOVES, _AXES, strict=True):
        name, slides = _joint_name(tool, move), move in _MOVES[:TURN]
        reach = _FAR_M if slides else math.pi
        joint = Joint(name, np.zeros(3), np.eye(3), axis, slides, (-reach, reach), name)
        found.append(Link(name, parent, joint, ()))
        parent = name
    at, axes = np.zeros(3), np.eye(3)
    chain = robot.chain(tool.link)
    for name in chain[chain.index(top) + 1 :]:
        joint = robot.links[name].joint
        at, axes = at + axes @ joint.xyz_m, axes @ joint.rotation
    joint = Joint(None, -axes.T @ at, axes.T, FIXED.axis)
    return [*found, replace(robot.links[top], parent=parent, joint=joint)]


def _check_room(robot: Description, tool: ToolLink, behind: frozenset[str]) -> None:
    for name in sorted(behind):
        joint = robot.links[name].joint
        if joint.name is None:
            continue
        lower, upper = joint.range
        if not joint.slides and upper - lower >= 2.0 * _MOST_RAD:
            raise SettingsError(
                f"output {tool.output}: joint {joint.name} behind link {tool.link} has no limits, "
                "expected a joint with limits: the tool is checked with it anywhere in its range"
            )
        if joint.follows not in {robot.links[one].joint.name for one in behind}:
            raise SettingsError(
                f"output {tool.output}: joint {joint.name} behind link {tool.link} mimics "
                f"{joint.follows}, expected a joint behind that link as well"
            )


def _turns(rotation: Floats) -> Floats:
    """(G, 3) angles about z, y and x whose product Rz Ry Rx is each rotation (G, 3, 3).

    The turn about z is taken out before the others are read. So it may be any angle where the
    rotation does not fix it, at a quarter turn about y.
    """
    yaw = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    c, s = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    first = c * rotation[:, 0] + s * rotation[:, 1]
    second = c * rotation[:, 1] - s * rotation[:, 0]
    pitch = np.arctan2(-rotation[:, 2, 0], first[:, 0])
    roll = np.arctan2(-second[:, 2], second[:, 1])
    return np.stack([yaw, pitch, roll], axis=1)


def _joint_name(tool: ToolLink, move: str) -> str:
    return f"gr00t_{tool.output}_{move}"


def _outputs(tools: Sequence[ToolLink]) -> str:
    return ("output " if len(tools) == 1 else "outputs ") + ", ".join(t.output for t in tools)


class ToolCheck:
    """Checks the ways of all tools together. `window`: the check of their pairs."""

    def __init__(self, window: WindowCheck, tools: Tools) -> None:
        self.window, self.tools = window, tools

    @property
    def scene(self) -> int:
        """A number that changes whenever what a check proved may no longer hold."""
        return self.window.scene

    def begin(self, poses: Mapping[str, Pose]) -> None:
        """Begin a tick; the tools are commanded to these poses, by their outputs."""
        self.window.begin(self.tools.posture(poses))

    def look(
        self, ways: Mapping[str, Sequence[Pose]], knot_s: float, reserve: bool = False
    ) -> Ahead:
        """Whether all ways are clear; a tool stays at the end of a way that is shorter."""
        return self.window.look_along(path_of_poses(self.tools, ways, knot_s), reserve)


def path_of_poses(tools: Tools, ways: Mapping[str, Sequence[Pose]], knot_s: float) -> CheckedPath:
    """The path of all tools along their ways, which begin together.

    ways: by output, poses every knot_s. Travel and speed have two columns for each tool: m and rad,
    for the two columns of `Tools.columns`. Raises RotationError where a pose has no rotation.
    """
    knots = max(2, *(len(way) for way in ways.values()))
    parts = [_tool(tools, i, ways[one.output], knots) for i, one in enumerate(tools.tools)]
    places, steps = zip(*parts, strict=True)
    positions = np.concatenate(places, axis=1)
    even = np.repeat(np.concatenate(steps, axis=1), SUBDIVISIONS, axis=0)
    travel = np.zeros((len(positions), even.shape[1]))
    np.cumsum(even / SUBDIVISIONS, axis=0, out=travel[1:])
    times_s = knot_s / SUBDIVISIONS * np.arange(len(positions), dtype=np.float64)
    return CheckedPath(times_s, positions, travel, even / knot_s)


def _tool(tools: Tools, index: int, way: Sequence[Pose], knots: int) -> tuple[Floats, Floats]:
    """(G, 6) places of one tool, and (knots - 1, 2) how far it moves and turns in each step."""
    poses = [*way, *[way[-1]] * (knots - len(way))]
    at = np.array([pose.position for pose in poses])
    axes = np.array([pose.rotation for pose in poses])
    way_m = np.diff(at, axis=0)
    vectors = axis_angle_from_matrix(axes[1:] @ np.swapaxes(axes[:-1], 1, 2))
    part = np.arange(SUBDIVISIONS) / SUBDIVISIONS
    between = at[:-1, None] + part[:, None] * way_m[:, None]
    turned = _partial_turns(vectors, part) @ axes[:-1, None]
    position = np.concatenate([between.reshape(-1, 3), at[-1:]])
    rotation = np.concatenate([turned.reshape(-1, 3, 3), axes[-1:]])
    lengths = [np.linalg.norm(way_m, axis=1), np.linalg.norm(vectors, axis=1)]
    return tools.places(index, position, rotation), np.stack(lengths, axis=1)


def _partial_turns(vectors: Floats, part: Floats) -> Floats:
    """(N, K, 3, 3) rotations by the parts (K,) of rotation vectors (N, 3)."""
    angle = np.linalg.norm(vectors, axis=1)
    axis = vectors / np.where(angle > 0.0, angle, 1.0)[:, None]
    return turn(axis[:, None], angle[:, None] * part)
