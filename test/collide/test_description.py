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


@pytest.mark.parametrize(
    ("links", "joints", "message"),
    [
        ({"base": "", "arm": '<sphere radius="0"/>'}, "revolute", "sphere of 0 m, expected sizes"),
        ({"base": "", "arm": '<box size="1 1"/>'}, "revolute", "box size='1 1', expected three"),
        ({"base": "", "arm": "<torus/>"}, "revolute", "geometry 'torus', expected box, sphere"),
        ({"base": "", "arm": BALL}, "planar", "is of type 'planar', expected a name and a type"),
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
