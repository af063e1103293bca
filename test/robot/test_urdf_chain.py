"""The chain between two links of a URDF: its pose by hand and by scipy, and every refusal."""

import copy

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation
from urdf_robot import CRANE, VALID, fr3_urdf, with_kinematics

from gr00t_ros.errors import EmbodimentError, SettingsError
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.urdf.chain import urdf_chain
from gr00t_ros.robot.urdf.text import urdf_root


def chain(text=CRANE, base="base", link="flange"):
    """The chain of a text between two of its links."""
    return urdf_chain(urdf_root(text, "crane.urdf"), base, link, "crane.urdf")


def crane_pose(lift, shoulder, elbow):
    """Position and matrix of the flange in the base, each joint written out, by scipy."""
    turned = Rotation.from_euler("xyz", [0.3, -0.2, 1.1])
    turned *= Rotation.from_rotvec([0, shoulder, 0])
    position = np.array([0, 0, 0.5 + lift]) + [0.1, 0, 0] + turned.apply([0.4, 0, 0])
    turned *= Rotation.from_rotvec([elbow, 0, 0])  # no axis: x
    position += turned.apply([0, 0, 0.2])
    return position, (turned * Rotation.from_euler("y", np.pi / 2)).as_matrix()


@pytest.mark.parametrize("joints", [(0, 0, 0), (0.2, 0.7, -0.4), (-0.1, -9.0, 2.0)])
def test_each_kind_of_joint_moves_as_the_specification_says(joints):
    """Slides along its axis, whatever its length, or turns about it; x where none is named."""
    found = chain()
    assert found.joint_names == ("lift", "shoulder", "elbow")
    position, rotation = found.pose(np.array(joints, dtype=float))
    expected = crane_pose(*joints)
    np.testing.assert_allclose(position, expected[0], atol=1e-12)
    np.testing.assert_allclose(rotation, expected[1], atol=1e-12)


def test_many_positions_at_once_are_those_one_by_one():
    """Rows of a chunk; values in another order by the joints' names."""
    rows = np.random.default_rng(1).normal(size=(5, 3))
    positions, rotations = chain().pose(rows)
    for row, joints in enumerate(rows):
        position, rotation = (
            chain()
            .among(("elbow", "x", "shoulder", "lift"))
            .pose(np.array([joints[2], 9.0, joints[1], joints[0]]))
        )
        np.testing.assert_allclose(positions[row], position, atol=1e-12)
        np.testing.assert_allclose(rotations[row], rotation, atol=1e-12)


def test_the_shipped_chain_is_that_of_the_fr3s_urdf():
    """The same pose to a nanometre, wherever the joints are."""
    (eef, *_) = parse(VALID, "robot.yaml").state
    found = chain(fr3_urdf(), "fr3_link0", "fr3_link8")
    assert found.joint_names == eef.names
    joints = np.random.default_rng(2).uniform(-2.8, 2.8, (50, 7))
    for ours, theirs in zip(eef.chain.pose(joints), found.pose(joints), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9, rtol=0)


def without(part):
    """CRANE without a text that it has."""
    assert part in CRANE
    return CRANE.replace(part, "", 1)


@pytest.mark.parametrize(
    ("text", "base", "link", "says"),
    [
        (CRANE, "base", "flangee", "has no link 'flangee', the nearest are flange"),
        (CRANE, "world", "flange", "has no link 'world'; it has floor, base, column"),
        (CRANE, "base", "base", "base and link are both 'base'"),
        (CRANE, "flange", "base", "'base' does not hang from 'flange': above it are floor"),
        (CRANE, "left", "right", "'right' does not hang from 'left': above it are flange, lower"),
        (CRANE, "floor", "base", "only fixed joints between 'floor' and 'base'"),
        (CRANE, "base", "right", "joint 'right_finger' mimics 'left_finger'.* a link before it"),
        (CRANE.replace("continuous", "floating"), "base", "flange", "'shoulder' is of type 'floa"),
        (CRANE.replace('"0 0 0.5"', '"0 0 500"'), "base", "flange", "'lift': origin xyz='0 0 500'"),
        (CRANE.replace('"0 0 0.5"', '"0 0 nan"'), "base", "flange", "expected three numbers"),
        (CRANE.replace('"0 0 0.5"', '"0 0"'), "base", "flange", "expected three numbers"),
        (CRANE.replace('"0 0 0.5"', '"0 0 x 1"'), "base", "flange", "expected three numbers"),
        (CRANE.replace("0.3 -0.2", "30 -20"), "base", "flange", "origin rpy='30 -20 1.1'"),
        (CRANE.replace('"0 0 2"', '"0 0 0"'), "base", "flange", r"axis \[0.0, 0.0, 0.0\] has no d"),
        (without(' name="lift"'), "base", "flange", "a joint that moves has no name"),
        (
            CRANE.replace('"elbow"', '"lift"'),
            "base",
            "flange",
            "two joints are named 'lift', in lines 5 ",
        ),
        (
            CRANE.replace('<child link="right"/>', '<child link="lower"/>'),
            *("base", "flange", "link 'lower' is the child of two joints, 'elbow' and 'right_f"),
        ),
        (
            CRANE.replace('<parent link="floor"/>', '<parent link="flange"/>'),
            *("floor", "flange", "does not hang from 'floor'"),
        ),
    ],
)
def test_a_chain_that_cannot_be_followed_is_refused_by_its_place(text, base, link, says):
    """Names the file, the joint or link, what was got and what to do."""
    with pytest.raises(SettingsError, match=f"^crane.urdf: .*{says}"):
        chain(text, base, link)


