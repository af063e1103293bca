"""Distances: of every kind of shape, against another method and against formulas."""

import sys

import numpy as np
import pytest
from arm_urdf import FLYER_JOINTS, flyer, robot
from convex import distance, support

pytest.importorskip("mujoco", reason="the collision check needs MuJoCo")

from gr00t_ros.collide.description import Shape  # noqa: E402
from gr00t_ros.collide.engine import ERROR_M, FAR_M, CollisionEngine  # noqa: E402
from gr00t_ros.collide.scene import parse_scene  # noqa: E402
from gr00t_ros.errors import SceneError, SettingsError  # noqa: E402
from gr00t_ros.robot.rotation import from_rpy  # noqa: E402

SHAPES = {
    "sphere": '<sphere radius="0.06"/>',
    "box": '<box size="0.1 0.2 0.3"/>',
    "cylinder": '<cylinder radius="0.05" length="0.3"/>',
    "capsule": '<capsule radius="0.05" length="0.3"/>',
    "rod": '<cylinder radius="0.004" length="0.6"/>',
    "mesh": "mesh",
}
SOLIDS = {
    "sphere": {"type": "sphere", "radius": 0.1},
    "box": {"type": "box", "size": [0.4, 0.1, 0.2]},
    "plate": {"type": "box", "size": [1.0, 0.8, 0.005]},
    "cylinder": {"type": "cylinder", "radius": 0.1, "length": 0.4},
    "mesh": {"type": "mesh", "file": "any.stl"},
    "plane": {"type": "plane", "normal": [0.2, -0.1, 1.0]},
}
POINTS = np.random.default_rng(5).normal(size=(60, 3)) * [0.1, 0.05, 0.15]


def points_of_no_file(_url, _place):
    """Takes the place of reading a mesh's file."""
    return POINTS


def scene(content):
    """A scene of plain values; everything in it has a place."""
    for group in ("objects", "keep_out"):
        for thing in content.get(group, {}).values():
            thing.setdefault("xyz", [0.0, 0.0, 0.0])
    return parse_scene({"margin": 0.01, **content}, "scene.yaml", points_of_no_file)


def flying(kind, solid):
    """An engine of one flying shape and one solid, turned a little; and both shapes."""
    geometry = SHAPES[kind]
    description = flyer('<sphere radius="1"/>' if geometry == "mesh" else geometry)
    if geometry == "mesh":
        mesh = Shape("mesh", (), np.zeros(3), np.eye(3), POINTS)
        links = dict(description.links)
        links["body"] = type(links["body"])(
            "body", links["body"].parent, links["body"].joint, (mesh,)
        )
        description = type(description)(description.where, links, {})
    row = dict(SOLIDS[solid])
    if solid not in ("sphere", "plane"):
        row["rpy"] = [0.3, -0.2, 0.5]
    around = scene({"objects": {"thing": row}})
    engine = CollisionEngine(description, around, FLYER_JOINTS)
    return engine, description.links["body"].shapes[0], around.solids[0].shapes[0]


def moved(shape, q):
    """The flyer's shape at q."""
    return Shape(
        *(shape.kind, shape.size_m, np.array(q[:3]), from_rpy(q[5], q[4], q[3]), shape.points)
    )


def height(shape, plane):
    """The least height of a shape above a plane, by its supporting point."""
    normal = plane.rotation[:, 2]
    return float(normal @ (support(shape, -normal) - plane.xyz_m))


@pytest.mark.parametrize("solid", SOLIDS)
@pytest.mark.parametrize("kind", SHAPES)
def test_distances_are_right_for_every_two_kinds(kind, solid):
    """In random places within 1e-5 m of another method; not above 0 where that finds a contact."""
    engine, shape, thing = flying(kind, solid)
    random = np.random.default_rng(list(map(ord, kind + solid)))
    touching = 0
    for _ in range(60):
        q = np.concatenate([random.normal(size=3) * 0.25, random.uniform(-3, 3, size=3)])
        if random.random() < 0.3:
            q[3:] = (0.5, -0.2, 0.3)  # faces and edges in parallel
        found = float(engine.distances(q)[0])
        wanted = (height if solid == "plane" else distance)(moved(shape, q), thing)
        touching += wanted <= 0.0
        assert found == pytest.approx(wanted, abs=ERROR_M) or max(found, wanted) <= 0.0
    assert touching < 60


