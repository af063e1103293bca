"""Which pairs are checked: link with link, link with object, and things that a link carries.

Not checked are adjacent links, pairs that an SRDF or the scene file takes out, a carried thing with
the links that touch it, and pairs whose two bodies no commanded joint moves against each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gr00t_ros.collide.description import Description, Names, Shape
from gr00t_ros.collide.scene import KEEP_IN, Carried, Contact, Scene, Solid


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """What is measured as one: the shapes of a link, of a carried thing, or of a solid.

    link: in whose frame the shapes are; None for a solid, which is in the robot's base.
    """

    name: str
    link: str | None
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two bodies by name, and the distance that is to be kept between them, m.

    `second` is an object or volume of the scene if `is_scene`. inside: `first` must stay inside of
    `second`. contact: the two may touch, slowly.
    """

    first: str
    second: str
    margin_m: float
    is_scene: bool = False
    inside: bool = False
    contact: Contact | None = None

    def __str__(self) -> str:
        return f"{self.first} and {'a wall of ' if self.inside else ''}{self.second}"


def bodies_of(
    description: Description, carried: Sequence[Carried] = (), solids: Sequence[Solid] = ()
) -> dict[str, Body]:
    """All bodies by name: links with shapes, carried things, solids."""
    links = [link for link in description.links.values() if link.shapes]
    found = {link.name: Body(link.name, link.name, link.shapes) for link in links}
    found |= {one.name: Body(one.name, one.link, (one.shape,)) for one in carried}
    found |= {one.name: Body(one.name, None, one.shapes) for one in solids}
    return found


def moves_apart(
    description: Description, first: str | None, second: str | None, joint_names: Collection[str]
) -> bool:
    """Whether one of these joints moves the two links (None: the base) against each other."""
    links = set(description.moving(first) if first else ()) ^ set(
        description.moving(second) if second else ()
    )
    return any(description.links[one].joint.follows in joint_names for one in links)


def checked_pairs(
    description: Description,
    scene: Scene | None,
    bodies: Mapping[str, Body],
    joint_names: Collection[str],
    unchecked: Collection[Names],
    self_margin_m: float,
    places: Sequence[Solid] = (),
) -> tuple[Pair, ...]:
    """The pairs to check, link with link first. unchecked: pairs of links to leave out.

    places: solids of no scene file, which every link keeps clear of.
    """
    carried = {one.name: one for one in (scene.carried if scene else ())}
    own = [body for body in bodies.values() if body.link is not None]
    off = description.adjacent() | frozenset(unchecked)
    found = [
        Pair(one.name, other.name, self_margin_m)
        for index, one in enumerate(own)
        for other in own[index + 1 :]
        if frozenset({one.name, other.name}) not in off
        and not _carries(carried, one, other)
        and moves_apart(description, one.link, other.link, joint_names)
    ]
    for body in own:
        if not moves_apart(description, body.link, None, joint_names):
            continue
        for solid in (*(scene.solids if scene else ()), *places):
            if solid.links is None or body.link in solid.links:
                contact = scene.contacts.get((body.name, solid.name)) if scene else None
                inside = solid.role == KEEP_IN
                found.append(Pair(body.name, solid.name, solid.margin_m, True, inside, contact))
    return tuple(found)


def _carries(carried: Mapping[str, Carried], one: Body, other: Body) -> bool:
    """Whether one is carried and touches the other, or both are carried by one link."""
    for thing, link in ((one, other), (other, one)):
        if thing.name in carried:
            row = carried[thing.name]
            if link.link == row.link or link.name in row.touch:
                return True
    return False
