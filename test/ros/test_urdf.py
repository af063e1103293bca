"""Limits out of a robot_description: what is stated, and nothing else."""

import pytest

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.ros.urdf import joint_ranges
from gr00t_ros.sidecar.known import JointRange

URDF = """<robot name="r">
  <joint name="a" type="revolute"><limit lower="-1" upper="2" velocity="3" effort="9"/></joint>
  <joint name="slide" type="prismatic"><limit lower="0" upper="0.1" velocity="0.2"/></joint>
  <joint name="wheel" type="continuous"><limit velocity="3"/></joint>
  <joint name="fixed" type="fixed"/>
  <joint name="empty" type="revolute"><limit lower="0" upper="0" velocity="1"/></joint>
  <joint name="nan" type="revolute"><limit lower="nan" upper="1" velocity="1"/></joint>
  <joint name="bare" type="revolute"><limit lower="x" upper="1"/></joint>
  <joint name="still" type="revolute"><limit lower="0" upper="1" velocity="0"/></joint>
</robot>"""


def test_only_joints_that_state_a_range_and_a_velocity_have_limits():
    """A placeholder of zeros, a NaN or a missing number is no limit."""
    expected = {"a": JointRange(-1.0, 2.0, 3.0), "slide": JointRange(0.0, 0.1, 0.2)}
    assert joint_ranges(URDF) == expected


def test_what_is_no_xml_is_refused():
    """With the parser's words."""
    with pytest.raises(SettingsError, match="robot_description: no XML"):
        joint_ranges("<robot")
