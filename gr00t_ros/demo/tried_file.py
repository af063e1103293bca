"""Which parts of an embodiment file can be tried without its robot, and the file that is tried.

Where a part needs something that is not on this machine (a robot's message types, its description),
the part is replaced by one that does not, and each replacement is named.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.field import Field
from gr00t_ros.robot.files import find_embodiment, load_embodiment, read_yaml
from gr00t_ros.robot.outputs import OUTPUT_TYPES
from gr00t_ros.robot.questions import read_marks
from gr00t_ros.sim.stand_in.receivers import ACTIONS

_PLAYED = ("joint_trajectory", "forward_command")
"""Types of joint outputs for which the stand-in robot has a controller."""


@dataclass(frozen=True, slots=True)
class TriedFile:
    """The file to try and its embodiment; `replaced`: what in it differs from the user's file."""

    path: Path
    robot: Embodiment
    replaced: tuple[str, ...]


def tried_file(name: str, folder: Path) -> TriedFile:
    """The user's own file, or a copy in `folder` with parts replaced.

    Questions of a copy are answered as assumed. Raises EmbodimentError for a file that is wrong.
    """
    path = find_embodiment(name)
    robot = load_embodiment(name)
    content = read_marks(Field(read_yaml(path, "an embodiment", EmbodimentError), str(path)))[0]
    mapping: dict[str, Any] = content.value  # type: ignore[assignment]  # a map: it was loaded
    replaced = (*_outputs(mapping), *_states(mapping, robot), *_workspace(mapping, robot))
    if not replaced:
        return TriedFile(path, robot, ())
    for place in (*mapping["state"].values(), mapping.get("workspace", {})):
        if "urdf" in place:  # it is relative to the user's file
            place["urdf"] = str((path.parent / Path(place["urdf"]).expanduser()).absolute())
    copy = folder / f"tried_{path.name}"
    copy.write_text(yaml.dump(mapping, Dumper=yaml.SafeDumper, sort_keys=False))
    return TriedFile(copy, load_embodiment(str(copy)), replaced)


def _outputs(mapping: dict[str, Any]) -> Iterator[str]:
    """Replace outputs whose receivers cannot be stood in for; yield what was replaced."""
    for name, output in list(mapping["outputs"].items()):
        kind = output["type"]
        missing = [
            package
            for package, *_ in ACTIONS.get(kind, ())
            if importlib.util.find_spec(package) is None
        ]
        if missing:
            _ignore(mapping, name)
            yield f"output {name} ({kind}) is left out: {missing[0]} is not installed here"
        elif OUTPUT_TYPES[kind].carries == "joints" and kind not in _PLAYED:
            mapping["outputs"][name] = {
                "type": "joint_trajectory",
                "topic": f"/{name}/joint_trajectory",
                "state_topic": f"/{name}/controller_state",
                "names": output["names"],
            }
            yield f"output {name} is tried as joint_trajectory: nothing here receives {kind}"


def _ignore(mapping: dict[str, Any], output: str) -> None:
    """Take an output out of the file; its action keys are still the server's."""
    names = mapping["outputs"].pop(output)["names"]
    for key, action in mapping["action"].items():
        if action.get("output") == output:
            mapping["action"][key] = {"ignored": True, "names": action.get("names", names)}
    for name in names:
        mapping["limits"].pop(name, None)


def _states(mapping: dict[str, Any], robot: Embodiment) -> Iterator[str]:
    """Replace poses that only the robot's tf or description gives by published ones."""
    has_tf = importlib.util.find_spec("tf2_ros") is not None
    for stream in robot.state:
        state = mapping["state"][stream.key]
        unknown = stream.source == "kinematics" and stream.chain is None
        if not unknown and (stream.source != "tf" or has_tf):
            continue
        frame = state.pop("frame", None) or state.pop("base")
        for field in ("link", "names", "topics"):
            state.pop(field, None)
        state |= {"from": "pose", "topic": f"/stand_in/{stream.key}", "frame": frame}
        why = "no description gives its chain" if unknown else "tf2_ros is not installed"
        yield f"state {stream.key} is an invented pose: {why} here"


def _workspace(mapping: dict[str, Any], robot: Embodiment) -> Iterator[str]:
    """Drop the part of the workspace that only the robot's description can check."""
    box = robot.workspace
    if box is None or not box.link or box.chain is not None:
        return
    if box.pose is None:
        del mapping["workspace"]
        yield "workspace is not checked: no description gives its chain here"
        return
    for field in ("base", "link"):
        mapping["workspace"].pop(field)
    yield "workspace is checked with the measured pose only: no description gives its chain here"