@pytest.mark.parametrize("kind", SHAPES)
def test_a_short_look_finds_the_same_near_distances(kind):
    """With `enough_m`, near distances are unchanged and far ones lie between that and the truth."""
    engine, _, _ = flying(kind, "plate")
    random = np.random.default_rng(3)
    for _ in range(100):
        q = np.concatenate([random.normal(size=3) * 0.25, random.uniform(-3, 3, size=3)])
        full, short = float(engine.distances(q)[0]), float(engine.distances(q, 0.1)[0])
        assert short == pytest.approx(full, abs=1e-12) if full < 0.1 else 0.1 <= short <= full


def test_a_rod_stands_8_mm_beside_a_plate_of_5_mm():
    """Thin things have the distance of the formula, upright and flat, on both sides."""
    engine, _, _ = flying("rod", "sphere")
    description = engine.description
    around = scene({"objects": {"plate": dict(SOLIDS["plate"])}})
    engine = CollisionEngine(description, around, FLYER_JOINTS)
    for side in (-1.0, 1.0):
        lying = [0.1, 0.0, side * 0.0145, 0.4, np.pi / 2, 0.0]
        assert engine.distances(np.array(lying))[0] == pytest.approx(0.008, abs=ERROR_M)
        upright = [0.1, 0.0, side * 0.3105, 0.0, 0.0, 0.0]
        assert engine.distances(np.array(upright))[0] == pytest.approx(0.008, abs=ERROR_M)
    through = np.array([0.1, 0.0, 0.0, 0.0, 0.3, 0.0])
    assert engine.distances(through)[0] <= 0.0


@pytest.mark.parametrize("kind", SHAPES)
def test_a_shape_that_is_wholly_inside_touches(kind):
    """Nothing reads a clearance inside of a solid."""
    engine, _, _ = flying(kind, "sphere")
    around = scene({"objects": {"block": {"type": "box", "size": [2.0, 2.0, 2.0]}}})
    engine = CollisionEngine(engine.description, around, FLYER_JOINTS)
    assert engine.distances(np.array([0.1, 0.0, -0.1, 0.3, 0.2, 0.1]))[0] <= 0.0


def test_a_keep_in_box_is_kept_from_inside():
    """The distance is that of the nearest wall, and below 0 outside."""
    description = flyer(SHAPES["sphere"])
    around = scene({"keep_in": {"cell": {"xyz": [0, 0, 1], "size": [2, 2, 2]}}})
    engine = CollisionEngine(description, around, FLYER_JOINTS)
    assert [str(pair) for pair in engine.pairs] == ["body and a wall of cell"]
    at = np.zeros(6)
    for z, wanted in ((1.0, 0.94), (0.2, 0.14), (0.06, 0.0), (-0.5, -0.56)):
        at[2] = z
        assert engine.distances(at)[0] == pytest.approx(wanted, abs=ERROR_M)


ARM = (
    {"base": '<box size="0.1 0.1 0.1"/>', "arm": '<sphere radius="0.05"/>', "jaw": ""},
    [
        ("lift", "prismatic", "base", "arm", '<axis xyz="0 0 1"/><limit lower="0" upper="2"/>'),
        ("grip", "prismatic", "arm", "jaw", '<axis xyz="1 0 0"/><limit lower="0" upper="0.2"/>'),
    ],
)


def arm_with_jaw():
    """A base, an arm that slides up from it, and a jaw that slides out of the arm."""
    links, joints = ARM
    return robot({**links, "jaw": '<sphere radius="0.02"/>'}, joints)


WALL = {"wall": {"type": "plane", "xyz": [0.5, 0, 0], "normal": [-1, 0, 0]}}


def test_a_held_joint_counts_where_it_may_be():
    """At one position exactly; in a range no distance is larger than at any of its positions."""
    around = scene({"objects": dict(WALL)})
    engine = CollisionEngine(arm_with_jaw(), around, ["lift"], held={"grip": 0.1})
    names = [str(pair) for pair in engine.pairs]
    jaw = names.index("jaw and wall")
    q = np.array([1.0])
    assert engine.distances(q)[jaw] == pytest.approx(0.38, abs=ERROR_M)
    engine.hold({"grip": (0.0, 0.2)})
    assert engine.distances(q)[jaw] == pytest.approx(0.28, abs=ERROR_M)
    assert engine.distances(q)[names.index("arm and wall")] == pytest.approx(0.45, abs=ERROR_M)


