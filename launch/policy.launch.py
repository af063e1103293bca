"""Starts the policy node for one robot and activates it once everything is ready.

ros2 launch gr00t_ros policy.launch.py embodiment:=franka_droid host:=192.168.1.20
ros2 launch gr00t_ros policy.launch.py embodiment:=franka_droid sidecar:=local profile:=n17
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node


def _true(text: str) -> bool:
    return text.lower() in ("true", "1")


AS_NODE = "; empty: as params_file or the node says"
NODE_PARAMETERS = {
    "embodiment": (str, "Name in config/embodiments, or path, of the embodiment file"),
    "settled": (str, "Places that the file marks unsettled and that are as assumed, by comma"),
    "host": (str, "Host of the GR00T policy server"),
    "port": (int, "TCP port of the GR00T policy server"),
    "execute_steps": (int, "Steps of a chunk played before the next query"),
    "instruction": (str, "What the robot is to do"),
    "shadow": (_true, "Run without commanding: windows go to ~/shadow/OUTPUT"),
    "sidecar": (str, "existing: the server at host and port; local: start one here by profile"),
    "profile": (str, "Name in config/sidecar, or path, of the profile of a local server"),
}
# Arguments whose parameter has another name.
PARAMETER_OF = {"sidecar": "sidecar.mode", "profile": "sidecar.profile"}
ARGUMENTS = {
    "params_file": ("", "YAML file with parameters of the node; the arguments above win"),
    "namespace": ("", "ROS namespace of the node; topics are those of the embodiment file"),
    "remaps": ("", "Topics of the embodiment file that are called otherwise: FROM:=TO FROM:=TO"),
    "use_sim_time": ("false", "Plan on /clock, as with bags and simulators that publish it"),
    "command_streamer": ("false", "Start gr00t_command_streamer: for outputs that are no joints"),
    "autostart": ("true", "Configure, and activate as soon as the node says it is ready"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}


def generate_launch_description() -> LaunchDescription:
    """The node and, with `autostart`, the process that configures and activates it."""
    parameters = [
        DeclareLaunchArgument(name, default_value="", description=what + AS_NODE)
        for name, (_, what) in NODE_PARAMETERS.items()
    ]
    others = [
        DeclareLaunchArgument(name, default_value=default, description=what)
        for name, (default, what) in ARGUMENTS.items()
    ]
    return LaunchDescription([*parameters, *others, OpaqueFunction(function=_policy)])


def _policy(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    argument = context.launch_configurations
    # Only the given arguments: an empty one must not hide the value of params_file.
    given = {
        PARAMETER_OF.get(name, name): kind(argument[name])
        for name, (kind, _) in NODE_PARAMETERS.items()
        if argument[name]
    }
    given["use_sim_time"] = _true(argument["use_sim_time"])
    files = [argument["params_file"]] if argument["params_file"] else []
    shared = {
        "package": "gr00t_ros",
        "namespace": argument["namespace"],
        "output": "both",
        "emulate_tty": True,
        "ros_arguments": ["--log-level", argument["log_level"]],
    }
    remaps = [tuple(pair.split(":=", 1)) for pair in argument["remaps"].split()]
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
    """The node's parameters that gr00t_command_streamer has too."""
    return {name: given[name] for name in ("embodiment", "use_sim_time") if name in given}
