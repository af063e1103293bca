"""Play a bag with its clock, and run the policy node on it in shadow: no robot is commanded.

ros2 launch gr00t_ros bag.launch.py bag:=/path/to/bag host:=192.168.1.20
"""

import importlib.util
import shutil
from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.substitutions import ExecutableInPackage

from gr00t_ros.tools.launch import launch_description

ARGUMENTS = {
    "bag": (None, "Folder of the rosbag2 bag, sqlite3 or MCAP"),
    "topics": ("", "Topics to play, separated by spaces; empty: those of the embodiment"),
    "rate": ("1.0", "Seconds of bag time per second"),
    "start_offset": ("0.0", "Seconds of the bag to skip"),
    "loop": ("false", "Start again at the end; the clock then jumps back"),
    "embodiment": ("franka_droid", "Name in config/embodiments, or path, of the embodiment file"),
    "params_file": ("", "YAML file with parameters of the node; the other arguments override it"),
    "host": ("", "Host of the GR00T policy server; empty: from params_file, else the default"),
    "port": ("", "TCP port of the GR00T policy server; empty: from params_file, else the default"),
    "instruction": ("", "The task in the bag; empty: from params_file, else the default"),
    "autostart": ("true", "Activate the node as soon as it reports that it is ready"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
}
PASSED = "embodiment params_file host port instruction autostart log_level".split()
POLICY = {"use_sim_time": "true", "shadow": "true"}
"""Argument of policy.launch.py -> what it has here."""
CLOCK_HZ = "200"


def generate_launch_description() -> LaunchDescription:
    """Start the player, and the node with use_sim_time and shadow; all end with the bag."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=what)
        for name, (default, what) in ARGUMENTS.items()
    ]
    entities = [*arguments, OpaqueFunction(function=_replay)]
    return launch_description(__file__, entities, policy_sets=POLICY, paths=("bag",))


def _replay(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    argument = context.launch_configurations
    ros2bag = importlib.util.find_spec("ros2bag") is not None and shutil.which("ros2") is not None
    _check(Path(argument["bag"]), ros2bag)
    return [_player(argument, ros2bag), _policy(argument)]


def _check(bag: Path, ros2bag: bool) -> None:
    """Raise an error, which launch prints in one line, before anything starts."""
    if ros2bag and not bag.exists():
        raise RuntimeError(f"bag: {bag}: no such bag, expected the folder that a recorder wrote")
    if not ros2bag:
        from gr00t_ros.bags.bag import find_files

        find_files(bag)


def _policy(argument: dict[str, str]) -> GroupAction:
    file = str(Path(__file__).with_name("policy.launch.py"))
    passed = {name: argument[name] for name in PASSED} | POLICY
    include = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(file), launch_arguments=passed.items()
    )
    return GroupAction([include])


def _player(argument: dict[str, str], ros2bag: bool) -> ExecuteProcess:
    """Start `ros2 bag play` where it is installed, else gr00t bag, which waits for the node."""
    ours = ExecutableInPackage(package="gr00t_ros", executable="bag")
    command = ["ros2", "bag", "play"] if ros2bag else [ours, "play"]
    options = ["--rate", argument["rate"], "--start-offset", argument["start_offset"]]
    clock = ["--clock", CLOCK_HZ] if ros2bag else ["--clock"]
    loop = ["--loop"] if argument["loop"].lower() in ("true", "1") else []
    return ExecuteProcess(
        cmd=[*command, argument["bag"], *options, *clock, *loop, "--topics", *_topics(argument)],
        name="bag",
        output="both",
        emulate_tty=True,
        on_exit=[Shutdown(reason="the bag has ended")],
    )


def _topics(argument: dict[str, str]) -> list[str]:
    """Return sensors and controller states only: commands would move a robot that listens."""
    from gr00t_ros.bags.info import needed_topics
    from gr00t_ros.robot.files import load_embodiment

    chosen = argument["topics"].split()
    return chosen or list(needed_topics(load_embodiment(argument["embodiment"])))
