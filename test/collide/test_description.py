"""A robot's model from its URDF: tree, joints, shapes, adjacency, and what is refused."""

import numpy as np
import pytest
from arm_urdf import robot, urdf

from gr00t_ros.collide.description import disabled_pairs, read_description
from gr00t_ros.collide.files import load_description, read_mesh
from gr00t_ros.errors import SettingsError

BALL = '<sphere radius="0.1"/>'
TURN = '<axis xyz="0 0 2"/><limit lower="-1" upper="2"/>'


def test_joints_and_shapes_are_as_the_urdf_has_them():
    """Axes of length 1, ranges, mimic joints with the range that they can reach."""
    mimic = '<axis xyz="1 0 0"/><limit lower="0" upper="0.1"/>'
    mimic += '<mimic joint="turn" multiplier="-2" offset="1"/>'
    found = robot(
        {"base": "", "arm": BALL, "jaw": '<box size="1 2 3"/>'},
        [("turn", "revolute", "base", "arm", TURN), ("slide", "prismatic", "arm", "jaw", mimic)],
    )
    assert found.root == "base" and found.joint_names == ("turn",)
    assert found.ranges(["turn"]).T.tolist() == [[-1.0, 2.0]]
    turn, slide = found.links["arm"].joint, found.links["jaw"].joint
    assert turn.axis.tolist() == [0, 0, 1] and not turn.slides
    assert slide.slides and (slide.follows, slide.scale, slide.offset) == ("turn", -2.0, 1.0)
    assert slide.range == (-3.0, 3.0)
    assert found.links["jaw"].shapes[0].size_m == (1.0, 2.0, 3.0)


def test_links_are_adjacent_through_links_without_shapes():
    """A parent's shape is found over empty links; brothers are not adjacent."""
    found = robot(
        {"base": BALL, "empty": "", "arm": BALL, "left": BALL, "right": BALL},
        [
            ("a", "revolute", "base", "empty", TURN),
            ("b", "revolute", "empty", "arm", TURN),
            ("c", "revolute", "arm", "left", TURN),
            ("d", "revolute", "arm", "right", TURN),
        ],
    )
    pairs = {tuple(sorted(pair)) for pair in found.adjacent()}
    assert pairs == {("arm", "base"), ("arm", "left"), ("arm", "right")}


def test_a_fixed_link_has_a_pose_in_the_base():
    """The product of the origins; none where a joint moves."""
    place = '<origin xyz="1 2 3" rpy="0 0 1.5707963267948966"/>'
    found = robot(
        {"base": "", "stand": "", "top": "", "arm": BALL},
        [
            ("a", "fixed", "base", "stand", place),
            ("b", "fixed", "stand", "top", place),
            ("c", "revolute", "top", "arm", TURN),
        ],
    )
    at, axes = found.fixed_pose("top")
    assert at == pytest.approx([-1.0, 3.0, 6.0]) and axes[:, 0] == pytest.approx([-1, 0, 0])
    assert found.fixed_pose("arm") is None


