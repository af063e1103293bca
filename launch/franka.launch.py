"""Starts the policy node for a Franka FR3 with Robotiq 2F-85 and two cameras (DROID).

ros2 launch gr00t_ros franka.launch.py host:=192.168.1.20 exterior_camera:=/left/color/image_raw
All arguments of policy.launch.py are taken too: `ros2 launch --show-args` lists them. Controllers
with the settings that windows need: config/controllers/franka.yaml (docs/controllers.md).
"""

from pathlib import Path

from launch import LaunchDescription

from gr00t_ros.tools.launch import robot_launch

EMBODIMENT = "franka_droid"
# Argument -> as the embodiment file has it.
TOPICS = {
    "exterior_camera": "/camera/exterior/image_raw",
    "wrist_camera": "/camera/wrist/image_raw",
    "joint_states": "/joint_states",
    "ee_pose": "/ee_pose",  # read by files of one's own with a pose from a driver (from: pose)
}
CONTROLLERS = {
    "arm_controller": "fr3_arm_controller",
    "gripper_controller": "gripper_controller",
}


def generate_launch_description() -> LaunchDescription:
    """The policy node with the Franka's embodiment, its topics renamed to those of this robot."""
    return robot_launch(Path(__file__).parent, EMBODIMENT, TOPICS, CONTROLLERS)
