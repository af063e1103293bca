"""The forward kinematics of a chain: against formulas written out, and by laws of rotations."""

import copy
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.rotation import Chain, ChainLink, from_rpy, turn

FILE = Path(__file__).parents[2] / "config" / "embodiments" / "franka_droid.yaml"
VALID = yaml.safe_load(FILE.read_text())
ANGLES = st.floats(-7.0, 7.0)
AXES = st.tuples(*[st.floats(-1.0, 1.0)] * 3).filter(lambda axis: np.linalg.norm(axis) > 0.1)
JOINTS = st.lists(ANGLES, min_size=8, max_size=8).map(np.array)


def fr3() -> Chain:
    """The chain that ships, of a plan of seven joints and a gripper."""
    workspace = parse(VALID, "robot.yaml").workspace
    assert workspace is not None and workspace.chain is not None
    return workspace.chain


def test_the_stretched_arm_is_where_its_lengths_say() -> None:
    """All joints at zero: straight up, 88 mm forward and the flange down again."""
    position, rotation = fr3().pose(np.zeros(8))
    np.testing.assert_allclose(position, [0.088, 0.0, 0.333 + 0.316 + 0.384 - 0.107], atol=1e-12)
    np.testing.assert_allclose(rotation, np.diag([1.0, -1.0, -1.0]), atol=1e-12)


@given(st.tuples(ANGLES, ANGLES, ANGLES))
def test_fixed_axis_angles_are_those_of_a_urdf(rpy) -> None:
    """The matrix written out: yaw after pitch after roll, each about an axis that stays."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(rpy), np.cos(rpy)
    expected = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    np.testing.assert_allclose(from_rpy(*rpy), expected, atol=1e-12)


@given(AXES, ANGLES, ANGLES)
def test_a_turn_keeps_its_axis_and_adds_up(axis, first, second) -> None:
    """A rotation by the right-hand rule, whatever the axis."""
    axis = np.array(axis) / np.linalg.norm(axis)
    one = turn(axis, np.array(first))
    np.testing.assert_allclose(one @ one.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(one @ axis, axis, atol=1e-12)
    np.testing.assert_allclose(
        one @ turn(axis, np.array(second)), turn(axis, np.array(first + second)), atol=1e-12
    )
    off = np.cross(axis, np.roll(axis, 1) + [0.3, 0.0, 0.0])
    np.testing.assert_allclose(
        turn(axis, np.array(np.pi / 2)) @ off, np.cross(axis, off), atol=1e-9
    )


@given(JOINTS, JOINTS)
def test_many_positions_at_once_are_those_one_by_one(first, second) -> None:
    """A chunk's rows; the gripper, which is no part of the chain, changes nothing."""
    chain = fr3()
    positions, rotations = chain.pose(np.array([first, second]))
    for row, joints in enumerate((first, second)):
        one = chain.pose(np.array([*joints[:7], 0.3]))
        np.testing.assert_allclose(positions[row], one[0], atol=1e-12)
        np.testing.assert_allclose(rotations[row], one[1], atol=1e-12)


def test_the_joints_are_found_in_the_plan_wherever_they_stand_there() -> None:
    """By their place in the plan, not by the order of the chain; a tool is a link without one."""
    z = np.array([0.0, 0.0, 1.0])
    arm, tool = (
        ChainLink(np.zeros(3), np.eye(3), "b", z),
        ChainLink(np.array([2.0, 0.0, 0.0]), np.eye(3)),
    )
    position, rotation = Chain((arm, tool), (1,)).pose(np.array([9.0, np.pi / 2]))
    np.testing.assert_allclose(position, [0.0, 2.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(rotation[:, 0], [0.0, 1.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(value) -> None:
    """It is inside of no box."""
    joints = np.zeros(8)
    joints[3] = value
    with np.errstate(invalid="ignore"):
        assert not np.isfinite(fr3().pose(joints)[0]).all()


LINK = {"joint": "fr3_joint1", "axis": [0, 0, 1], "xyz": [0, 0, 0.3]}


@pytest.mark.parametrize(
    ("links", "says"),
    [
        ([], "chain: got .*, expected a list that is not empty"),
        ([{"xyz": [0, 0, 1]}], "chain: got fixed links only"),
        ([LINK, LINK], "chain: fr3_joint1 named twice, expected each joint once"),
        ([LINK | {"joint": "elbow"}], r"chain\[0\].joint: got 'elbow', expected one of fr3_joint1"),
        ([{"joint": "fr3_joint1", "xyz": [0, 0, 1]}], r"chain\[0\]: got one of joint and axis"),
        ([{"axis": [0, 0, 1], "xyz": [0, 0, 1]}], r"chain\[0\]: got one of joint and axis"),
        ([LINK | {"axis": [0, 0, 0.9]}], r"chain\[0\].axis: got .*, expected an axis of length 1"),
        ([LINK | {"axis": [0, 1]}], r"chain\[0\].axis: got .*, expected three numbers"),
        (
            [LINK | {"xyz": [0, 0, 333]}],
            r"chain\[0\].xyz\[2\]: got 333, expected a finite number f",
        ),
        ([LINK | {"rpy": [0, 0, 90]}], r"chain\[0\].rpy\[2\]: got 90, expected a finite number f"),
        ([{"joint": "fr3_joint1", "axis": [0, 0, 1]}], r"chain\[0\]: missing xyz"),
        ([LINK | {"type": "prismatic"}], r"chain\[0\]: unknown key 'type'"),
    ],
)
def test_a_wrong_chain_is_refused_by_its_place(links, says) -> None:
    """Millimetres and degrees are found by their size."""
    mapping = copy.deepcopy(VALID)
    mapping["workspace"]["chain"] = links
    with pytest.raises(EmbodimentError, match=f"^robot.yaml: workspace.{says}"):
        parse(mapping, "robot.yaml")


def test_an_axis_as_typed_by_hand_is_made_one_of_length_1() -> None:
    """Four digits of a half-turned axis are enough."""
    mapping = copy.deepcopy(VALID)
    mapping["workspace"]["chain"] = [LINK | {"axis": [0.0, 0.7071, 0.7071]}]
    workspace = parse(mapping, "robot.yaml").workspace
    assert workspace is not None and workspace.chain is not None
    axis = workspace.chain.links[0].axis
    assert axis is not None and np.linalg.norm(axis) == pytest.approx(1.0, abs=1e-15)
    with pytest.raises(ValueError, match="read-only"):
        axis[0] = 1.0