@pytest.mark.parametrize("kind", ["floating", "planar"])
@pytest.mark.parametrize("above", [0, 2])
def test_the_robot_begins_below_what_lets_its_base_stand_anywhere(kind, above):
    """Humanoids and mobile robots: links, poses and joints are those without the world above."""
    links = {"base": "", "stand": BALL, "arm": BALL}
    place = '<origin xyz="1 2 3" rpy="0 0 1"/>'
    joints = [("a", "fixed", "base", "stand", place), ("b", "revolute", "stand", "arm", TURN)]
    alone = robot(links, joints)
    chain = ["world", *(f"part{n}" for n in range(above)), "base"]
    over = [
        (f"joint{n}", kind if n == above else "fixed", parent, child, place)
        for n, (parent, child) in enumerate(zip(chain, chain[1:], strict=False))
    ]
    found = robot({**dict.fromkeys(chain, ""), **links}, [*over, *joints])
    assert found.root == "base" and list(found.links) == list(alone.links)
    assert found.joint_names == alone.joint_names == ("b",)
    for one, other in zip(found.fixed_pose("stand"), alone.fixed_pose("stand"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.adjacent() == alone.adjacent()


@pytest.mark.parametrize("kind", ["floating", "planar"])
def test_a_loose_part_above_the_first_shape_of_the_robot_is_named(kind):
    """The base has no shape of its own, as a base_link; it ended in a KeyError."""
    joints = [("loose", kind, "base", "part", ""), ("b", "revolute", "base", "arm", TURN)]
    text = f"joint 'loose' is {kind}, and both 'arm' and 'part', on its two sides, have collision"
    with pytest.raises(SettingsError, match=text):
        robot({"base": "", "part": BALL, "arm": BALL}, joints)


@pytest.mark.parametrize("kind", ["floating", "planar"])
def test_a_loose_part_without_shapes_is_no_part_of_the_robot(kind):
    """One with shapes is refused: nobody knows where it is."""
    joints = [("b", "revolute", "base", "arm", TURN), ("loose", kind, "arm", "part", "")]
    found = robot({"base": BALL, "arm": BALL, "part": ""}, joints)
    assert found.root == "base" and list(found.links) == ["base", "arm"]
    text = f"joint 'loose' is {kind}, and both 'arm' and 'part', on its two sides, have collision"
    with pytest.raises(SettingsError, match=text):
        robot({"base": BALL, "arm": BALL, "part": BALL}, joints)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_a_joint_that_mimics_follows_the_joint_at_the_end_of_its_chain(order):
    """Multiplied and moved by each joint between, wherever these stand in the tree."""
    numbers = [None, (2.0, 0.1), (-0.5, 0.2), (3.0, -0.3)]  # of joints 0 to 3
    names = [f"j{index}" for index in range(4)]
    links = {"base": "", **{f"link{place}": "" for place in range(4)}}
    joints = []
    for place, index in enumerate(order):
        mimic = '<axis xyz="0 0 1"/><limit lower="-0.1" upper="0.4"/>'
        if index:
            scale, offset = numbers[index]
            mimic += f'<mimic joint="j{index - 1}" multiplier="{scale}" offset="{offset}"/>'
        parent = f"link{place - 1}" if place else "base"
        joints.append((names[index], "revolute", parent, f"link{place}", mimic))
    found = {one.joint.name: one.joint for one in robot(links, joints).links.values()}
    for own in (-0.1, 0.0, 0.4):
        position = own
        for index, name in enumerate(names):
            if index:
                scale, offset = numbers[index]
                position = scale * position + offset
            joint = found[name]
            assert joint.follows == "j0"
            assert joint.scale * own + joint.offset == pytest.approx(position)
            assert joint.range[0] - 1e-9 <= position <= joint.range[1] + 1e-9


@pytest.mark.parametrize(
    ("first", "second"), [("b", "a"), ("b", "gone"), ("gone", "a"), ("b", "loose"), ("b", "stiff")]
)
def test_a_mimic_that_leads_to_no_joint_that_moves_is_refused(first, second):
    """Round in a circle, to a joint that is not there, or to one that does not move."""
    links = {"base": "", "one": "", "two": "", "three": BALL, "four": ""}
    joints = [
        ("a", "revolute", "base", "one", f'<mimic joint="{first}"/>'),
        ("b", "revolute", "one", "two", f'<mimic joint="{second}"/>'),
        ("stiff", "fixed", "two", "three", ""),
        ("loose", "floating", "three", "four", ""),
    ]
    with pytest.raises(SettingsError, match=r"test.urdf: joint '.' mimics in the end '"):
        robot(links, joints)


@pytest.mark.parametrize(
    ("links", "joints", "message"),
    [
        ({"base": "", "arm": '<sphere radius="0"/>'}, "revolute", "sphere of 0 m, expected sizes"),
        ({"base": "", "arm": '<box size="1 1"/>'}, "revolute", "box size='1 1', expected three"),
        ({"base": "", "arm": "<torus/>"}, "revolute", "geometry 'torus', expected box, sphere"),
        ({"base": "", "arm": BALL}, "screw", "is of type 'screw', expected a name and a type"),
        ({"base": "", "arm": BALL, "lost": BALL}, "revolute", "got 2 links without a parent"),
        (
            {"base": "", "arm": '<mesh filename="package://gone/arm.stl"/>'},
            "revolute",
            "link 'arm': mesh 'package://gone/arm.stl': no such file",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(links, joints, message):
    """The message names the file, the link or joint, and what was expected."""
    text = urdf(links, [("turn", joints, "base", "arm", TURN)])
    with pytest.raises(SettingsError) as caught:
        read_description(text, "my.urdf", read_mesh)
    assert message in str(caught.value) and str(caught.value).startswith("my.urdf")


def test_an_srdf_disables_pairs_with_their_reasons(tmp_path):
    """Files are read beside each other; a row without two links is refused."""
    row = '<disable_collisions link1="base" link2="arm" reason="Never"/>'
    (tmp_path / "r.srdf").write_text(f'<robot name="r">{row}</robot>')
    text = urdf({"base": BALL, "arm": BALL}, [("turn", "revolute", "base", "arm", TURN)])
    (tmp_path / "r.urdf").write_text(text)
    found = load_description(tmp_path / "r.urdf", tmp_path / "r.srdf")
    assert dict(found.disabled) == {frozenset({"base", "arm"}): "Never"}
    with pytest.raises(SettingsError, match="expected two links: link1, link2"):
        disabled_pairs('<robot><disable_collisions link1="base"/></robot>', "r.srdf")


def test_the_core_of_a_shape_contains_it():
    """Balls around the core's points reach at least as far as the shape in every direction."""
    from convex import support

    kinds = '<cylinder radius="0.1" length="0.3"/>', '<capsule radius="0.1" length="0.3"/>'
    for kind in (*kinds, BALL, '<box size="0.1 0.2 0.3"/>'):
        shape = robot({"base": kind}, []).links["base"].shapes[0]
        points, radius_m = shape.placed_core
        for way in np.random.default_rng(0).normal(size=(50, 3)):
            way /= np.linalg.norm(way)
            assert (points @ way).max() + radius_m >= support(shape, way) @ way - 1e-12
