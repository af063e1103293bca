"""Start the policy node for a Franka FR3 with Robotiq 2F-85 and two cameras (DROID).

ros2 launch gr00t_ros franka.launch.py host:=192.168.1.20 exterior_camera:=/left/color/image_raw
It also accepts all arguments of policy.launch.py: `ros2 launch --show-args` lists them. The file
config/controllers/franka.yaml has controllers with the settings that windows need
(docs/controllers.md).
"""

from launch import LaunchDescription

from gr00t_ros.tools.launch import robot_launch

EMBODIMENT = "franka_droid"
# Argument -> the topic in the embodiment file.
TOPICS = {
    "exterior_camera": "/camera/exterior/image_raw",
    "wrist_camera": "/camera/wrist/image_raw",
    "joint_states": "/joint_states",
    "ee_pose": "/ee_pose",  # for your own files with a pose from a driver (from: pose)
}
CONTROLLERS = {
    "arm_controller": "fr3_arm_controller",
    "gripper_controller": "gripper_controller",
}


def generate_launch_description() -> LaunchDescription:
    """Start the policy node with the Franka's embodiment and this robot's topic names."""
    return robot_launch(__file__, EMBODIMENT, TOPICS, CONTROLLERS)
