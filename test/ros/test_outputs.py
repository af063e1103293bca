"""Windows go to the controller, or to the streamer where the controller has no tail of its own."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from dataclasses import replace

from rclpy.lifecycle import LifecycleNode

from gr00t_ros.ros.outputs import Outputs
from gr00t_ros.sidecar.embodiment_file import load_embodiment


def test_a_forward_command_output_is_published_for_the_streamer(ros_node):
    """On ~/windows/<name>; the controller's own topic is the streamer's to write."""
    robot = load_embodiment("franka_droid")
    arm, gripper = robot.outputs
    robot = replace(robot, outputs=(replace(arm, type="forward_command"), gripper))
    node = LifecycleNode("gr00t_policy", context=ros_node.context)
    try:
        outputs = Outputs(node, robot)
        assert outputs.topics() == (
            "/gr00t_policy/windows/arm",
            "/gripper_controller/joint_trajectory",
        )
        assert node.count_publishers(arm.topic) == 0
        outputs.destroy()
    finally:
        node.destroy_node()
