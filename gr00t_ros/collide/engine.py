"""Distances of all checked pairs at any joint positions, behind one function.

MuJoCo moves the shapes and measures; it is imported when an engine is made. Only shapes whose
bounding boxes are near are measured: in one pass over all pairs in numpy, then pair by pair.
(MuJoCo's contacts, which one call would find, are no distances: between two boxes they are up to
0.19 m larger in 4.0.0.)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.collide.description import Description, Names, Shape
from gr00t_ros.collide.model import compile_model, engine_module, place_geom, reshape_geom
from gr00t_ros.collide.obstacles import PlacedObstacles, empty_places
from gr00t_ros.collide.pairs import Body, Pair, bodies_of, checked_pairs
from gr00t_ros.collide.reach import reach
from gr00t_ros.collide.scene import SELF_MARGIN_M, FramePose, Scene
from gr00t_ros.errors import SettingsError

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
HeldJoint = float | tuple[float, float]
"""Where a joint stands that is not commanded: one position, or anywhere in [lower, upper]."""

ERROR_M: Final = 1e-5
"""Distances are right within this; margins contain it."""

FAR_M: Final = 1e3
"""The largest distance that is reported, and the distance of a carried thing that is not there."""

_FEW: Final = 24  # shapes; each takes 1 to 2 us to measure, comparing takes 50 us for any number
_BOX_ERROR_M: Final = 1e-6  # of boxes whose corners are kept as float32
_WIDE_RAD: Final = 0.1  # a range from which a held joint that turns is looked at in pieces
_PIECE_M: Final = 0.01  # what one piece may change a distance, up or down
_MOST_PIECES: Final = 6  # each is one more posture to measure where something is near


class Witness(NamedTuple):
    """The nearest points of two bodies in the robot's base, (3,) m each, and their distance, m.

    The distance is without padding and without room for held joints.
    """

    distance_m: float
    first_m: Floats
    second_m: Floats


class _Swept(NamedTuple):
    """The pieces of one held joint's range, and the pairs that this joint changes most.

    rows: (P,) these pairs; constants: a (Q,) for each piece, the joint at its middle, all others
    at theirs; slack_m: (P,) the most that the rest can change each distance.
    """

    rows: NDArray[np.bool_]
    constants: tuple[Floats, ...]
    slack_m: Floats


class CollisionEngine:
    """The distances between a robot's links, carried things and the objects of a scene.

    joint_names: the commanded joints, in the order of q. `pairs` are what is checked, `bounds` how
    fast their distances change at most (reach.py). One thread at a time may call it; only `witness`
    and `bodies` are for another one.
    """

    def __init__(
        self,
        description: Description,
        scene: Scene | None,
        joint_names: Sequence[str],
        *,
        held: Mapping[str, HeldJoint] | None = None,
        lookup: Callable[[str], FramePose | None] | None = None,
        unchecked: Collection[Names] | None = None,
        self_margin_m: float = SELF_MARGIN_M,
        obstacles: int = 0,
        obstacle_margin_m: float = SELF_MARGIN_M,
    ) -> None:
        """Make the model.

        held: every other joint that moves on its own. lookup: the pose of a frame of the scene that
        is no link of the robot, in the robot's base. unchecked: pairs of links to leave out besides
        adjacent ones; by default those of SRDF and scene. self_margin_m: without a scene.
        obstacles: how many may be there at once besides the scene (`occupy`), and their margin.
        Raises SettingsError or SceneError without MuJoCo, and for names that do not fit.
        """
        self._mujoco = engine_module()
        self.description, self.scene = description, scene
        self.joint_names = tuple(joint_names)
        self._check_joints(held or {})
        solids: tuple[Any, ...] = ()
        if scene is not None:
            scene.check_links(description)
            solids = scene.placed(lambda frame: self._frame(frame, lookup))
            self_margin_m = scene.self_margin_m
        if unchecked is None:
            unchecked = {*description.disabled, *(scene.always_touching if scene else ())}
        self._places = empty_places(obstacles, obstacle_margin_m)
        solids = (*solids, *self._places)
        self.bodies = bodies_of(description, scene.carried if scene else (), solids)
        if not any(body.link for body in self.bodies.values()):
            raise SettingsError(
                f"{description.where}: no link has a collision shape, expected some: use the URDF "
                "that the robot's driver publishes, not one for display alone"
            )
        self.pairs: tuple[Pair, ...] = checked_pairs(
            *(description, scene, self.bodies, self.joint_names, unchecked, self_margin_m),
            self._places,
        )
        self.pair_names = tuple((pair.first, pair.second) for pair in self.pairs)
        """Two names for each pair; an obstacle has the name that it was given."""
        self.bounds = reach(description, self.bodies, self.pairs, self.joint_names)
        compiled = compile_model(description, self.bodies)
        self._model, self._data = compiled.model, self._mujoco.MjData(compiled.model)
        self._shown_model = copy.deepcopy(compiled.model)  # of `witness`
        self._shown = self._mujoco.MjData(self._shown_model)
        self._shown_shapes: dict[int, Shape] = {}
        self._linear, self._offset = self._joint_map(self.joint_names)
        self._held_linear, _ = self._joint_map(self._uncommanded)
        self._held_bounds = reach(description, self.bodies, self.pairs, self._uncommanded)
        self._geoms = compiled.geoms
        self._list_shapes(compiled.geoms)
        self._constant, self._slack_m = np.zeros(self._model.nq), np.zeros(len(self.pairs))
        self.hold(held or {})
        self._absent = self._not_carried = self._vacant = np.zeros(len(self.pairs), dtype=bool)
        self._place_of = self._places_of_pairs()
        self.obstacle_pairs = self._place_of >= 0
        """(P,) which pairs have an obstacle, whether its place is empty or not."""
        self._place_geoms = [compiled.geoms[one.name][0] for one in self._places]
        self._place_meshes = [int(self._model.geom_dataid[geom]) for geom in self._place_geoms]
        self._occupied = PlacedObstacles((), ())
        self.carry(())
        self.occupy(self._occupied)

    def distances(self, q: Floats, enough_m: Floats | float = FAR_M) -> Floats:
        """(P,) distances of `pairs` at q (J,), m; not above 0 where two touch or penetrate.

        A distance below `enough_m` ((P,) or one for all) is exact within ERROR_M, less the padding
        and the room of held joints; otherwise any value from `enough_m` up to the distance.
        """
        if not np.isfinite(q).all():
            raise SettingsError(f"joint positions: got {np.asarray(q).tolist()}, expected finite")
        limit_m = np.where(self._absent, -np.inf, np.minimum(enough_m, FAR_M))
        found = self._nearest(q, self._constant, limit_m, self._slack_m)
        for swept in self._swept:
            rows = swept.rows & (found < limit_m)
            if rows.any():
                here_m = np.where(rows, limit_m, -np.inf)
                pieces = [self._nearest(q, at, here_m, swept.slack_m) for at in swept.constants]
                found = np.where(rows, np.min(pieces, axis=0), found)
        return np.asarray(np.where(self._absent, FAR_M, found))

    def witness(self, names: tuple[str, ...], q: Floats) -> Witness | None:
        """The nearest points of the pair of these two bodies at q (J,); None for an unknown pair.

        Another thread may call it than the one that measures: it has a model and data of its own.
        """
        known, occupied = self.pair_names, self._occupied
        if names not in known:
            return None
        model, data = self._shown_model, self._shown
        for place, shape in enumerate(occupied.shapes):
            if shape is not self._shown_shapes.get(place):
                reshape_geom(model, self._place_geoms[place], self._place_meshes[place], shape)
                self._shown_shapes[place] = shape
        data.qpos[:] = self._linear @ q + self._constant
        self._mujoco.mj_kinematics(model, data)
        found: Witness | None = None
        for row in np.flatnonzero(self._pair == known.index((names[0], names[1]))).tolist():
            ends = np.zeros(6)
            first, second = self._first_list[row], self._second_list[row]
            apart = float(self._mujoco.mj_geomDistance(model, data, first, second, FAR_M, ends))
            if found is None or apart < found.distance_m:
                found = Witness(apart, ends[:3], ends[3:])
        return found

    def solids(self) -> list[Body]:
        """What stands around the robot now: the scene, and live obstacles. Any thread."""
        occupied, places = self._occupied, {one.name for one in self._places}
        standing = [
            b for b in list(self.bodies.values()) if b.link is None and b.name not in places
        ]
        live = zip(occupied.names, occupied.shapes, strict=True)
        return [*standing, *(Body(name, None, (shape,)) for name, shape in live)]

    def hold(self, held: Mapping[str, HeldJoint]) -> None:
        """Let joints that are not commanded stand elsewhere, from the next call on.

        Where one may be anywhere in [lower, upper], distances are those at the middle less the
        most that the rest can change them. The range of a joint that turns is looked at in pieces
        of which each does that: a finger that swings is not where it cannot be.
        """
        missing = set(self._uncommanded) - set(held)
        if missing:
            raise SettingsError(
                f"{self.description.where}: joint {', '.join(sorted(missing))} is not commanded, "
                "and no position to hold is given; expected one for each"
            )
        names = self._uncommanded
        ends = np.array([_interval(held[name]) for name in names]).reshape(-1, 2)
        half = 0.5 * (ends[:, 1] - ends[:, 0])
        self._constant = self._offset + self._held_linear @ ends.mean(axis=1)
        self._slack_m = self._padding() + self._held_bounds @ half
        self._swept = self._sweep(ends)

    def place(self, name: str, shapes: Sequence[Shape]) -> None:
        """Put a solid of the scene somewhere else, from the next call on; shapes are in the base.

        Raises SettingsError for other shapes than it had: kinds, sizes and points stay.
        """
        body = self.bodies.get(name)
        known = () if body is None or body.link is not None else body.shapes
        if not known or [one.kind for one in known] != [one.kind for one in shapes]:
            raise SettingsError(f"{name!r}: expected a solid of the scene with the shapes it had")
        for shape, new in zip(known, shapes, strict=True):
            same = shape.size_m == new.size_m and np.array_equal(shape.points, new.points)
            if not same:
                raise SettingsError(f"{name!r}: got another size, expected a new engine for it")
        for geom, shape in zip(self._geoms[name], shapes, strict=True):
            place_geom(self._model, geom, shape)
            place_geom(self._shown_model, geom, shape)
        self.bodies[name] = Body(name, None, tuple(shapes))

    def carry(self, names: Collection[str]) -> None:
        """Which carried things are there, from the next call on; at first none is."""
        known = [one.name for one in self.scene.carried] if self.scene else []
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise SettingsError(
                f"attached: got {', '.join(unknown)}, expected names of attached things: "
                f"{', '.join(known) or 'the scene has none'}"
            )
        away = set(known) - set(names)
        self._not_carried = np.array(
            [bool({pair.first, pair.second} & away) for pair in self.pairs], dtype=bool
        )
        self._absent = self._not_carried | self._vacant

    def occupy(self, obstacles: PlacedObstacles) -> None:
        """Let these be all obstacles that are there besides the scene, from the next call on.

        Raises SettingsError for more than the engine was made for.
        """
        if len(obstacles.shapes) > len(self._places):
            raise SettingsError(
                f"obstacles: got {len(obstacles.shapes)}, expected at most {len(self._places)}"
            )
        before, self._occupied = self._occupied, obstacles
        known = (*before.shapes, *[None] * len(self._places))
        for place, shape in enumerate(obstacles.shapes):
            if shape is not known[place]:
                geom = self._place_geoms[place]
                reshape_geom(self._model, geom, self._place_meshes[place], shape)
                self._measure_box(geom, round_one=shape.kind == "sphere")
        self._radii = self._radius[self._first] + self._radius[self._second]
        self._vacant = self._place_of >= len(obstacles.shapes)
        self._absent = self._not_carried | self._vacant
        if obstacles.names != before.names:
            names = [*obstacles.names, *[one.name for one in self._places[len(obstacles.names) :]]]
            self.pair_names = tuple(
                (pair.first, names[place] if place >= 0 else pair.second)
                for pair, place in zip(self.pairs, self._place_of.tolist(), strict=True)
            )

    # --- measuring ---------------------------------------------------------------------------

    def _nearest(self, q: Floats, constant: Floats, limit_m: Floats, slack_m: Floats) -> Floats:
        """(P,) distances at q (J,) and `constant` (Q,) less `slack_m` (P,).

        Those below `limit_m` (P,) are exact; nothing is measured where it is -inf.
        """
        self._data.qpos[:] = self._linear @ q + constant
        self._mujoco.mj_kinematics(self._model, self._data)
        limits = (limit_m + slack_m)[self._pair]
        found = self._rough_distances(limits)
        measure, model, data = self._mujoco.mj_geomDistance, self._model, self._data
        for row in np.flatnonzero(~(found >= limits)).tolist():
            first, second = self._first_list[row], self._second_list[row]
            found[row] = measure(model, data, first, second, float(limits[row]), None)
        if np.isnan(found).any():
            pair = self.pairs[self._pair[int(np.argmax(np.isnan(found)))]]
            raise SettingsError(f"distance of {pair}: got NaN, expected metres")
        nearest = np.minimum.reduceat(found, self._starts) if len(self.pairs) else np.zeros(0)
        return np.asarray(nearest - slack_m)

    def _rough_distances(self, limit_m: Floats) -> Floats:
        """(S,) lower bounds of the distances of the shapes: by bounding spheres, then by boxes.

        limit_m: (S,) boxes are compared where the spheres are nearer than that; nothing is where it
        is -inf. A few shapes are measured sooner than they are compared.
        """
        found = np.full(len(limit_m), -FAR_M)
        rows = np.flatnonzero(limit_m > -np.inf)
        if len(rows) <= _FEW:
            return found
        axes = self._data.geom_xmat.reshape(-1, 3, 3)
        middle = self._data.geom_xpos + np.einsum("gij,gj->gi", axes, self._box_middle)
        between = middle[self._second[rows]] - middle[self._first[rows]]
        apart = np.sqrt(np.einsum("si,si->s", between, between)) - self._radii[rows]
        bent = self._bent[rows]
        flat = np.flatnonzero(~bent)
        if len(flat):
            apart[flat] = self._heights(rows[flat], axes, middle)
        near = np.flatnonzero((apart < limit_m[rows]) & bent)
        first, second = self._first[rows[near]], self._second[rows[near]]
        apart[near] = np.maximum(
            self._from_box(between[near], axes[first], first) - self._radius[second],
            self._from_box(between[near], axes[second], second) - self._radius[first],
        )
        found[rows] = apart - _BOX_ERROR_M
        return found

    def _from_box(self, way: Floats, axes: Floats, geoms: Ints) -> Floats:
        """(S,) distances of points from boxes; `way` (S, 3): from their middles to the points."""
        local = np.abs(np.einsum("si,sij->sj", way, axes)) - self._box_half[geoms]
        outside = np.maximum(local, 0.0)
        return np.asarray(np.sqrt(np.einsum("sj,sj->s", outside, outside)))

    def _heights(self, rows: Ints, axes: Floats, middle: Floats) -> Floats:
        """The least heights of bounding boxes above planes, for `rows` with a plane each."""
        one, plane = self._first[rows], self._second[rows]
        normal = axes[plane][:, :, 2]
        height = np.einsum("si,si->s", normal, middle[one] - self._data.geom_xpos[plane])
        local = np.abs(np.einsum("si,sij->sj", normal, axes[one]))
        return np.asarray(height - np.einsum("sj,sj->s", local, self._box_half[one]))

    # --- making ------------------------------------------------------------------------------

    def _check_joints(self, held: Mapping[str, HeldJoint]) -> None:
        known = self.description.joint_names
        given = [*self.joint_names, *held]
        strangers = sorted(set(given) - set(known))
        if strangers:
            raise SettingsError(
                f"{self.description.where}: got joint {', '.join(strangers)}, expected joints that "
                f"move and mimic none: {', '.join(known)}"
            )
        twice = sorted({name for name in given if given.count(name) > 1})
        if twice:
            raise SettingsError(
                f"{self.description.where}: joint {', '.join(twice)} is given twice, expected each "
                "joint once, commanded or held"
            )
        self._uncommanded = tuple(name for name in known if name not in self.joint_names)

    def _frame(
        self, frame: str, lookup: Callable[[str], FramePose | None] | None
    ) -> FramePose | None:
        if frame in self.description.links:
            return self.description.fixed_pose(frame)
        return None if lookup is None else lookup(frame)

    def _joint_map(self, names: Sequence[str]) -> tuple[Floats, Floats]:
        """(Q, J) and (Q,): qpos = linear @ positions of these joints + offsets of all."""
        linear, offset = np.zeros((self._model.nq, len(names))), np.zeros(self._model.nq)
        for link in self.description.links.values():
            joint = link.joint
            if joint.name is not None:
                row = int(self._model.joint(joint.name).qposadr[0])
                offset[row] = joint.offset
                if joint.follows in names:
                    linear[row, list(names).index(joint.follows)] = joint.scale
        return linear, offset

    def _list_shapes(self, geoms: Mapping[str, tuple[int, ...]]) -> None:
        """One row for each two shapes of each pair, in the order of the pairs; their boxes."""
        rows = [
            (index, one, other)
            for index, pair in enumerate(self.pairs)
            for one in geoms[pair.first]
            for other in geoms[pair.second]
        ]
        table = np.array(rows, dtype=np.intp).reshape(-1, 3)
        self._pair, self._first, self._second = np.ascontiguousarray(table.T)
        self._first_list, self._second_list = self._first.tolist(), self._second.tolist()
        self._starts = np.searchsorted(self._pair, np.arange(len(self.pairs)))
        kinds = self._mujoco.mjtGeom
        types = self._model.geom_type
        self._bent = types[self._second] != int(kinds.mjGEOM_PLANE)
        self._box_middle = self._model.geom_aabb[:, :3].copy()
        self._box_half = self._model.geom_aabb[:, 3:].copy()
        round_ones = np.isin(types, [int(kinds.mjGEOM_SPHERE), int(kinds.mjGEOM_CAPSULE)])
        self._radius = np.where(
            round_ones, self._box_half.max(axis=1), np.linalg.norm(self._box_half, axis=1)
        )
        self._radii = self._radius[self._first] + self._radius[self._second]

    def _places_of_pairs(self) -> Ints:
        """(P,) the place of an obstacle that a pair has, -1 for all others."""
        index = {one.name: place for place, one in enumerate(self._places)}
        return np.array([index.get(pair.second, -1) for pair in self.pairs], dtype=np.intp)

    def _measure_box(self, geom: int, round_one: bool) -> None:
        """Take over the bounding box and the radius of a geom that has another shape now."""
        box = self._model.geom_aabb[geom]
        self._box_middle[geom], self._box_half[geom] = box[:3], box[3:]
        self._radius[geom] = box[3:].max() if round_one else np.linalg.norm(box[3:])

    def _sweep(self, ends: Floats) -> tuple[_Swept, ...]:
        """The held joints with a wide range; ends: (U, 2) where each may be."""
        half = 0.5 * (ends[:, 1] - ends[:, 0])
        room_m = self._held_bounds * half  # (P, U), of each pair by each joint
        sliding = {one.joint.name for one in self.description.links.values() if one.joint.slides}
        swept = []
        for index, name in enumerate(self._uncommanded):
            rows = (room_m[:, index] > _PIECE_M) & (room_m.argmax(axis=1) == index)
            if name in sliding or 2.0 * half[index] <= _WIDE_RAD or not rows.any():
                continue
            count = min(_MOST_PIECES, int(np.ceil(room_m[rows, index].max() / _PIECE_M)))
            at = np.tile(ends.mean(axis=1), (count, 1))
            at[:, index] = ends[index, 0] + 2.0 * half[index] * (np.arange(count) + 0.5) / count
            constants = tuple(self._offset + self._held_linear @ one for one in at)
            slack_m = self._slack_m - room_m[:, index] * (1.0 - 1.0 / count)
            swept.append(_Swept(rows, constants, slack_m))
        return tuple(swept)

    def _padding(self) -> Floats:
        padding_m = self.scene.padding_m if self.scene else {}
        return np.array(
            [padding_m.get(one.first, 0.0) + padding_m.get(one.second, 0.0) for one in self.pairs]
        )


def _interval(held: HeldJoint) -> tuple[float, float]:
    lower, upper = held if isinstance(held, tuple) else (held, held)
    if not -1e6 <= lower <= upper <= 1e6:
        raise SettingsError(
            f"held position: got {held}, expected a finite number, or (lower, upper)"
        )
    return lower, upper
