"""The launch descriptions of our launch files: which arguments they take, and a robot's topics.

launch itself ignores an argument that no file declares: `shadow_mode:=true` would command the arm.
So every launch file of ours is made by `launch_description`, which refuses what it does not know.
A robot's launch file only lists data: embodiment, topics and controllers. The package launch is
imported inside the functions, because it comes only with ROS 2 and the rules do not need it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from gr00t_ros.errors import SettingsError

if TYPE_CHECKING:
    from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
    from launch.actions import DeclareLaunchArgument

PACKAGE = "gr00t_ros"
POLICY_FILE = "policy.launch.py"
# Arguments without which the robot moves otherwise than was asked. No other package has them, so
# that words like these are meant for us, also among the arguments of a file that includes ours.
MOTION = ("shadow", "velocity_scale", "execute_steps", "embodiment")
# Arguments that launch, launch_ros and ros2launch read themselves; no file declares them.
OF_LAUNCH = frozenset(
    "launch-prefix launch-prefix-filter emulate_tty sigterm_timeout sigkill_timeout"
    " ros_namespace ros_remaps global_params".split()
)
# Of others, although it reads like one of MOTION: a file that starts NVIDIA's server too has it.
OF_OTHERS = frozenset({"embodiment_tag"})
# Shares of equal letters. _ALIKE: a name like one of MOTION. _NEARLY: like one that others have too
# (report is 0.80 of port), from two swapped letters of one of six.
_ALIKE = 0.6
_NEARLY = 0.82
_ABBREVIATION = 3  # letters of the shortest word that stands for a longer one: vel

CONTROLLER_TOPICS = ("joint_trajectory", "controller_state")


def launch_description(
    file: str,
    entities: Sequence[LaunchDescriptionEntity],
    policy_sets: Collection[str] | None = None,
    paths: Collection[str] = (),
) -> LaunchDescription:
    """Return `entities`, after a check that refuses the arguments that `file` does not have.

    `policy_sets`: where an OpaqueFunction includes policy.launch.py, so that nobody sees which
    arguments that has: those that `file` sets itself. `paths`: arguments that are files or folders,
    in which ~ is expanded: no shell does it behind `NAME:=`.
    """
    from launch import LaunchDescription
    from launch.actions import OpaqueFunction

    check = partial(
        _check, file=Path(file), entities=entities, policy_sets=policy_sets, paths=paths
    )
    # first of all: only what was given is in the launch configurations then, and no default
    return LaunchDescription([OpaqueFunction(function=check), *entities])


def robot_launch(
    file: str,
    embodiment: str,
    topics: Mapping[str, str],
    controllers: Mapping[str, str],
    command_streamer: bool = False,
) -> LaunchDescription:
    """Include policy.launch.py beside `file`, and remap its topics to those that arguments name.

    `topics`, `controllers`: argument -> topic or controller name in the embodiment file.
    `command_streamer`: the file has outputs that are not joints.
    """
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
    policy = PythonLaunchDescriptionSource(str(Path(file).with_name(POLICY_FILE)))
    return launch_description(
        file, [*declared, OpaqueFunction(function=rename), IncludeLaunchDescription(policy)]
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


def remappings(text: str) -> list[tuple[str, str]]:
    """The pairs of the argument remaps, FROM:=TO FROM:=TO; SettingsError for what is no pair."""
    pairs = []
    for word in text.split():
        own, mark, other = word.partition(":=")
        if not own or not mark or not other or "," in word:
            raise SettingsError(
                f"launch argument remaps: got {word!r:.200}, expected FROM:=TO, and blanks between "
                "two of them"
            )
        pairs.append((own, other))
    return pairs


def parameter_files(text: str) -> list[str]:
    """The files of an argument that names one file with parameters, or none; ~ is expanded.

    launch_ros leaves out a file that is not there, with a warning: the node would run with its
    defaults, and `shadow: true` in that file would not hold. Raises SettingsError in its place.
    """
    if not text:
        return []
    file = os.path.expanduser(text)
    if not os.path.isfile(file):
        raise SettingsError(
            f"launch argument params_file: got {text!r:.200}, expected a YAML file with parameters;"
            f" there is no file {os.path.abspath(file)!r:.300}"
        )
    return [file]


def starts(words: Sequence[str], file: Path) -> bool:
    """Whether the command line `words` starts `file` itself: by package and name, or by path."""
    names = [word for word in words if not word.startswith("-")]
    by_name = (PACKAGE, file.name) in pairwise(names)
    return by_name or file.resolve() in (Path(name).resolve() for name in names)


def refuse_unknown(
    given: Collection[str], known: Collection[str], file: str, own: Collection[str] = ()
) -> None:
    """Raise SettingsError for an argument on the command line of `file` that it does not have.

    `own`: what `file` sets itself.
    """
    for name in given:
        if name in own and name not in known:
            raise SettingsError(f"launch argument {name}: {file} sets it itself, leave it out")
        if name not in known and name not in OF_LAUNCH:
            near = _nearest(name, known)
            hint = f"did you mean {near}?" if near else f"expected one of {', '.join(known)}"
            raise SettingsError(f"launch argument {name}: {file} has none of this name, {hint}")


def refuse_misspelt(given: Mapping[str, str], known: Collection[str], file: str) -> None:
    """Raise SettingsError for an argument that is probably meant for `file`, which others include.

    Other names may be the including file's own. So may one beside which the right one has a value:
    such a file passes its argument on.
    """
    motion = [name for name in MOTION if name in known]
    for name in given:
        if name in known or name in OF_LAUNCH or name in OF_OTHERS:
            continue
        near = _nearest(name, motion) or "".join(get_close_matches(name, known, 1, _NEARLY))
        if near and not given.get(near):
            raise SettingsError(
                f"launch argument {name}: {file} has none of this name, did you mean {near}? If"
                f" it is another file's, include {file} in a GroupAction with forwarding=False"
            )


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that reads most like `name`; empty if none does."""
    alike = [one for one in known if _reads_like(name, one)]
    return max(alike, key=lambda one: _similarity(name, one), default="")


def _reads_like(name: str, known: str) -> bool:
    """Whether the names are alike but for the words that both have.

    shadow_mode and scale are, of shadow and velocity_scale: all words of one are in the other.
    velocity_control is not like velocity_scale: control is not like scale.
    """
    words, own = (re.split("[^a-z0-9]+", one.lower()) for one in (name, known))
    rest = "_".join(word for word in words if word not in own)
    missing = "_".join(word for word in own if word not in words)
    short, long = sorted((rest, missing), key=len)
    abbreviated = long.startswith(short) and len(short) >= _ABBREVIATION
    return not short or abbreviated or _similarity(rest, missing) >= _ALIKE


def _similarity(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _check(
    context: LaunchContext,
    file: Path,
    entities: Sequence[LaunchDescriptionEntity],
    policy_sets: Collection[str] | None,
    paths: Collection[str],
) -> list[LaunchDescriptionEntity]:
    from launch import LaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    known = [one.name for one in LaunchDescription(entities).get_launch_arguments()]
    if policy_sets is not None:
        policy = PythonLaunchDescriptionSource(str(file.with_name(POLICY_FILE)))
        declared = policy.get_launch_description(context).get_launch_arguments()
        known += [one.name for one in declared if one.name not in (*known, *policy_sets)]
    given = context.launch_configurations
    if starts(sys.argv, file):
        refuse_unknown(given, known, file.name, policy_sets or ())
    else:
        refuse_misspelt(given, known, file.name)
    for name in paths:
        if name in given:
            given[name] = os.path.expanduser(given[name])
    return []


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
