"""Obstacles that come and go while the node runs: the live set, and where they are in the base.

A message names an obstacle, its frame, its kind and its sizes. What cannot be checked is kept with
its reason until it is replaced or deleted, and a finding names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.collide.description import Shape
from gr00t_ros.collide.scene import OBJECT, FramePose, Solid
from gr00t_ros.errors import RotationError, SettingsError
from gr00t_ros.robot.rotation import MOST_M, matrix_from_quaternion

Floats = NDArray[np.float64]

MOST_OBSTACLES: Final = 32
"""How many shapes may be there at once; their solids are made before the session begins."""
SMALLEST_M: Final = 1e-6
"""The smallest size: from the corners of a point no direction can be told."""
FARTHEST_M: Final = 1e3
"""Largest coordinate of an obstacle: beyond it something is wrong with the units."""


@dataclass(frozen=True, slots=True)
class PlacedObstacles:
    """All obstacles at one moment, in the robot's base: a name and a shape each.

    problems: what cannot be checked, one sentence each.
    """

    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Obstacle:
    """Shapes in a frame; or why it cannot be checked."""

    frame: str
    shapes: tuple[Shape, ...]
    why: str = ""


def empty_places(count: int, margin_m: float) -> tuple[Solid, ...]:
    """Solids in whose places obstacles will be, all of one margin."""
    box = Shape("box", (0.1, 0.2, 0.3), np.zeros(3), np.eye(3))
    return tuple(
        Solid(f"obstacle place {place}", OBJECT, (box,), None, margin_m) for place in range(count)
    )


def obstacle_shape(
    kind: str, size_m: Sequence[float], xyz_m: Sequence[float], xyzw: Sequence[float]
) -> Shape:
    """The shape of one obstacle in its frame.

    size_m: as in Shape, of a box, sphere or cylinder. Raises SettingsError for numbers that are not
    finite, sizes that are too small or too large, and a rotation that is none.
    """
    sizes, at = np.array(size_m, dtype=np.float64), np.array(xyz_m, dtype=np.float64)
    if not (np.isfinite(sizes).all() and sizes.min() >= SMALLEST_M and sizes.max() <= MOST_M):
        raise SettingsError(
            f"got sizes {sizes.tolist()} m of a {kind}, expected {SMALLEST_M:g} to {MOST_M:g}"
        )
    if not (np.isfinite(at).all() and np.abs(at).max() <= FARTHEST_M):
        raise SettingsError(
            f"got position {at.tolist()} m, expected finite numbers up to {FARTHEST_M:g}"
        )
    try:
        rotation = matrix_from_quaternion(list(xyzw))
    except RotationError as error:
        raise SettingsError(str(error)) from error
    return Shape(kind, tuple(sizes.tolist()), at, rotation)


class LiveObstacles:
    """The obstacles that messages have put and not removed, by name."""

    def __init__(self) -> None:
        self._known: dict[str, _Obstacle] = {}
        self._placed: dict[str, tuple[_Obstacle, FramePose, tuple[Shape, ...]]] = {}

    def put(self, name: str, frame: str, shapes: Sequence[Shape]) -> None:
        """Add an obstacle, or replace the one of that name. Shapes are in `frame`."""
        self._known[name] = _Obstacle(frame, tuple(shapes))

    def refuse(self, name: str, why: str) -> None:
        """Note an obstacle that cannot be checked; it replaces the one of that name."""
        self._known[name] = _Obstacle("", (), why)

    def remove(self, name: str) -> None:
        """Remove an obstacle; nothing happens for a name that is not there."""
        self._known.pop(name, None)

    def clear(self, namespace: str | None = None) -> None:
        """Remove all obstacles, or those named NAMESPACE/NUMBER."""
        kept = self._known.items() if namespace is not None else ()
        self._known = {name: one for name, one in kept if name.rpartition("/")[0] != namespace}

    def placed(self, lookup: Callable[[str], FramePose | str]) -> PlacedObstacles:
        """All of them in the robot's base, and what cannot be checked.

        lookup: the pose of a frame in the base, or why there is none. A shape that has not moved
        is the same object as before.
        """
        poses = {frame: lookup(frame) for frame in {one.frame for one in self._known.values()}}
        names: list[str] = []
        shapes: list[Shape] = []
        problems: list[str] = []
        kept, before = {}, self._placed
        for name, one in self._known.items():
            pose = poses[one.frame]
            if one.why or isinstance(pose, str):
                problems.append(f"obstacle {name}: {one.why or pose}")
                continue
            kept[name] = before[name] if _same(before.get(name), one, pose) else _in_base(one, pose)
            names += [f"obstacle {name}"] * len(one.shapes)
            shapes += kept[name][2]
        self._placed = kept
        if len(shapes) > MOST_OBSTACLES:
            problems.append(
                f"got {len(shapes)} shapes, expected at most {MOST_OBSTACLES}: publish only those "
                "within the arm's reach, or boxes around several; these are not checked: "
                + ", ".join(names[MOST_OBSTACLES : MOST_OBSTACLES + 5])
            )
        return PlacedObstacles(
            tuple(names[:MOST_OBSTACLES]), tuple(shapes[:MOST_OBSTACLES]), tuple(problems)
        )


def _same(
    before: tuple[_Obstacle, FramePose, tuple[Shape, ...]] | None, one: _Obstacle, pose: FramePose
) -> bool:
    """Whether this obstacle has the shapes and the frame's pose that it had before."""
    if before is None or len(before[0].shapes) != len(one.shapes):
        return False
    moved = any(map(_differ, before[1], pose))
    return not moved and all(
        old.kind == new.kind
        and old.size_m == new.size_m
        and not _differ(old.xyz_m, new.xyz_m)
        and not _differ(old.rotation, new.rotation)
        for old, new in zip(before[0].shapes, one.shapes, strict=True)
    )


def _differ(one: Floats, other: Floats) -> bool:
    return not np.array_equal(one, other)


def _in_base(one: _Obstacle, pose: FramePose) -> tuple[_Obstacle, FramePose, tuple[Shape, ...]]:
    at, axes = pose
    shapes = tuple(
        replace(shape, xyz_m=at + axes @ shape.xyz_m, rotation=axes @ shape.rotation)
        for shape in one.shapes
    )
    return one, pose, shapes