def test_a_state_key_from_kinematics_reads_the_joints_of_its_chain():
    """Its topic, its joints and its two links; it is as wide as its encoding."""
    (eef, *_) = parse(VALID, "robot.yaml").state
    assert (eef.source, eef.topics, eef.width) == ("kinematics", ("/joint_states",), 9)
    assert eef.names == tuple(f"fr3_joint{n}" for n in range(1, 8))
    assert (eef.frame, eef.link) == ("fr3_link0", "fr3_link8")
    topics = {"topic": None, "topics": ["/a", "/b"]}
    (eef, *_) = parse(with_kinematics(**topics), "robot.yaml").state
    assert eef.topics == ("/a", "/b")
    names = ["a", "b"]
    (eef, *_) = parse(with_kinematics(chain=None, names=names), "robot.yaml").state
    assert (eef.names, eef.chain) == (("a", "b"), None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"chain": None}, "got neither chain, urdf nor names, expected one of them"),
        ({"names": ["a"]}, "got chain and names, expected one of them"),
        ({"link": None}, "missing link"),
        ({"link": "fr3_link0"}, "another link than 'fr3_link0'"),
        ({"frame": "base"}, "unknown key 'frame'"),
        ({"chain": [{"xyz": [0, 0, 1]}]}, "got fixed links only"),
        ({"chain": None, "urdf": "a.urdf"}, "only be named in an embodiment file that is read"),
    ],
)
def test_a_wrong_entry_is_refused_by_its_place(changes, says):
    """One source of the chain, two links."""
    with pytest.raises(EmbodimentError, match=rf"^robot.yaml: state.eef_9d[^ ]*: .*{says}"):
        parse(with_kinematics(**changes), "robot.yaml")


def test_a_urdf_beside_the_file_gives_the_chains(tmp_path):
    """Of a state key and of the box; its path begins at the file's own folder."""
    mapping = with_kinematics(chain=None, urdf="arm.urdf")
    box = mapping["workspace"]
    del box["chain"]
    box["urdf"] = str(tmp_path / "arm.urdf")
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(mapping))
    (tmp_path / "arm.urdf").write_text(fr3_urdf())
    robot = load_embodiment(str(file))
    assert robot.state[0].chain_from_urdf and robot.workspace.chain_from_urdf
    joints = np.linspace(-1, 1, 8)
    expected = parse(VALID, "r").workspace.chain.pose(joints)[0]
    np.testing.assert_allclose(robot.state[0].chain.pose(joints)[0], expected, atol=1e-9)
    np.testing.assert_allclose(robot.workspace.chain.pose(joints)[0], expected, atol=1e-9)
    (tmp_path / "arm.urdf").write_text(CRANE)
    with pytest.raises(EmbodimentError, match=r"mine.yaml:\d+: state.eef_9d.urdf: .* has no link"):
        load_embodiment(str(file))
    (tmp_path / "arm.urdf").unlink()
    with pytest.raises(EmbodimentError, match=r"mine.yaml:\d+: state.eef_9d.urdf: cannot read"):
        load_embodiment(str(file))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"link": None}, "workspace: got one of base and link"),
        ({"urdf": "a"}, "workspace.urdf: expected base and link beside it, and no chain"),
    ],
)
def test_a_box_has_both_ends_of_its_chain_and_one_source_of_it(changes, says):
    """Else nobody knows which."""
    mapping = copy.deepcopy(VALID)
    box = mapping["workspace"] | changes
    mapping["workspace"] = {k: v for k, v in box.items() if v is not None}
    with pytest.raises(EmbodimentError, match=says):
        parse(mapping, "robot.yaml")
