"""Record episodes of a robot, by services or by the policy node's own episodes.

ros2 launch gr00t_ros record.launch.py folder:=/data/cups embodiment:=franka_droid episodes:=policy
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node

from gr00t_ros.tools.launch import is_true, launch_description, parameter_files, remappings

ARGUMENTS = {
    "folder": (None, "Folder of the recording; it is created, or gone on in"),
    "embodiment": (None, "Name in config/embodiments, or path, of the embodiment file"),
    "episodes": ("operator", "Who begins and ends episodes: operator (services), or policy"),
    "teleop": ("false", "No policy: all commands are a person's"),
    "instruction": ("", "What the episodes show; empty: the policy node's instruction"),
    "policy_node": ("gr00t_policy", "The policy node's name"),
    "topics": ("", "Further topics to record, separated by spaces"),
    "min_free_gb": ("5.0", "Free disk below which no episode begins or goes on, GB"),
    "params_file": ("", "YAML file with further parameters of the node gr00t_record"),
    "namespace": ("", "ROS namespace of the node; the embodiment file's topics stay as they are"),
    "remaps": ("", "New names for topics of the embodiment file: FROM:=TO FROM:=TO"),
    "use_sim_time": ("false", "Bag time is /clock, for simulators that publish it"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}
OPTIONS = {
    "embodiment": "--embodiment",
    "episodes": "--episodes",
    "instruction": "--instruction",
    "policy_node": "--policy-node",
    "min_free_gb": "--min-free-gb",
}
"""Argument -> option of gr00t record."""


def generate_launch_description() -> LaunchDescription:
    """Start the recorder, without screen and keys: launch gives it no terminal."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=what)
        for name, (default, what) in ARGUMENTS.items()
    ]
    entities = [*arguments, OpaqueFunction(function=_record)]
    return launch_description(__file__, entities, paths=("folder",))


def _record(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    argument = context.launch_configurations
    words = [argument["folder"], "--no-screen"]
    for name, option in OPTIONS.items():
        words += [option, argument[name]] if argument[name] else []
    words += ["--topics", *argument["topics"].split()] if argument["topics"] else []
    words += ["--teleop"] if is_true(argument["teleop"]) else []
    words += ["--use-sim-time"] if is_true(argument["use_sim_time"]) else []
    return [
        Node(
            package="gr00t_ros",
            executable="record",
            name="gr00t_record",
            namespace=argument["namespace"],
            arguments=words,
            parameters=parameter_files(argument["params_file"]),
            remappings=remappings(argument["remaps"]),
            ros_arguments=["--log-level", argument["log_level"]],
            output="both",
            emulate_tty=True,
        )
    ]
