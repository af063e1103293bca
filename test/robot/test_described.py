"""What a description makes of an embodiment's chains: it is known or refused, never a guess."""

import copy

import numpy as np
import pytest
from urdf_robot import CRANE, VALID, fr3_urdf, with_kinematics

from gr00t_ros.errors import ObservationError
from gr00t_ros.observe.readings import JointReading, encode
from gr00t_ros.robot.described import described, while_active
from gr00t_ros.robot.embodiment import parse
from gr00t_ros.robot.urdf.text import urdf_root

WHERE = "/robot_description"
ROBOT = parse(VALID, "robot.yaml")
FROM_NAMES = parse(with_kinematics(chain=None, names=list(ROBOT.state[0].names)), "robot.yaml")
AT = JointReading(ROBOT.joint_names, np.linspace(0.1, 0.8, 8))
CALIBRATED = {"fr3_joint3": [0, -0.317, 0]}
OTHER_ARM = {"fr3_joint3": [0, -0.4, 0]}


def by(robot, urdf):
    """The embodiment with the chains of this text, and what is wrong with its box."""
    return described(robot, urdf_root(urdf, WHERE), WHERE)


def eef(robot):
    """(9,) what is sent of eef_9d."""
    return encode(robot.state[0], AT)


def test_the_descriptions_chains_take_the_place_of_the_files():
    """A calibrated robot is where its description has it, in the observation and in the box."""
    robot, problems = by(ROBOT, fr3_urdf(**CALIBRATED))
    assert problems == ()
    moved = np.linalg.norm(eef(robot)[:3] - eef(ROBOT)[:3])
    assert moved == pytest.approx(0.001, rel=1e-4)
    joints = np.linspace(0.1, 0.8, 8)
    np.testing.assert_allclose(robot.workspace.chain.pose(joints)[0], eef(robot)[:3], atol=1e-6)
    same, _ = by(ROBOT, fr3_urdf())
    np.testing.assert_array_equal(eef(same), eef(ROBOT))


def test_a_chain_that_only_the_description_has_is_not_known_before():
    """The stream says so, with what to do, and never guesses."""
    with pytest.raises(ObservationError, match="eef_9d: the chain from 'fr3_link0' to 'fr3_link8'"):
        eef(FROM_NAMES)
    robot, problems = by(FROM_NAMES, fr3_urdf())
    np.testing.assert_array_equal(eef(robot), eef(ROBOT))
    assert problems == ()


@pytest.mark.parametrize(
    ("robot", "urdf", "says"),
    [
        (ROBOT, CRANE, "has no link 'fr3_link0'"),
        (ROBOT, fr3_urdf(**OTHER_ARM), "'fr3_link8' is up to 0.084 m .* file of this robot"),
        (ROBOT, fr3_urdf().replace("fr3_joint4", "joint4"), "moved from 'fr3_link0' by fr3_joint1"),
        (FROM_NAMES, fr3_urdf().replace("fr3_joint4", "joint4"), "the embodiment file expects fr3"),
        (
            ROBOT,
            fr3_urdf().replace('"fr3_joint4" type="revolute"', '"fr3_joint4" type="fixed"'),
            "",
        ),
        (FROM_NAMES, fr3_urdf().replace('"revolute"', '"planar"', 1), "is of type 'planar'"),
    ],
    ids=["links", "lengths", "joints", "names", "a joint less", "type"],
)
def test_a_description_of_another_robot_leaves_no_chain(robot, urdf, says):
    """Neither the file's nor its own is used: which of them is wrong is for a person to say."""
    found, problems = by(robot, urdf)
    with pytest.raises(ObservationError, match=f"^state eef_9d: {WHERE}: .*{says}"):
        eef(found)
    assert [problem.startswith(f"workspace: {WHERE}: ") for problem in problems] == [True]


def test_a_description_without_links_changes_nothing():
    """It states limits and no kinematics."""
    found, problems = by(ROBOT, '<robot><joint name="fr3_joint1" type="revolute"/></robot>')
    assert found is ROBOT and problems == ()
    with pytest.raises(ObservationError, match="start robot_state_publisher"):
        eef(by(FROM_NAMES, "<robot/>")[0])


def test_a_box_whose_chain_only_the_description_has_waits_for_it():
    """With the reason; a box without links has the file's own chain, whatever is published."""
    mapping = copy.deepcopy(VALID)
    del mapping["workspace"]["chain"]
    robot = parse(mapping, "robot.yaml")
    (problem,) = by(robot, "<robot/>")[1]
    assert problem.startswith("workspace: the chain from 'fr3_link0' to 'fr3_link8' is not known")
    found, problems = by(robot, fr3_urdf())
    assert problems == () and found.workspace.chain.columns == tuple(range(7))
    for name in ("base", "link"):
        del mapping["workspace"][name]
    mapping["workspace"]["chain"] = VALID["workspace"]["chain"]
    robot = parse(mapping, "robot.yaml")
    found, problems = by(robot, fr3_urdf(**OTHER_ARM))
    assert problems == () and found.workspace is robot.workspace


def test_while_active_the_chains_stay_and_one_that_is_contradicted_is_lost():
    """A calibration waits for the next activation; another tool or robot stops the observation."""
    calibrated, _ = by(ROBOT, fr3_urdf(**CALIBRATED))
    assert while_active(ROBOT, calibrated, WHERE).state == ROBOT.state
    used, _ = by(FROM_NAMES, fr3_urdf())
    for urdf, says in ((fr3_urdf(**OTHER_ARM), "changed while active"), (CRANE, "has no link")):
        kept = while_active(used, by(FROM_NAMES, urdf)[0], WHERE)
        with pytest.raises(ObservationError, match=says):
            eef(kept)
        with pytest.raises(ObservationError, match=says):  # until the node is activated again
            eef(while_active(kept, used, WHERE))
