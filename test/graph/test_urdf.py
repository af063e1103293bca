"""Limits are read from a URDF only as far as it states them."""

from math import inf

import pytest

from gr00t_ros.errors import SettingsError
from gr00t_ros.graph.limits import joint_ranges
from gr00t_ros.robot.known import JointRange

URDF = """<robot name="r" xmlns:xacro="http://www.ros.org/wiki/xacro">
  <joint name="a" type="revolute"><limit lower="-1" upper="2" velocity="3" effort="9"/></joint>
  <joint name="slide" type="prismatic"><limit lower="0" upper="0.1" velocity="0.2"/></joint>
  <joint name="wheel" type="continuous"><limit velocity="3"/></joint>
  <joint name="free" type="continuous"/>
  <joint name="fixed" type="fixed"/>
  <joint name="empty" type="revolute"><limit lower="0" upper="0" velocity="1"/></joint>
  <joint name="nan" type="revolute"><limit lower="nan" upper="1" velocity="1"/></joint>
  <joint name="bare" type="revolute"><limit lower="x" upper="1"/></joint>
  <joint name="still" type="revolute"><limit lower="0" upper="1" velocity="0"/></joint>
  <joint name="slow" type="revolute"><limit lower="-1" upper="1" effort="5"/></joint>
  <joint name="from zero" type="revolute"><limit upper="1.5" velocity="1"/></joint>
  <joint name="to zero" type="revolute"><limit lower="-1.5" velocity="1"/></joint>
</robot>"""


def test_each_joint_that_moves_has_what_is_stated_of_it():
    """A placeholder of zeros, a NaN or a missing number is no limit; absent ends are 0."""
    assert joint_ranges(URDF) == {
        "a": JointRange(-1.0, 2.0, 3.0),
        "slide": JointRange(0.0, 0.1, 0.2),
        "wheel": JointRange(-inf, inf, 3.0),
        "free": JointRange(-inf, inf, inf),
        "empty": JointRange(-inf, inf, 1.0),
        "nan": JointRange(-inf, inf, 1.0),
        "bare": JointRange(-inf, inf, inf),
        "still": JointRange(0.0, 1.0, inf),
        "slow": JointRange(-1.0, 1.0, inf),
        "from zero": JointRange(0.0, 1.5, 1.0),
        "to zero": JointRange(-1.5, 0.0, 1.0),
    }


@pytest.mark.parametrize("parent", ["gazebo", "transmission", "ros2_control", "link", "joint"])
@pytest.mark.parametrize("first", [True, False])
def test_only_joints_of_the_robot_itself_have_limits(parent, first):
    """One of the same name that stands deeper says nothing of it, before or after."""
    own = '<joint name="j" type="revolute"><limit lower="-1" upper="1" velocity="2"/></joint>'
    for other in ('<joint name="j" type="revolute"/>', own.replace("1", "3")):
        deeper = f"<{parent}>{other}</{parent}>"
        text = f"<robot>{deeper}{own}</robot>" if first else f"<robot>{own}{deeper}</robot>"
        assert joint_ranges(text) == {"j": JointRange(-1.0, 1.0, 2.0)}


def test_two_joints_of_one_name_have_no_limits():
    """Neither the wider nor the narrower ones: which joint they are of would be a guess."""
    joint = '<joint name="j" type="revolute"><limit lower="-{0}" upper="{0}"/></joint>'
    with pytest.raises(SettingsError, match="two joints are named 'j', in lines 1 and 2"):
        joint_ranges(f"<robot>{joint.format(1)}\n{joint.format(3)}</robot>")


def test_what_is_no_xml_is_refused():
    """With the parser's words."""
    with pytest.raises(SettingsError, match="robot_description: no XML"):
        joint_ranges("<robot")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<robot><xacro:macro name='arm'/></robot>", "it has an element xacro:macro"),
        (
            "<robot xmlns:xacro='http://wiki.ros.org/xacro'><xacro:include filename='a'/></robot>",
            "an element xacro:include",
        ),
        (
            "<robot><joint name='j' type='revolute'><limit lower='${-pi}' upper='1'/></joint>"
            "</robot>",
            r"limit lower=\"\$\{-pi\}\"",
        ),
        ("<robot><joint name='$(arg prefix)j' type='revolute'/></robot>", "joint name"),
    ],
)
def test_a_xacro_that_was_not_expanded_is_named_as_one(text, words):
    """Not as a robot without limits."""
    with pytest.raises(SettingsError, match=f"a xacro that was not expanded .*{words}"):
        joint_ranges(text)
