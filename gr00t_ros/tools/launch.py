"""The launch description of one robot: the policy node with that robot's topics by name.

A robot's launch file is data: its embodiment, topics and controllers. launch is imported where a
description is made, because it comes with ROS 2 only and the remap rules need none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
    from launch.actions import DeclareLaunchArgument

CONTROLLER_TOPICS = ("joint_trajectory", "controller_state")


def robot_launch(
    folder: Path,
    embodiment: str,
    topics: Mapping[str, str],
    controllers: Mapping[str, str],
    command_streamer: bool = False,
) -> LaunchDescription:
    """Include `folder`/policy.launch.py, topics renamed to those that the arguments name.

    `topics`, `controllers`: argument -> what the embodiment file has, a topic or a controller's
    name. `command_streamer`: the file has outputs that are not joints.
    """
    from launch import LaunchDescription
    from launch.actions import IncludeLaunchDescription, OpaqueFunction
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    declared = [
        _argument("embodiment", embodiment, "Name in config/embodiments, or path, of the file"),
        _argument(
            "command_streamer",
            str(command_streamer).lower(),
            "Start gr00t_command_streamer: for outputs that are no joints",
        ),
        *(_argument(n, own, f"Topic that this robot has for {own}") for n, own in topics.items()),
        *(
            _argument(
                n, own, f"Trajectory controller of this robot for {own}; see docs/controllers.md"
            )
            for n, own in controllers.items()
        ),
    ]
    rename = partial(_rename, topics=topics, controllers=controllers)
    # not hidden in the function: `ros2 launch --show-args` lists the policy's arguments too
    policy = PythonLaunchDescriptionSource(str(folder / "policy.launch.py"))
    return LaunchDescription(
        [*declared, OpaqueFunction(function=rename), IncludeLaunchDescription(policy)]
    )


def robot_remaps(
    chosen: Mapping[str, str], topics: Mapping[str, str], controllers: Mapping[str, str]
) -> str:
    """Return `FROM:=TO FROM:=TO` for every argument that was given another value.

    `topics` and `controllers`: argument -> what the embodiment file has, a topic or a controller's
    name. `chosen`: argument -> what the robot has. A controller renames both of its topics.
    """
    pairs = [(own, chosen[name]) for name, own in topics.items()]
    pairs += [
        (f"/{own.strip('/')}/{topic}", f"/{chosen[name].strip('/')}/{topic}")
        for name, own in controllers.items()
        for topic in CONTROLLER_TOPICS
    ]
    return " ".join(f"{own}:={other}" for own, other in pairs if own != other)


def _argument(name: str, default: str, what: str) -> DeclareLaunchArgument:
    from launch.actions import DeclareLaunchArgument

    return DeclareLaunchArgument(name, default_value=default, description=what)


def _rename(
    context: LaunchContext, topics: Mapping[str, str], controllers: Mapping[str, str]
) -> list[LaunchDescriptionEntity]:
    from launch.actions import SetLaunchConfiguration

    argument = context.launch_configurations
    remaps = f"{robot_remaps(argument, topics, controllers)} {argument.get('remaps', '')}"
    return [SetLaunchConfiguration("remaps", remaps.strip())]
