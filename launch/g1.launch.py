"""Start the policy node for a Unitree G1 with Dex3-1 hands and its head camera.

ros2 launch gr00t_ros g1.launch.py host:=192.168.1.20 ego_camera:=/head/color/image_raw
It also accepts all arguments of policy.launch.py: `ros2 launch --show-args` lists them. The file
config/controllers/g1.yaml has controllers with the settings that windows need
(docs/controllers.md).
"""

from launch import LaunchDescription

from gr00t_ros.tools.launch import robot_launch

EMBODIMENT = "unitree_g1"
# Argument -> the topic in the embodiment file.
TOPICS = {
    "ego_camera": "/camera/ego_view/image_raw",
    "joint_states": "/joint_states",
    "cmd_vel": "/cmd_vel",
    "base_height": "/base_height",
}
CONTROLLERS = {
    "left_arm_controller": "left_arm_controller",
    "right_arm_controller": "right_arm_controller",
    "left_hand_controller": "left_hand_controller",
    "right_hand_controller": "right_hand_controller",
    "waist_controller": "waist_controller",
}


def generate_launch_description() -> LaunchDescription:
    """Start the policy node with the G1's embodiment and this robot's topic names."""
    return robot_launch(__file__, EMBODIMENT, TOPICS, CONTROLLERS, command_streamer=True)
