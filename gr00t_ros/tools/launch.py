"""The launch description of one robot: the policy node, with the robot's topic names as arguments.

A robot's launch file only lists data: embodiment, topics and controllers. The package launch is
imported inside the functions, because it comes only with ROS 2 and the remap rules do not need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gr00t_ros.errors import SettingsError

if TYPE_CHECKING:
    from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
    from launch.actions import DeclareLaunchArgument

# Share of equal letters from which a name counts as misspelt: two swapped letters of a short one.
_NEARLY = 0.8

CONTROLLER_TOPICS = ("joint_trajectory", "controller_state")


def robot_launch(
    folder: Path,
    embodiment: str,
    topics: Mapping[str, str],
    controllers: Mapping[str, str],
    command_streamer: bool = False,
) -> LaunchDescription:
    """Include `folder`/policy.launch.py, and remap its topics to those that the arguments name.

    `topics`, `controllers`: argument -> topic or controller name in the embodiment file.
    `command_streamer`: the file has outputs that are not joints.
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
    # included outside the OpaqueFunction, so that `ros2 launch --show-args` lists its arguments
    policy = PythonLaunchDescriptionSource(str(folder / "policy.launch.py"))
    return LaunchDescription(
        [*declared, OpaqueFunction(function=rename), IncludeLaunchDescription(policy)]
    )


def robot_remaps(
    chosen: Mapping[str, str], topics: Mapping[str, str], controllers: Mapping[str, str]
) -> str:
    """Return `FROM:=TO FROM:=TO` for every argument that differs from the embodiment file.

    `topics` and `controllers`: argument -> topic or controller name in the embodiment file.
    `chosen`: argument -> name on this robot. A controller's name remaps both of its topics.
    """
    pairs = [(own, chosen[name]) for name, own in topics.items()]
    pairs += [
        (f"/{own.strip('/')}/{topic}", f"/{chosen[name].strip('/')}/{topic}")
        for name, own in controllers.items()
        for topic in CONTROLLER_TOPICS
    ]
    return " ".join(f"{own}:={other}" for own, other in pairs if own != other)


def is_true(text: str) -> bool:
    """Whether an argument says true; raises SettingsError for what is neither true nor false."""
    if text.lower() not in ("true", "1", "false", "0"):
        raise SettingsError(f"launch argument: got {text!r:.60}, expected true or false")
    return text.lower() in ("true", "1")


def refuse_misspelt(given: Iterable[str], known: Sequence[str]) -> None:
    """Raise SettingsError for an argument that is nearly one of `known`.

    Others may belong to a launch file that includes ours.
    """
    for name in given:
        near = get_close_matches(name, known, 1, _NEARLY)
        if name not in known and near:
            raise SettingsError(f"launch argument {name}: unknown, did you mean {near[0]}?")


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
