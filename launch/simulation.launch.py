"""Start a simulated robot, a policy server that stands in for GR00T, and the policy node.

ros2 launch gr00t_ros simulation.launch.py robot:=franka seed:=3
The robot has the topic names of the real one. Never run it in the ROS domain of a real robot: that
would follow these commands. ROS_DOMAIN_ID gives the simulation a domain of its own.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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

from gr00t_ros.tools.launch import is_true, launch_description

if TYPE_CHECKING:
    from gr00t_ros.sim.description import RobotDescription

# What GR00T_SIMULATOR=1 adds to rosdep's list, plus fast-simplification, which has no rosdep key.
INSTALL_SIMULATOR = (
    "PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install mujoco trimesh fast-simplification"
    " && python3 -m gr00t_ros.sim.assets --install"
)
RELAY_PREFIX = "/sim"
STREAMER = "command_streamer"  # argument of policy.launch.py; the robot decides
ARGUMENTS = {
    "robot": (None, "Simulated robot: franka, g1 or desk6"),
    "embodiment": ("", "Name or path of the embodiment file; empty: the robot's own"),
    "seed": ("0", "Seed for the positions of the things on the table"),
    "instruction": ("", "The task in words; empty: the robot's own task"),
    "codec": ("B3", "Generation that the policy server speaks: A0, A1, A2, B2 or B3"),
    "port": ("5555", "TCP port of the policy server"),
    "relay": ("false", "Run gr00t_sim_relay between sensors and node, to inject faults"),
    "use_sim_time": ("false", "The robot publishes /clock and the node plans on it"),
    "real_time_factor": ("1.0", "Speed of simulated time; other than 1 only with use_sim_time"),
    "synthetic_cameras": ("false", "Test pattern instead of rendered images: needs no GL"),
    "record_path": ("", "File (.npz) for the robot's 1 kHz record"),
    "autostart": ("true", "Activate the node as soon as it reports that it is ready"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}


def generate_launch_description() -> LaunchDescription:
    """Start the same processes, with the same names and parameters, as ./dev demo."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=what)
        for name, (default, what) in ARGUMENTS.items()
    ]
    entities = [*arguments, OpaqueFunction(function=_simulation)]
    return launch_description(__file__, entities, policy_sets=(STREAMER,), paths=("record_path",))


def _simulation(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    if importlib.util.find_spec("mujoco") is None:
        raise RuntimeError(f"MuJoCo is not installed. Run once:\n  {INSTALL_SIMULATOR}")
    from gr00t_ros.sim.assets import installed
    from gr00t_ros.sim.robots import find_robot

    robot = find_robot(context.launch_configurations["robot"])
    if robot.model is not None and not installed(robot.model):
        raise RuntimeError(f"the robot's model is not installed. Run once:\n  {INSTALL_SIMULATOR}")
    own = {"embodiment": robot.embodiment, "instruction": robot.instruction}
    argument = {
        name: value or own.get(name, "") for name, value in context.launch_configurations.items()
    }
    relay = [_relay(argument, robot)] if is_true(argument["relay"]) else []
    return [_robot(argument, robot), *relay, _sidecar(argument), _policy(argument)]


def _relay(argument: dict[str, str], robot: "RobotDescription") -> Node:
    topics = {
        "image_topics": [f"/camera/{name}/image_raw" for name in robot.camera_names],
        "pose_topics": [f"/{pose.topic}" for pose in robot.poses],
    }
    parameters: dict[str, object] = {"source_prefix": RELAY_PREFIX, **topics}
    return _node("sim_relay", "gr00t_sim_relay", argument, parameters)


def _robot(argument: dict[str, str], robot: "RobotDescription") -> Node:
    clock = is_true(argument["use_sim_time"])
    parameters: dict[str, object] = {
        "robot": argument["robot"],
        "seed": int(argument["seed"]),
        "synthetic_cameras": is_true(argument["synthetic_cameras"]),
        "publish_clock": clock,
        "real_time_factor": float(argument["real_time_factor"]),
        "record_path": argument["record_path"],
    }
    relayed = [(topic, RELAY_PREFIX + topic) for topic in robot.sensor_topics]
    remappings = relayed if is_true(argument["relay"]) else []
    return _node("sim_robot", "gr00t_sim_robot", argument, parameters, remappings)


def _node(
    executable: str,
    name: str,
    argument: dict[str, str],
    parameters: dict[str, object],
    remappings: Sequence[tuple[str, str]] = (),
) -> Node:
    return Node(
        package="gr00t_ros",
        executable=executable,
        name=name,
        parameters=[parameters],
        remappings=remappings,
        output="both",
        emulate_tty=True,
        ros_arguments=["--log-level", argument["log_level"]],
    )


def _sidecar(argument: dict[str, str]) -> ExecuteProcess:
    """Start the policy server, a separate process without ROS."""
    command = [ExecutableInPackage(package="gr00t_ros", executable="sidecar"), "scripted"]
    options = {
        "--port": argument["port"],
        "--codec": argument["codec"],
        "--embodiment": argument["embodiment"],
    }
    # N1.5 servers know only flat keys
    flat = ["--flat"] if argument["codec"] == "A0" else []
    words = [word for option in options.items() for word in option]
    return ExecuteProcess(
        cmd=[*command, *words, *flat], name="sidecar", output="both", emulate_tty=True
    )


def _policy(argument: dict[str, str]) -> IncludeLaunchDescription:
    from gr00t_ros.robot.files import load_embodiment

    file = Path(__file__).with_name("policy.launch.py")
    passed = ("embodiment", "port", "instruction", "use_sim_time", "autostart", "log_level")
    arguments = {name: argument[name] for name in passed}
    arguments[STREAMER] = str(bool(load_embodiment(argument["embodiment"]).streamed))
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(file)), launch_arguments=arguments.items()
    )
