"""What stands around a robot: a scene file's objects, volumes, carried things and wanted contacts.

The file is read as strictly as an embodiment file: an error is one line with the place, what was
got and what was expected. Places are in frames by name; `Scene.placed` puts them into the base.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.collide import keys
from gr00t_ros.collide.description import Description, Names, ReadMesh, Shape
from gr00t_ros.errors import EmbodimentError, RotationError, SceneError, SettingsError
from gr00t_ros.robot.field import Field
from gr00t_ros.robot.keys import Keys
from gr00t_ros.robot.rotation import MOST_M, from_rpy, matrix_from_quaternion

Floats = NDArray[np.float64]
FramePose = tuple[Floats, Floats]
"""(3,) m and (3, 3) of a frame in the robot's base."""

OBJECT: Final = "object"
KEEP_OUT: Final = "keep_out"
KEEP_IN: Final = "keep_in"

SELF_MARGIN_M: Final = 0.005
"""Kept between links where nothing else is given: shapes and joint positions have small errors."""
SMALLEST_MARGIN_M: Final = 1e-4  # ten times the engine's error
LARGEST_MARGIN_M: Final = 0.5
CONTACT_SPEED_M_S: Final = 0.10
CONTACT_WITHIN_M: Final = 0.05
_LARGEST: Final = 1e3  # of a joint's position, rad or m


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """One thing that links keep clear of.

    role: object, keep_out, or keep_in, whose shapes are the six walls as planes that face inward.
    frame: of the shapes' places; None for the robot's base. links: which keep clear, None for all.
    """

    name: str
    role: str
    shapes: tuple[Shape, ...]
    frame: str | None
    margin_m: float
    links: Names | None = None


@dataclass(frozen=True, slots=True)
class While:
    """A thing is there while the position of a joint is below or above a value, rad or m."""

    joint: str
    value: float
    below: bool

    def __str__(self) -> str:
        return f"{self.joint} is {'below' if self.below else 'above'} {self.value:g}"

    def holds(self, position: float | None) -> bool:
        """Whether the thing is there. True where the position is not known: one more body is
        checked, and nothing is checked less.
        """
        if position is None or not math.isfinite(position):
            return True
        return position < self.value if self.below else position > self.value


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A thing at a link, in whose frame its shape is. touch: other links that may touch it.

    when: when it is there; None for always.
    """

    name: str
    link: str
    shape: Shape
    touch: Names
    when: While | None = None


@dataclass(frozen=True, slots=True)
class Contact:
    """A wanted contact: within `within_m` of the object, at most `speed_m_s` toward it."""

    speed_m_s: float
    within_m: float


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A scene file. contacts: by (link or carried thing, name of an object)."""

    where: str
    margin_m: float
    self_margin_m: float
    padding_m: Mapping[str, float]
    solids: tuple[Solid, ...]
    carried: tuple[Carried, ...]
    contacts: Mapping[tuple[str, str], Contact]
    always_touching: Mapping[Names, str]

    @property
    def frames(self) -> tuple[str, ...]:
        """The names of all frames that solids are given in, besides the base."""
        return tuple(dict.fromkeys(one.frame for one in self.solids if one.frame is not None))

    def check_links(self, description: Description) -> None:
        """Raise SceneError where the file names a link that the robot does not have."""
        carried = {one.name for one in self.carried}
        named = {
            "robot.padding": set(self.padding_m),
            "contact": {link for link, _ in self.contacts} - carried,
        }
        for solid in self.solids:
            named[f"keep_in.{solid.name}.links"] = set(solid.links or ())
        for one in self.carried:
            named[f"attached.{one.name}"] = {one.link, *one.touch}
        for place, links in named.items():
            self._refuse(place, description, links)
        for pair in self.always_touching:
            self._refuse("always_touching", description, set(pair))
        for one in self.carried:
            if one.when is not None:
                self._refuse_joint(f"attached.{one.name}.while", description, one.when.joint)
        things = carried | {solid.name for solid in self.solids}
        both = sorted(things & set(description.links))
        if both:
            raise SceneError(
                f"{self.where}: {', '.join(both)}: a thing has the name of a link of "
                f"{description.where}, expected another name"
            )

    def _refuse(self, place: str, description: Description, links: set[str]) -> None:
        unknown = description.unknown(links)
        if unknown:
            raise SceneError(
                f"{self.where}: {place}: got {', '.join(unknown)}, expected links of "
                f"{description.where}: {', '.join(description.links)}",
                place,
            )

    def _refuse_joint(self, place: str, description: Description, name: str) -> None:
        known = [link.joint.name for link in description.links.values() if link.joint.name]
        if name not in known:
            raise SceneError(
                f"{self.where}: {place}: got joint {name}, expected one that moves in "
                f"{description.where}: {', '.join(known)}",
                place,
            )

    def placed(self, lookup: Callable[[str], FramePose | None]) -> tuple[Solid, ...]:
        """The solids in the robot's base. lookup: the pose of a frame, None where it is unknown.

        Raises SceneError for an unknown frame.
        """
        poses = {frame: lookup(frame) for frame in self.frames}
        for solid in self.solids:
            if solid.frame is not None and poses[solid.frame] is None:
                group = "keep_in" if solid.role == KEEP_IN else "keep_out"
                group = "objects" if solid.role == OBJECT else group
                raise SceneError(
                    f"{self.where}: {group}.{solid.name}: frame {solid.frame!r} is unknown or "
                    "moves, expected a link that is fixed to the base, or a frame that tf connects "
                    "with it",
                    f"{group}.{solid.name}",
                )
        return tuple(_in_base(one, poses[one.frame] if one.frame else None) for one in self.solids)


