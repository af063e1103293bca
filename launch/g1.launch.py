"""Starts the policy node for a Unitree G1 with Dex3-1 hands and its head camera.

ros2 launch gr00t_ros g1.launch.py host:=192.168.1.20 ego_camera:=/head/color/image_raw
All arguments of policy.launch.py are taken too: `ros2 launch --show-args` lists them.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetLaunchConfiguration,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource

EMBODIMENT = "unitree_g1"
# Argument -> as the embodiment file has it.
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
    """The policy node with the G1's embodiment, its topics renamed to those of this robot."""
    what = "Name in config/embodiments, or path, of the embodiment file"
    declared = [DeclareLaunchArgument("embodiment", default_value=EMBODIMENT, description=what)]
    what = "Start gr00t_command_streamer, which commands the base and its height"
    declared += [DeclareLaunchArgument("command_streamer", default_value="true", description=what)]
    for name, topic in TOPICS.items():
        what = f"Topic that this robot has for {topic}"
        declared.append(DeclareLaunchArgument(name, default_value=topic, description=what))
    for name, controller in CONTROLLERS.items():
        what = f"Trajectory controller that this robot has for {controller}"
        declared.append(DeclareLaunchArgument(name, default_value=controller, description=what))
    # not hidden in the function: `ros2 launch --show-args` lists the policy's arguments too
    policy = PythonLaunchDescriptionSource(str(Path(__file__).with_name("policy.launch.py")))
    return LaunchDescription(
        [*declared, OpaqueFunction(function=_rename), IncludeLaunchDescription(policy)]
    )


def _rename(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    from gr00t_ros.ros.robot_remaps import robot_remaps

    argument = context.launch_configurations
    remaps = f"{robot_remaps(argument, TOPICS, CONTROLLERS)} {argument.get('remaps', '')}"
    return [SetLaunchConfiguration("remaps", remaps.strip())]
