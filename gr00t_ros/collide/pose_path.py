"""The way of tools that are commanded by poses, and how far it can change a distance.

Between two poses of a window the streamer moves the commanded link along a straight line, and turns
it about one axis that stands still, both at an even rate. Let the link's origin move by v dt and
the link turn by w dt. A point of the tool at the distance c from that origin moves by
|v + w x c| dt at most, so by no more than (|v| + |w| |c|) dt. Let r be the largest distance of the
tool's points from the origin. Over a way on which the origin travels s metres and the link turns by
a radians in total, no point moves by more than s + r a. The distance of the tool and a body that
stands still changes by at most as much; for two tools that move, by at most the sum for both.

The reach of the three turning joints that hold a tool (tool.py) contains r. The first one is the
largest distance of its points from the common origin of the three, and contains the ranges of the
joints behind it (reach.py). Therefore it bounds a rotation about any axis through that origin, and
the postures of the six joints are never compared with each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.collide.tool import Tools
from gr00t_ros.collide.window import SUBDIVISIONS, Path, WindowCheck
from gr00t_ros.motion.clearance import Ahead
from gr00t_ros.robot.rotation import Pose, axis_angle_from_matrix

Floats = NDArray[np.float64]


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


def path_of_poses(tools: Tools, ways: Mapping[str, Sequence[Pose]], knot_s: float) -> Path:
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
    return Path(times_s, positions, travel, even / knot_s)


def _tool(tools: Tools, index: int, way: Sequence[Pose], knots: int) -> tuple[Floats, Floats]:
    """(G, 6) places of one tool, and (knots - 1, 2) how far it moves and turns in each step."""
    poses = [*way, *[way[-1]] * (knots - len(way))]
    at = np.array([pose.position for pose in poses])
    axes = np.array([pose.rotation for pose in poses])
    way_m = np.diff(at, axis=0)
    turn = axis_angle_from_matrix(axes[1:] @ np.swapaxes(axes[:-1], 1, 2))
    part = np.arange(SUBDIVISIONS) / SUBDIVISIONS
    between = at[:-1, None] + part[:, None] * way_m[:, None]
    turned = _partial_turns(turn, part) @ axes[:-1, None]
    position = np.concatenate([between.reshape(-1, 3), at[-1:]])
    rotation = np.concatenate([turned.reshape(-1, 3, 3), axes[-1:]])
    lengths = [np.linalg.norm(way_m, axis=1), np.linalg.norm(turn, axis=1)]
    return tools.places(index, position, rotation), np.stack(lengths, axis=1)


def _partial_turns(turn: Floats, part: Floats) -> Floats:
    """(N, K, 3, 3) rotations by the parts (K,) of rotation vectors (N, 3), by Rodrigues."""
    angle = np.linalg.norm(turn, axis=1)
    x, y, z = (turn / np.where(angle > 0.0, angle, 1.0)[:, None]).T
    zero = np.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    cross = np.moveaxis(np.array(rows), 2, 0)[:, None]
    angles = (angle[:, None] * part)[..., None, None]
    one_less_cos = 2.0 * np.sin(angles / 2.0) ** 2
    return np.asarray(np.eye(3) + np.sin(angles) * cross + one_less_cos * (cross @ cross))