def _in_base(solid: Solid, pose: FramePose | None) -> Solid:
    if pose is None:
        return solid
    at, axes = pose
    shapes = tuple(
        replace(one, xyz_m=at + axes @ one.xyz_m, rotation=axes @ one.rotation)
        for one in solid.shapes
    )
    return replace(solid, shapes=shapes, frame=None)


def parse_scene(mapping: Mapping[str, object], where: str, read_mesh: ReadMesh) -> Scene:
    """The scene of a scene file's content; `where` names the file in errors (SceneError)."""
    try:
        return _scene(Field(mapping, where), read_mesh)
    except EmbodimentError as error:  # the strict reader's error, whatever the file is
        raise SceneError(str(error), error.place) from error


def _scene(field: Field, read_mesh: ReadMesh) -> Scene:
    unfilled = list(field.unfilled())
    if unfilled:
        raise field.problem(f"FILL_IN is left at {', '.join(unfilled)}, expected a value")
    at = field.keys(keys.FILE)
    groups = ("objects", "keep_out", "keep_in", "attached")
    if not set(groups) & set(at):
        raise field.problem(f"got none of {', '.join(groups)}; expected one at least")
    _refuse_twice([at[key] for key in groups if key in at])
    default = _Default(
        _margin(at["margin"]), at["frame"].text() if "frame" in at else None, read_mesh
    )
    solids: list[Solid] = []
    for role, key in ((OBJECT, "objects"), (KEEP_OUT, "keep_out")):
        for name, one in _entries(at, key):
            solids.append(_solid(name, role, one, default))
    solids += [_room(name, one, default) for name, one in _entries(at, "keep_in")]
    carried = tuple(_carried(name, one) for name, one in _entries(at, "attached"))
    robot = at["robot"].keys(keys.ROBOT) if "robot" in at else {}
    objects = {solid.name for solid in solids if solid.role == OBJECT}
    return Scene(
        where=field.where,
        margin_m=default.margin_m,
        self_margin_m=_margin(robot["margin"]) if "margin" in robot else SELF_MARGIN_M,
        padding_m=_padding(robot["padding"]) if "padding" in robot else {},
        solids=tuple(solids),
        carried=carried,
        contacts=_contacts(at["contact"], objects) if "contact" in at else {},
        always_touching=_touching(at["always_touching"]) if "always_touching" in at else {},
    )


@dataclass(frozen=True, slots=True)
class _Default:
    """What the file gives for things that do not give it themselves."""

    margin_m: float
    frame: str | None
    read_mesh: ReadMesh

    def margin(self, at: Mapping[str, Field]) -> float:
        return _margin(at["margin"]) if "margin" in at else self.margin_m

    def frame_of(self, at: Mapping[str, Field]) -> str | None:
        return at["frame"].text() if "frame" in at else self.frame


def _entries(at: Mapping[str, Field], key: str) -> list[tuple[str, Field]]:
    return list(at[key].entries().items()) if key in at else []


def _refuse_twice(groups: list[Field]) -> None:
    """Names are unique over the file: messages name a thing by its name alone."""
    seen: set[str] = set()
    for group in groups:
        for name, one in group.entries().items():
            if name in seen:
                raise one.problem(f"the name {name!r} is given twice, expected different names")
            seen.add(name)


def _margin(field: Field) -> float:
    return field.number(SMALLEST_MARGIN_M, LARGEST_MARGIN_M)


def _typed(field: Field, tables: Mapping[str, Keys]) -> tuple[str, dict[str, Field]]:
    """The type of a thing, and its keys by the table of that type."""
    kind = field.entries().get("type")
    if kind is None:
        raise field.problem(f"missing type, expected one of {', '.join(tables)}")
    return kind.choice(*tables), field.keys(tables[kind.choice(*tables)])


def _solid(name: str, role: str, field: Field, default: _Default) -> Solid:
    kind, at = _typed(field, keys.SOLIDS)
    shape = _shape(kind, at)
    if kind == "mesh":
        scale = _three(at["scale"], 1e6) if "scale" in at else np.ones(3)
        if not np.abs(scale).min() > 0.0:
            raise at["scale"].error("three factors other than 0")
        try:
            points = default.read_mesh(at["file"].text(), f"{field.where}: {at['file'].path}")
        except SettingsError as error:
            raise SceneError(str(error), at["file"].path) from error
        shape = replace(shape, points=points * scale)
    return Solid(name, role, (shape,), default.frame_of(at), default.margin(at))