def hand_that_turns():
    """A 2F-85's proportions: a knuckle that closes by 0.8 rad, and a tip that stays upright."""
    limit = '<limit lower="0" upper="0.8"/>'
    joints = [
        ("lift", "prismatic", "base", "palm", '<axis xyz="0 0 1"/><limit lower="0" upper="2"/>'),
        (
            *("knuckle", "revolute", "palm", "finger"),
            '<origin xyz="0.03 0 -0.05"/><axis xyz="0 1 0"/>' + limit,
        ),
        (
            *("tip", "revolute", "finger", "pad"),
            '<origin xyz="0.05 0 -0.05"/><axis xyz="0 1 0"/><limit lower="-1" upper="1"/>'
            '<mimic joint="knuckle" multiplier="-1"/>',
        ),
    ]
    shapes = {"palm": '<sphere radius="0.03"/>', "pad": '<box size="0.02 0.02 0.09"/>'}
    return robot({"base": "", "palm": "", "finger": "", **shapes}, joints)


@pytest.mark.parametrize("among", [0, 40])
def test_a_joint_that_turns_counts_where_it_may_be_and_not_much_nearer(among):
    """Over a table a gripper was 5 cm nearer than in its worst posture, and could not grasp.

    With many other things around, boxes are compared before shapes are measured.
    """
    far = {"type": "sphere", "radius": 0.05}
    others = {f"far_{n}": {**far, "xyz": [2.0 + 0.1 * n, 0, 1]} for n in range(among)}
    around = scene(
        {"objects": {"table": {"type": "plane", "xyz": [0, 0, 0], "normal": [0, 0, 1]}, **others}}
    )
    engine = CollisionEngine(hand_that_turns(), around, ["lift"], held={"knuckle": 0.0})
    row = [str(pair) for pair in engine.pairs].index("pad and table")
    for height in (0.5, 0.25, 0.16):
        q, nearest = np.array([height]), FAR_M
        for at in np.linspace(0.0, 0.8, 81):
            engine.hold({"knuckle": at})
            nearest = min(nearest, engine.distances(q)[row])
        engine.hold({"knuckle": (0.0, 0.8)})
        found = engine.distances(q)[row]
        assert nearest - 0.015 < found <= nearest + ERROR_M
        assert engine.distances(q, nearest - 0.02)[row] >= nearest - 0.02
        assert engine.distances(q, nearest + 0.02)[row] == pytest.approx(found)


def test_padding_makes_a_link_thicker():
    """Distances of the padded link are smaller by the padding, others are unchanged."""
    plain = scene({"objects": dict(WALL)})
    padded = scene({"objects": dict(WALL), "robot": {"padding": {"jaw": 0.03}}})
    held, q = {"grip": 0.1}, np.array([1.0])
    before = CollisionEngine(arm_with_jaw(), plain, ["lift"], held=held)
    after = CollisionEngine(arm_with_jaw(), padded, ["lift"], held=held)
    for pair, was, now in zip(before.pairs, before.distances(q), after.distances(q), strict=True):
        thinner = 0.03 if "jaw" in (pair.first, pair.second) else 0.0
        assert now == pytest.approx(was - thinner, abs=1e-12)


def test_a_carried_thing_is_checked_while_it_is_there():
    """Absent it is far away; present it is measured, but never with what holds it."""
    cube = {"type": "box", "link": "jaw", "xyz": [0.1, 0, 0], "size": [0.1, 0.1, 0.1]}
    around = scene({"objects": dict(WALL), "attached": {"cube": {**cube, "touch": ["arm"]}}})
    engine = CollisionEngine(arm_with_jaw(), around, ["lift"], held={"grip": 0.1})
    names = [str(pair) for pair in engine.pairs]
    assert {name for name in names if "cube" in name} == {"base and cube", "cube and wall"}
    row, q = names.index("cube and wall"), np.array([1.0])
    assert engine.distances(q)[row] == FAR_M
    engine.carry(["cube"])
    assert engine.distances(q)[row] == pytest.approx(0.25, abs=ERROR_M)
    engine.carry([])
    assert engine.distances(q)[row] == FAR_M
    with pytest.raises(SettingsError, match="got ball, expected names of attached things: cube"):
        engine.carry(["ball"])


