"""How much the distance of a pair can change, at most, for each unit that a joint moves.

Let joint j of the chain to body A turn by dq about its axis while all other joints stand. A point
of A behind the joint moves along a circle arc, so by no more than dq times its distance from the
axis. That distance is not greater than the sum of
  (1) the distance of the next joint's origin from the axis, which turning joint j leaves unchanged,
  (2) the lengths of the constant offsets between the joints after it,
  (3) for each sliding joint after it, the farthest position of its range, and
  (4) the largest distance of the body's points from the origin of the last joint,
because turning a joint changes no length in (2) to (4), and a sliding joint adds its position to
the offset before it. For the last joint of the chain it is the largest distance of the body's
points from the axis. A sliding joint moves every point by dq: its bound is 1.

A joint that carries both bodies moves them as one: their distance does not change. For all others,
let L be the bound for the body that it carries. The distance of two bodies changes by no more than
one of them moves when only one moves, so by L * dq. If all joints move from q to q2, move them one
after the other: every step is bounded by L in whatever posture it begins, so

    |d(q2) - d(q)| <= sum over joints of L * |q2 - q|.

A joint that mimics another moves by |scale| times the other's step, and its bound times |scale|
belongs to the joint that it follows. Sums hold in every posture within the ranges of sliding
joints; ranges of turning joints play no part.

d is the distance of separated bodies, 0 where they touch. The depth of a penetration may change
faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.collide.description import Description, Joint
from gr00t_ros.collide.pairs import Body, Pair
from gr00t_ros.errors import SettingsError

Floats = NDArray[np.float64]

_ROUNDING: float = 1.0 + 1e-9
"""Bounds are this much larger, for the rounding of their sums."""


def reach(
    description: Description,
    bodies: Mapping[str, Body],
    pairs: Sequence[Pair],
    joint_names: Sequence[str],
) -> Floats:
    """(P, J) bound of each pair's change of distance, in m/rad, or m/m where a joint slides."""
    reaches = {name: _reach(description, body) for name, body in bodies.items()}
    column = {name: index for index, name in enumerate(joint_names)}
    bounds = np.zeros((len(pairs), len(joint_names)))
    for row, pair in enumerate(pairs):
        one, other = reaches[pair.first], reaches[pair.second]
        for link in set(one) ^ set(other):
            joint = description.links[link].joint
            if joint.follows in column:
                moved = one[link] if link in one else other[link]
                bounds[row, column[joint.follows]] += abs(joint.scale) * moved
    return bounds * _ROUNDING


class _Step(NamedTuple):
    """A moving joint, and the constant way from its frame to the next joint's, or the body's."""

    joint: Joint
    way: Floats
    rotation: Floats


def _reach(description: Description, body: Body) -> dict[str, float]:
    """The bound of each moving link in the chain to the body; empty for a solid.

    Raises SettingsError for a joint of the chain that slides without limits: it has no bound.
    """
    if body.link is None:
        return {}
    moving = description.moving(body.link)
    for joint in (description.links[name].joint for name in moving):
        if joint.slides and not np.isfinite(joint.range).all():
            raise SettingsError(
                f"{description.where}: joint {joint.name!r} slides without limits, and moves "
                f"{body.name!r}, which is checked: expected a limit with lower and upper"
            )
    steps = [_step(description, body.link, name) for name in moving]
    found: dict[str, float] = {}
    for index, (name, step) in enumerate(zip(moving, steps, strict=True)):
        after = steps[index + 1 :]
        if step.joint.slides:
            found[name] = 1.0
        elif not after:
            found[name] = _farthest(body, step, step.joint.axis)
        else:
            reach = float(_from_axis(step.way[None], step.joint.axis)[0])
            reach += sum(float(np.linalg.norm(one.way)) for one in after[:-1])
            reach += sum(max(map(abs, one.joint.range)) for one in after if one.joint.slides)
            found[name] = reach + _farthest(body, after[-1], None)
    return found


def _farthest(body: Body, last: _Step, axis: Floats | None) -> float:
    """The largest distance of the body's points from the last joint's axis; None: its origin."""
    found = 0.0
    for shape in body.shapes:
        points, radius_m = shape.placed_core
        points = last.way + points @ last.rotation.T
        away = np.linalg.norm(points, axis=1) if axis is None else _from_axis(points, axis)
        found = max(found, float(away.max()) + radius_m)
    return found


def _step(description: Description, end: str, name: str) -> _Step:
    """The way from the joint above link `name` to the next moving joint, or to the link `end`."""
    chain = description.chain(end)
    way, rotation = np.zeros(3), np.eye(3)
    for link in chain[chain.index(name) + 1 :]:
        joint = description.links[link].joint
        way, rotation = way + rotation @ joint.xyz_m, rotation @ joint.rotation
        if joint.name is not None:
            break
    return _Step(description.links[name].joint, way, rotation)


def _from_axis(points: Floats, axis: Floats) -> Floats:
    """(K,) distances of points (K, 3) from a line through the origin along `axis`."""
    return np.asarray(np.linalg.norm(points - np.outer(points @ axis, axis), axis=1))