def _room(name: str, field: Field, default: _Default) -> Solid:
    at = field.keys(keys.KEEP_IN)
    box = _shape("box", at)
    links = frozenset(at["links"].names()) if "links" in at else None
    return Solid(name, KEEP_IN, _walls(box), default.frame_of(at), default.margin(at), links)


def _walls(box: Shape) -> tuple[Shape, ...]:
    """The six walls of a box as planes that face inward."""
    walls = []
    for axis, edge_m in enumerate(box.size_m):
        for side in (-1.0, 1.0):
            outward = side * box.rotation[:, axis]
            at = box.xyz_m + 0.5 * edge_m * outward
            walls.append(Shape("plane", (), at, facing(-outward)))
    return tuple(walls)


def _carried(name: str, field: Field) -> Carried:
    kind, at = _typed(field, keys.CARRIED)
    touch = frozenset(at["touch"].names()) if "touch" in at else frozenset()
    condition = _while(at["while"]) if "while" in at else None
    return Carried(name, at["link"].text(), _shape(kind, at), touch, condition)


def _while(field: Field) -> While:
    at = field.keys(keys.WHILE)
    given = [key for key in ("below", "above") if key in at]
    if len(given) != 1:
        raise field.problem(f"got {' and '.join(given) or 'neither'}, expected below or above")
    (key,) = given
    return While(at["joint"].text(), at[key].number(-_LARGEST, _LARGEST), key == "below")


def _shape(kind: str, at: Mapping[str, Field]) -> Shape:
    rotation = _facing(at["normal"]) if "normal" in at else _rotation(at)
    if "size" in at:
        size_m = _edges(at["size"])
    else:
        size_m = tuple(_length(at[key]) for key in ("radius", "length") if key in at)
    return Shape(kind, size_m, _three(at["xyz"], MOST_M), rotation)


def _edges(field: Field) -> tuple[float, ...]:
    items = tuple(field.items())
    if len(items) != 3:
        raise field.error("three lengths, [x, y, z]")
    return tuple(map(_length, items))


def _length(field: Field) -> float:
    length = field.positive()
    if length > MOST_M:
        raise field.error(f"a length up to {MOST_M:g} m; sizes are in m, not in mm")
    return length


def _three(field: Field, most: float) -> Floats:
    items = tuple(field.items())
    if len(items) != 3:
        raise field.error("three numbers, [x, y, z]")
    return np.array([item.number(-most, most) for item in items])


def _rotation(at: Mapping[str, Field]) -> Floats:
    if "rpy" in at and "quaternion" in at:
        raise at["quaternion"].problem("got rpy and quaternion, expected one of them")
    if "rpy" in at:
        return from_rpy(*_three(at["rpy"], 2 * np.pi).tolist())
    if "quaternion" not in at:
        return np.eye(3)
    numbers = [item.number(-1.1, 1.1) for item in at["quaternion"].items()]
    try:
        return matrix_from_quaternion(numbers)
    except RotationError as error:
        raise at["quaternion"].problem(str(error)) from error


def _facing(field: Field) -> Floats:
    """(3, 3) a rotation whose z axis is the direction here."""
    given = _three(field, 1e6)
    length = float(np.linalg.norm(given))
    if length < 1e-6:
        raise field.error("a direction: three numbers that are not all 0")
    return facing(given / length)


def facing(z: Floats) -> Floats:
    """(3, 3) a rotation whose z axis is `z`, (3,) of length 1."""
    x = np.cross(np.eye(3)[int(np.argmin(np.abs(z)))], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _padding(field: Field) -> dict[str, float]:
    return {link: one.number(0.0, LARGEST_MARGIN_M) for link, one in field.entries().items()}


def _contacts(field: Field, objects: set[str]) -> dict[tuple[str, str], Contact]:
    found: dict[tuple[str, str], Contact] = {}
    for item in field.items():
        at = item.keys(keys.CONTACT)
        names = at["objects"].names()
        unknown = sorted(set(names) - objects)
        if unknown:
            known = ", ".join(sorted(objects)) or "none"
            raise at["objects"].problem(
                f"got {', '.join(unknown)}, expected names of objects: {known}"
            )
        contact = Contact(
            at["speed"].positive() if "speed" in at else CONTACT_SPEED_M_S,
            at["within"].positive() if "within" in at else CONTACT_WITHIN_M,
        )
        for link in at["links"].names():
            for name in names:
                if (link, name) in found:
                    raise item.problem(f"{link} and {name} are given twice, expected once")
                found[link, name] = contact
    return found


def _touching(field: Field) -> dict[Names, str]:
    found = {}
    for item in field.items():
        at = item.keys(keys.TOUCHING)
        links = at["links"].names()
        if len(links) != 2:
            raise at["links"].error("two links")
        found[frozenset(links)] = at["evidence"].text()
    return found
