"""workspace: the box of the end effector as the embodiment's file has it."""

import copy
from pathlib import Path

import numpy as np
import pytest
import yaml

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.embodiment import parse

FILE = Path(__file__).parents[2] / "config" / "embodiments" / "franka_droid.yaml"
VALID = yaml.safe_load(FILE.read_text())
BOX = {"pose": "eef_9d", "x": [0.1, 0.8], "y": [-0.5, 0.5], "z": [0.0, 1.0]}


def with_box(**changes):
    """The valid file with this box; None takes a key out."""
    mapping = copy.deepcopy(VALID)
    mapping["workspace"] = {k: v for k, v in {**BOX, **changes}.items() if v is not None}
    return mapping


def test_a_box_has_two_corners_and_the_pose_that_it_is_compared_with() -> None:
    """In the order x, y, z; nobody widens it by writing into it."""
    box = parse(with_box(), "robot.yaml").workspace
    assert box is not None and box.pose == "eef_9d"
    np.testing.assert_array_equal(box.lower, [0.1, -0.5, 0.0])
    np.testing.assert_array_equal(box.upper, [0.8, 0.5, 1.0])
    with pytest.raises(ValueError, match="read-only"):
        box.upper[0] = 9.0


def test_a_file_may_have_no_box() -> None:
    """A robot without a pose topic has none."""
    mapping = copy.deepcopy(VALID)
    mapping.pop("workspace", None)
    assert parse(mapping, "robot.yaml").workspace is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pose": None}, "workspace: got a box alone, expected pose"),
        ({"pose": "joint_position"}, "workspace.pose: got 'joint_position', expected one of eef"),
        ({"pose": "eef"}, "workspace.pose: got 'eef', expected one of eef_9d"),
        ({"z": None}, "workspace: missing z"),
        ({"x": [0.8, 0.1]}, r"workspace.x: got \[0.8, 0.1\], expected \[lower, upper\]"),
        ({"y": [0.1]}, "workspace.y: got"),
        ({"z": [0.0, float("inf")]}, r"workspace.z\[1\]: got inf"),
        ({"w": [0.0, 1.0]}, "workspace: unknown key 'w'"),
    ],
)
def test_a_wrong_box_is_refused_by_its_place(changes, says) -> None:
    """What is wrong in it is named, never guessed."""
    with pytest.raises(EmbodimentError, match=f"^robot.yaml: {says}"):
        parse(with_box(**changes), "robot.yaml")


def test_a_box_needs_a_stream_that_is_a_pose() -> None:
    """A box that names one: a robot that tells no pose needs a chain instead."""
    mapping = with_box()
    del mapping["state"]["eef_9d"]
    with pytest.raises(
        EmbodimentError, match="workspace.pose: got a state stream, but the file has none"
    ):
        parse(mapping, "robot.yaml")


def test_a_box_may_be_compared_with_a_chain_alone_or_with_both() -> None:
    """As the two DROID files have it: one tells a pose, the other none."""
    chain = VALID["workspace"]["chain"]
    both, alone = (parse(with_box(chain=chain, **p), "robot.yaml") for p in ({}, {"pose": None}))
    assert both.workspace is not None and alone.workspace is not None
    assert both.workspace.pose == "eef_9d" and alone.workspace.pose is None
    assert both.workspace.chain is not None and alone.workspace.chain is not None
    assert both.workspace.chain.columns == tuple(range(7))