def test_places_in_another_frame_are_looked_up():
    """A frame may be a link that is fixed to the base, or one that the caller knows."""
    wall = {"type": "plane", "xyz": [0, 0, 0], "normal": [0, 0, 1], "frame": "table"}
    around = scene({"objects": {"wall": wall}})
    turned = np.array([0.5, 0, 0]), from_rpy(0.0, -np.pi / 2, 0.0)
    known = {"table": turned}
    engine = CollisionEngine(arm_with_jaw(), around, ["lift"], held={"grip": 0.1}, lookup=known.get)
    row = [str(pair) for pair in engine.pairs].index("jaw and wall")
    assert engine.distances(np.array([1.0]))[row] == pytest.approx(0.38, abs=ERROR_M)
    with pytest.raises(SceneError, match="objects.wall: frame 'table' is unknown or moves"):
        CollisionEngine(arm_with_jaw(), around, ["lift"], held={"grip": 0.1})


@pytest.mark.parametrize("kind", SOLIDS)
def test_a_solid_that_moves_is_measured_where_it_is(kind):
    """As by an engine that was made with it there; another size is refused."""
    engine, _, thing = flying("box", kind)
    new = Shape(
        *(thing.kind, thing.size_m, np.array([0.3, -0.2, 0.1]), from_rpy(1.0, 0.5, -2.0)),
        thing.points,
    )
    engine.place("thing", [new])
    lookup = {"there": (new.xyz_m, new.rotation @ thing.rotation.T)}
    row = dict(SOLIDS[kind])
    if kind not in ("sphere", "plane"):
        row["rpy"] = [0.3, -0.2, 0.5]
    around = scene({"frame": "there", "objects": {"thing": row}})
    fresh = CollisionEngine(engine.description, around, FLYER_JOINTS, lookup=lookup.get)
    random = np.random.default_rng(7)
    for _ in range(20):
        q = np.concatenate([random.normal(size=3) * 0.4, random.uniform(-3, 3, size=3)])
        assert engine.distances(q) == pytest.approx(fresh.distances(q), abs=1e-9)
    with pytest.raises(SettingsError, match="got another size|expected a solid of the scene"):
        engine.place("thing", [Shape("sphere", (0.2,), np.zeros(3), np.eye(3))])


def test_a_position_that_is_not_a_number_is_refused():
    """No distance of an unknown posture looks like a clearance."""
    engine, _, _ = flying("box", "box")
    with pytest.raises(SettingsError, match="joint positions: got .*nan.*, expected finite"):
        engine.distances(np.array([0.0, 0.0, np.nan, 0.0, 0.0, 0.0]))


def test_a_robot_without_collision_shapes_is_refused():
    """A description for display alone must not look like a robot that touches nothing."""
    with pytest.raises(SettingsError, match="no link has a collision shape"):
        CollisionEngine(flyer(""), None, FLYER_JOINTS)


def test_joints_that_do_not_fit_are_refused():
    """Each message names the joint and what was expected."""
    description = arm_with_jaw()
    with pytest.raises(SettingsError, match="joint grip is not commanded, and no position to hold"):
        CollisionEngine(description, None, ["lift"])
    with pytest.raises(SettingsError, match="got joint elbow, expected joints that move"):
        CollisionEngine(description, None, ["lift", "elbow"], held={"grip": 0.0})
    with pytest.raises(SettingsError, match="joint lift is given twice"):
        CollisionEngine(description, None, ["lift"], held={"grip": 0.0, "lift": 0.0})
    with pytest.raises(SettingsError, match="held position: got nan"):
        CollisionEngine(description, None, ["lift"], held={"grip": float("nan")})


def test_without_mujoco_the_error_says_how_to_install_it(monkeypatch):
    """One line with the command and the rosdep key."""
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(SettingsError, match="pip install mujoco .rosdep key python3-mujoco-pip"):
        CollisionEngine(arm_with_jaw(), None, ["lift"], held={"grip": 0.0})


@pytest.mark.parametrize("kind", ["sphere", "box", "capsule", "mesh"])
def test_the_witness_has_the_nearest_points_of_both(kind):
    """They are as far apart as the distance, and another thread's look changes nothing."""
    engine, _, _ = flying(kind, "box")
    names = engine.pairs[0].first, engine.pairs[0].second
    random = np.random.default_rng(2)
    for _ in range(20):
        q = np.concatenate([random.normal(size=3) * 0.6, random.uniform(-3, 3, size=3)])
        before = engine.distances(q)[0]
        witness = engine.witness(names, q)
        if before > 0.0:
            apart = np.linalg.norm(witness.first_m - witness.second_m)
            assert witness.distance_m == pytest.approx(before, abs=ERROR_M)
            assert apart == pytest.approx(before, abs=1e-4)
        assert engine.distances(q)[0] == before
    assert engine.witness(("nobody", "box"), q) is None
