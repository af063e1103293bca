"""The keys of a scene file: one table for each kind of map, one line for each key.

The reader takes from these tables which keys a map must have and may have; its errors, the JSON
Schema and docs/collision.md take the lines.
"""

from __future__ import annotations

from typing import Final

from gr00t_ros.robot.keys import Key, Keys

_FRAME = Key("the frame of xyz and of the rotation. Default: the file's frame", "text")
_XYZ = Key("[x, y, z] of its middle, m", "three")
_RPY = Key("roll, pitch, yaw, rad, as in a URDF. Default: zero", "three")
_QUATERNION = Key("the rotation as [x, y, z, w] in place of rpy", "four")
_MARGIN = Key("m that every link keeps from it. Default: the file's margin", "margin")
_RADIUS = Key("m", "positive")
_LENGTH = Key("full length, m", "positive")
_SIZE = Key("[x, y, z]: full lengths of its edges, m", "three_positive")
_TURNED = {"rpy": _RPY, "quaternion": _QUATERNION}
_PLACED = {"frame": _FRAME, "margin": _MARGIN}
_SOLID: Final = "objects.NAME, keep_out.NAME"
_ATTACHED: Final = "attached.NAME"

FILE = Keys(
    "scene",
    "",
    "The top of the file. At least one of objects, keep_out, keep_in and attached must be there.",
    {"margin": Key("m that links keep from everything without a margin of its own", "margin")},
    {
        "frame": Key(
            "the frame of everything without a frame of its own: a link that is fixed to the base, "
            "or a frame of tf. Default: the robot's base link",
            "text",
        ),
        "robot": Key("margin and padding of the robot's own links", "robot"),
        "objects": Key("solid things, by name", "objects"),
        "keep_out": Key("volumes that no link may enter, by name", "objects"),
        "keep_in": Key("boxes that links may not leave, by name", "boxes"),
        "attached": Key("things that a link carries, always or while a joint says so", "carried"),
        "contact": Key("wanted contacts: which links may touch which objects", "contacts"),
        "always_touching": Key(
            "pairs of links that are not checked because they touch in every posture", "pairs"
        ),
    },
)
ROBOT = Keys(
    "robot",
    "robot",
    "The robot itself.",
    {},
    {
        "margin": Key("m that two of its own links keep from each other. Default: 0.005", "margin"),
        "padding": Key("m by which a link is thicker than its description, by link", "lengths"),
    },
)
BOX = Keys(
    "box",
    _SOLID,
    "A box.",
    {"type": Key("box", "type_box"), "xyz": _XYZ, "size": _SIZE},
    {**_TURNED, **_PLACED},
)
CYLINDER = Keys(
    "cylinder",
    _SOLID,
    "A cylinder along its own z.",
    {"type": Key("cylinder", "type_cylinder"), "xyz": _XYZ, "radius": _RADIUS, "length": _LENGTH},
    {**_TURNED, **_PLACED},
)
SPHERE = Keys(
    "sphere",
    _SOLID,
    "A sphere.",
    {"type": Key("sphere", "type_sphere"), "xyz": _XYZ, "radius": _RADIUS},
    _PLACED,
)
PLANE = Keys(
    "plane",
    _SOLID,
    "A plane; everything behind it is solid.",
    {
        "type": Key("plane", "type_plane"),
        "xyz": Key("[x, y, z] of any point on it, m", "three"),
        "normal": Key("[x, y, z] toward the free side, of any length", "direction"),
    },
    _PLACED,
)
MESH = Keys(
    "mesh",
    _SOLID,
    "The convex hull of a mesh: hollows are filled, so split a thing that has any.",
    {
        "type": Key("mesh", "type_mesh"),
        "xyz": Key("[x, y, z] of the mesh's own origin, m", "three"),
        "file": Key("STL, OBJ or DAE: path from this file's folder, package:// or file://", "text"),
    },
    {"scale": Key("[x, y, z] factors to m. Default: 1", "three"), **_TURNED, **_PLACED},
)
_HELD: Final = {
    "touch": Key("other links that touch it, fingers for example", "names"),
    "while": Key("when it is there. Default: always", "while"),
}
KEEP_IN = Keys(
    "keep_in",
    "keep_in.NAME",
    "A box whose inside links may not leave.",
    {"xyz": _XYZ, "size": _SIZE},
    {
        **_TURNED,
        "frame": _FRAME,
        "margin": Key("m that are kept from its walls. Default: the file's margin", "margin"),
        "links": Key("the links that stay inside. Default: every link that moves", "names"),
    },
)
CARRIED_BOX = Keys(
    "attached_box",
    _ATTACHED,
    "A box that a link carries.",
    {
        "type": Key("box", "type_box"),
        "link": Key("the link that carries it", "text"),
        "xyz": Key("[x, y, z] of its middle in the link, m", "three"),
        "size": _SIZE,
    },
    {**_TURNED, **_HELD},
)
CARRIED_SPHERE = Keys(
    "attached_sphere",
    _ATTACHED,
    "A sphere that a link carries.",
    {
        "type": Key("sphere", "type_sphere"),
        "link": Key("the link that carries it", "text"),
        "xyz": Key("[x, y, z] of its middle in the link, m", "three"),
        "radius": _RADIUS,
    },
    _HELD,
)
WHILE = Keys(
    "while",
    f"{_ATTACHED}.while",
    "When a thing is there, by a measured joint. Give below or above. While the joint is not "
    "known, the thing counts as there.",
    {"joint": Key("a joint of the gripper, on a joint-state topic of the embodiment file", "text")},
    {
        "below": Key("there while the joint is below this, rad or m", "number"),
        "above": Key("there while the joint is above this, rad or m", "number"),
    },
)
CONTACT = Keys(
    "contact",
    "contact[]",
    "One wanted contact.",
    {
        "links": Key("the links and attached things that may touch, fingers for example", "names"),
        "objects": Key("what they may touch: names of `objects`", "names"),
    },
    {
        "speed": Key("highest speed toward the object near it, m/s. Default: 0.10", "positive"),
        "within": Key("m from the object within which the speed holds. Default: 0.05", "positive"),
    },
)
TOUCHING = Keys(
    "always_touching",
    "always_touching[]",
    "One pair of links that touch in every posture.",
    {
        "links": Key("the two links", "names"),
        "evidence": Key("how it was found, for those who read the file", "text"),
    },
)

SOLIDS: Final = {"box": BOX, "cylinder": CYLINDER, "sphere": SPHERE, "plane": PLANE, "mesh": MESH}
CARRIED: Final = {"box": CARRIED_BOX, "sphere": CARRIED_SPHERE}
TABLES: Final = (
    *(FILE, ROBOT, *SOLIDS.values(), KEEP_IN, *CARRIED.values()),
    *(WHILE, CONTACT, TOUCHING),
)
"""Every table, in the order of the document."""
