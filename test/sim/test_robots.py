"""Every robot's description is complete, and is found from its embodiment."""

from dataclasses import replace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.errors import EmbodimentError, SettingsError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.sim.robots import ROBOTS, find_robot, robot_for
from gr00t_ros.sim.sensors import KINDS


@pytest.mark.parametrize("name", ROBOTS)
def test_a_description_agrees_with_its_embodiment(name):
    """Topics, joints and controllers of the file are those that the robot has."""
    robot = find_robot(name)
    embodiment = load_embodiment(robot.embodiment)
    assert robot_for(embodiment) is robot
    assert embodiment.joint_names == robot.commanded_names
    assert len(set(robot.joint_names)) == len(robot.joints)
    commanded = {f"/{controller.name}/joint_trajectory" for controller in robot.controllers}
    assert {output.topic for output in embodiment.outputs} == commanded
    assert {stream.topic for stream in embodiment.streams} <= set(robot.sensor_topics)
    heights = {(stream.height_px, stream.width_px) for stream in embodiment.video}
    assert heights == {robot.picture_px}
    assert all(one.kind in KINDS for one in robot.recorded)


def test_unknown_robots_and_joints_are_named():
    """The message has what there is."""
    with pytest.raises(SettingsError, match="franka, g1, desk6"):
        find_robot("r2d2")
    stranger = load_embodiment("franka_droid")
    output = replace(stranger.outputs[0], names=("knee",))
    with pytest.raises(EmbodimentError, match="knee"):
        robot_for(replace(stranger, outputs=(output,)))
