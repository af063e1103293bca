"""mock_fr3.py, CI's robot of ros2_control: its description, its controllers, its processes."""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import mock_fr3
import pytest

from gr00t_ros.robot.files import load_embodiment

FILE = Path(mock_fr3.__file__)
NEEDED = ("robot_state_publisher", "controller_manager", "joint_trajectory_controller")


def test_the_description_has_the_joints_of_the_embodiment_file():
    """Names and limits: the node compares a published description with its file."""
    robot = xml.fromstring(mock_fr3.description())
    limits = load_embodiment(str(mock_fr3.EMBODIMENT)).limits
    movable = [one for one in robot.findall("joint") if one.get("type") == "revolute"]
    assert {one.get("name") for one in movable} == set(limits.names)
    mocked = [one.get("name") for one in robot.findall("ros2_control/joint")]
    assert mocked == [one.get("name") for one in movable]
    links = {one.get("name") for one in robot.findall("link")}
    ends = {one.find(end).get("link") for one in robot.iter("joint") for end in ("parent", "child")
            if one.find("parent") is not None}  # fmt: skip
    assert ends == links, "each link hangs in the chain, and each joint's links exist"


@pytest.mark.parametrize("name", ["arm", "gripper"])
def test_a_controller_has_the_joints_and_the_topic_of_its_output(name):
    """config/controllers/franka.yaml and the embodiment file speak of the same controllers."""
    robot = load_embodiment(str(mock_fr3.EMBODIMENT))
    (output,) = [one for one in robot.outputs if one.name == name]
    controller = mock_fr3.controllers()[output.topic.split("/")[1]]["ros__parameters"]
    assert controller["joints"] == list(output.names)
    assert controller["type"] == "joint_trajectory_controller/JointTrajectoryController"
    mocked = xml.fromstring(mock_fr3.description()).findall("ros2_control/joint")
    for joint in mocked:
        states = {one.get("name") for one in joint.findall("state_interface")}
        assert set(controller["state_interfaces"]) <= states
        assert joint.find("command_interface").get("name") in controller["command_interfaces"]


def test_the_cameras_are_those_of_the_embodiment_file():
    """The test publishes what the node waits for."""
    robot = load_embodiment(str(mock_fr3.EMBODIMENT))
    assert set(mock_fr3.TOPICS) == {camera.topic for camera in robot.video}


def test_the_node_moves_the_mock():
    """All of it, as the CI job runs it."""
    launch_test = shutil.which("launch_test")
    if launch_test is None:
        pytest.skip("launch_testing is in no package registry, only in ROS 2")
    from ament_index_python.packages import get_packages_with_prefixes

    missing = sorted(set(NEEDED) - get_packages_with_prefixes().keys())
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (apt: ros-jazzy-...)")
    done = subprocess.run([sys.executable, launch_test, str(FILE)], timeout=150, check=False)
    assert done.returncode == 0
