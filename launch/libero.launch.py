"""Start LIBERO's simulated Panda, the scripted policy behind GR00T's wire, and the policy node.

ros2 launch gr00t_ros libero.launch.py
ros2 launch gr00t_ros libero.launch.py policy:=false port:=5555   # with a policy server of yours
LIBERO is an optional extra: docs/libero.md. Another task needs its sentence as `instruction`.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node
from launch_ros.substitutions import ExecutableInPackage

from gr00t_ros.errors import SettingsError
from gr00t_ros.sim.libero.extra import require_libero, slow_time_file
from gr00t_ros.tools.launch import is_true, launch_description

POLICY = {"embodiment": "libero_panda", "use_sim_time": "true", "command_streamer": "true"}
"""Argument of policy.launch.py -> what it has here."""
SENTENCES = {("libero_object", 0): "pick up the alphabet soup and place it in the basket"}
"""Of the default task; the simulation knows the others, and logs them."""
ARGUMENTS = {
    "suite": ("libero_object", "LIBERO's suite: libero_object, libero_spatial, libero_goal, ..."),
    "task": ("0", "Index of the task in the suite"),
    "episode": ("0", "Index of the initial state"),
    "instruction": ("", "The task's own sentence; empty: that of libero_object task 0"),
    "real_time_factor": ("0.25", "Fastest speed of simulated time"),
    "policy": ("true", "Start the scripted policy server; false: one of yours listens at port"),
    "port": ("5555", "TCP port of the policy server"),
    "record_path": ("", "File (.npz) for the record of twist, tool and actions"),
    "autostart": ("true", "Activate the node as soon as it reports that it is ready"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}


def generate_launch_description() -> LaunchDescription:
    """Start the same processes, with the same parameters, as ./dev demo --robot libero."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=what)
        for name, (default, what) in ARGUMENTS.items()
    ]
    entities = [*arguments, OpaqueFunction(function=_libero)]
    sets = (*POLICY, "params_file")
    return launch_description(__file__, entities, policy_sets=sets, paths=("record_path",))


def _libero(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    argument = context.launch_configurations
    require_libero()
    suite, task = argument["suite"], int(argument["task"])
    instruction = argument["instruction"] or SENTENCES.get((suite, task), "")
    if not instruction:
        raise SettingsError(
            f"instruction: got none for {suite} task {task}, expected the task's own sentence"
        )
    server = [_server(argument)] if is_true(argument["policy"]) else []
    return [_robot(argument), *server, _policy(argument, instruction)]


def _robot(argument: dict[str, str]) -> Node:
    parameters = {
        "suite": argument["suite"],
        "task": int(argument["task"]),
        "episode": int(argument["episode"]),
        "real_time_factor": float(argument["real_time_factor"]),
        "record_path": argument["record_path"],
    }
    return Node(
        package="gr00t_ros",
        executable="gr00t",
        name="libero",
        arguments=["sim", "libero"],
        parameters=[parameters],
        output="both",
        emulate_tty=True,
        ros_arguments=["--log-level", argument["log_level"]],
    )


def _server(argument: dict[str, str]) -> ExecuteProcess:
    """Start the policy server, a separate process without ROS."""
    program = ExecutableInPackage(package="gr00t_ros", executable="gr00t")
    words = ["sim", "libero-policy", "--port", argument["port"]]
    return ExecuteProcess(
        cmd=[program, *words], name="policy_server", output="both", emulate_tty=True
    )


def _policy(argument: dict[str, str], instruction: str) -> IncludeLaunchDescription:
    """Include the policy node and the streamer, on simulated time that is slow."""
    arguments = {
        **POLICY,
        "instruction": instruction,
        "params_file": str(slow_time_file()),
        **{name: argument[name] for name in ("port", "autostart", "log_level")},
    }
    source = PythonLaunchDescriptionSource(str(Path(__file__).with_name("policy.launch.py")))
    return IncludeLaunchDescription(source, launch_arguments=arguments.items())
