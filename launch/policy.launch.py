"""Start the policy node for one robot and activate it once everything is ready.

ros2 launch gr00t_ros policy.launch.py embodiment:=franka_droid host:=192.168.1.20
ros2 launch gr00t_ros policy.launch.py embodiment:=franka_droid sidecar:=local profile:=n17
"""

from collections.abc import Callable

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from gr00t_ros.tools.launch import is_true, launch_description, parameter_files, remappings

AS_NODE = "; empty: from params_file, else the default"
NODE_PARAMETERS: dict[str, tuple[Callable[[str], object], str]] = {
    "embodiment": (str, "Name in config/embodiments, or path, of the embodiment file"),
    "settled": (str, "Fields marked unsettled whose assumed value is right, separated by commas"),
    "host": (str, "Host of the GR00T policy server"),
    "port": (int, "TCP port of the GR00T policy server"),
    "execute_steps": (int, "Steps of a chunk from one query to the next"),
    "instruction": (str, "The task of the robot, in words"),
    "velocity_scale": (float, "Fraction of the velocity limits that is used; low for a first try"),
    "shadow": (is_true, "Command nothing: windows go to ~/shadow/OUTPUT"),
    "sidecar": (str, "existing: use the server at host and port; local: start one by profile"),
    "profile": (str, "Name in config/sidecar, or path, of the profile of a local server"),
}
# Argument -> parameter, where the names differ.
PARAMETER_OF = {"sidecar": "sidecar.mode", "profile": "sidecar.profile"}
ARGUMENTS = {
    "params_file": ("", "YAML file with parameters of the node; the arguments above override it"),
    "namespace": ("", "ROS namespace of the node; the embodiment file's topics stay as they are"),
    "remaps": ("", "New names for topics of the embodiment file: FROM:=TO FROM:=TO"),
    "use_sim_time": ("false", "Plan on /clock, for bags and simulators that publish it"),
    "command_streamer": ("false", "Start gr00t_command_streamer, for outputs other than joints"),
    "autostart": ("true", "Configure the node, and activate it once it reports that it is ready"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}


def generate_launch_description() -> LaunchDescription:
    """Start the node and, with `autostart`, the process that configures and activates it."""
    parameters = [
        DeclareLaunchArgument(name, default_value="", description=what + AS_NODE)
        for name, (_, what) in NODE_PARAMETERS.items()
    ]
    others = [
        DeclareLaunchArgument(name, default_value=default, description=what)
        for name, (default, what) in ARGUMENTS.items()
    ]
    entities = [*parameters, *others, OpaqueFunction(function=_policy)]
    return launch_description(__file__, entities)


def _policy(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    argument = context.launch_configurations
    # Pass only arguments that are set: an empty one must not hide the value of params_file.
    given = {
        PARAMETER_OF.get(name, name): kind(argument[name])
        for name, (kind, _) in NODE_PARAMETERS.items()
        if argument[name]
    }
    given["use_sim_time"] = is_true(argument["use_sim_time"])
    files = parameter_files(argument["params_file"])
    shared = {
        "package": "gr00t_ros",
        "namespace": argument["namespace"],
        "output": "both",
        "emulate_tty": True,
        "ros_arguments": ["--log-level", argument["log_level"]],
    }
    remaps = remappings(argument["remaps"])
    return [
        Node(
            executable="command_streamer",
            name="gr00t_command_streamer",
            parameters=[*files, _of_streamer(given)],
            remappings=remaps,
            condition=IfCondition(LaunchConfiguration("command_streamer")),
            **shared,
        ),
        Node(
            executable="policy",
            name="gr00t_policy",
            parameters=[*files, given],
            remappings=remaps,
            **shared,
        ),
        Node(
            executable="autostart",
            name="gr00t_autostart",
            condition=IfCondition(LaunchConfiguration("autostart")),
            **shared,
        ),
    ]


def _of_streamer(given: dict[str, object]) -> dict[str, object]:
    """Return the node's parameters that the command streamer has too."""
    return {name: given[name] for name in ("embodiment", "use_sim_time") if name in given}
