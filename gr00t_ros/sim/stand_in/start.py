"""Where the stand-in robot stands at the start: every joint and every pose of an embodiment.

The joints stand in the middle of their ranges, or at the nearest position found with the end
effectors inside the workspace and the boxes of the pose outputs. Poses that no joints give are
invented inside these boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.field import UNIT
from gr00t_ros.robot.rotation import Chain
from gr00t_ros.robot.streams import POSES, StateStream

Floats = NDArray[np.float64]
Box = tuple[Floats, Floats]

QUATERNION_XYZW = (0.0, 0.6, 0.0, 0.8)
"""Orientation of every invented pose: any that is no special case of an encoding."""

_TRIES = 20_000  # positions of all joints that are looked at for one inside the boxes
_EDGE = 0.15  # share of a box's side that is kept free at each wall, for motion
_SOMEWHERE_M = (0.4, 0.0, 0.3)


@dataclass(frozen=True, slots=True)
class Start:
    """joints: name -> rad or m. poses: topic of a pose -> (3,) m."""

    joints: Mapping[str, float]
    poses: Mapping[str, Floats]


def start_of(robot: Embodiment) -> Start:
    """The start of a robot; EmbodimentError where no position of the joints fits the boxes."""
    poses = {
        stream.topic: _invented_m(robot, stream)
        for stream in robot.state
        if stream.source in ("pose", "tf")
    }
    return Start(_joints(robot), poses)


def _joints(robot: Embodiment) -> dict[str, float]:
    names, lower, upper = _ranges(robot)
    middle = (lower + upper) / 2.0
    boxes = list(_reached(robot, names))
    if not boxes:
        return dict(zip(names, middle.tolist(), strict=True))
    draws = np.random.default_rng(0).uniform(0.1, 0.9, (_TRIES, len(names)))
    tries = np.vstack([middle, lower + draws * (upper - lower)])
    inside = np.all([_inside(chain(tries), box) for chain, box in boxes], axis=0)
    if not inside.any():
        raise EmbodimentError(
            f"{robot.source}: none of {_TRIES} positions inside the joints' limits puts the end "
            "effector into its box (workspace, or limits of a pose output), expected a box that "
            "the arm reaches: compare the box and the chain with the robot"
        )
    span = np.where(upper > lower, upper - lower, 1.0)
    away = np.where(inside, np.abs((tries - middle) / span).max(axis=1), np.inf)
    return dict(zip(names, tries[np.argmin(away)].tolist(), strict=True))


def _ranges(robot: Embodiment) -> tuple[tuple[str, ...], Floats, Floats]:
    """All joints of outputs and joint states, and where each may stand."""
    limits = robot.limits
    ranges = {
        name: (low, high)
        for name, low, high in zip(
            limits.names, limits.lower + limits.margin, limits.upper - limits.margin, strict=True
        )
    }
    for stream in robot.state:
        for name in stream.names if stream.source in ("joints", "kinematics") else ():
            ranges.setdefault(name, (0.0, 0.0))
        for name, ends in zip(
            stream.names, stream.scale.joint if stream.scale else (), strict=False
        ):
            low, high = ranges[name]
            inner = max(low, min(ends)), min(high, max(ends))
            ranges[name] = inner if inner[0] <= inner[1] else (min(ends), max(ends))
    for action in robot.action:
        if action.threshold is not None and action.output is not None:
            ends_of = action.scale.joint if action.scale else (UNIT,) * len(action.names)
            ranges |= {
                name: (ends[0], ends[0])
                for name, ends in zip(action.names, ends_of, strict=True)
                if name in ranges
            }
    lower, upper = np.array(list(ranges.values()), dtype=np.float64).T
    return tuple(ranges), lower, upper


def _reached(
    robot: Embodiment, names: tuple[str, ...]
) -> Iterator[tuple[Callable[[Floats], Floats], Box]]:
    """Each chain whose end must be in a box: a function from (M, N) joints to (M, 3) m, the box."""
    box = robot.workspace
    streams = {stream.key: stream for stream in robot.state}
    if box is not None:
        chain = box.chain.among(robot.joint_names) if box.chain is not None else None
        if chain is None and box.pose is not None:
            chain = streams[box.pose].chain
        if chain is not None:
            yield _end(chain, names), (box.lower, box.upper)
    for output in robot.poses:
        chain = streams[output.pose].chain
        if chain is not None:
            yield _end(chain, names), (output.limits.lower, output.limits.upper)


def _end(chain: Chain, names: tuple[str, ...]) -> Callable[[Floats], Floats]:
    among = chain.among(names)
    return lambda joints: among.pose(joints)[0]


def _inside(points: Floats, box: Box) -> NDArray[np.bool_]:
    lower, upper = _without_edge(box)
    return np.asarray(((lower <= points) & (points <= upper)).all(axis=1))


def _without_edge(box: Box) -> Box:
    edge = _EDGE * (box[1] - box[0])
    return box[0] + edge, box[1] - edge


def _invented_m(robot: Embodiment, stream: StateStream) -> Floats:
    """A position inside every box that is checked with this pose; the middle of them."""
    same = {one.key for one in robot.state if one.source in POSES and one.topic == stream.topic}
    boxes = [
        (output.limits.lower, output.limits.upper) for output in robot.poses if output.pose in same
    ]
    if robot.workspace is not None and robot.workspace.pose in same:
        boxes.append((robot.workspace.lower, robot.workspace.upper))
    if not boxes:
        return np.array(_SOMEWHERE_M)
    lower = np.max([box[0] for box in boxes], axis=0)
    upper = np.min([box[1] for box in boxes], axis=0)
    if not (lower < upper).all():
        raise EmbodimentError(
            f"{robot.source}: state.{stream.key}: the workspace and the limits of the pose output "
            "have no point in common, expected boxes that overlap"
        )
    return np.asarray((lower + upper) / 2.0)
