"""What a node was given and does not know: words on its command line, parameters of no such name.

A misspelt `velocity_scale` would leave the default in force, so it refuses to start. In files of
parameters what stands under a name with a wildcard, as `/**`, may be meant for another node: that
is warned of. Everything else that reaches a node is strict.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.sidecar.yaml_file import read_yaml

# Of rclpy: declared for those topics alone whose owner allows it, such as /clock.
_RCLPY = "qos_overrides."


def refuse_words(arguments: Sequence[str], names: Collection[str]) -> None:
    """Raise SettingsError for words that are not ROS's, as `--embodiment x`.

    names: of the node's parameters, the nearest of which is told.
    """
    own = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
    # rcl takes NAME:=VALUE without --ros-args for a remapping, whoever meant a parameter
    words = [word for word in arguments[:own] if ":=" in word]
    words = words or remove_ros_args(["node", *arguments])[1:]
    if not words:
        return
    name, _, value = words[0].lstrip("-").replace(":=", "=").partition("=")
    value = value or (words[1] if len(words) > 1 else "VALUE")
    name = _nearest(name, names) or name or "NAME"
    raise SettingsError(
        f"arguments: got {' '.join(words)}, expected none that are not ROS's; parameters follow "
        f"--ros-args: -p {name}:={value}"
    )


def refuse_unknown(node: Node, argv: Sequence[str] | None = None) -> None:
    """Raise SettingsError for parameters that were given and that `node` has not declared.

    Call it once all are declared. argv: what the process was started with, this one's if None.
    """
    given = [name for name in node._parameter_overrides if not name.startswith(_RCLPY)]
    unknown = [name for name in given if not node.has_parameter(name)]
    shared = _shared(sys.argv if argv is None else argv) if unknown else frozenset()
    declared = list(node._parameters)
    said = {name: _said(name, node.get_name(), declared) for name in unknown}
    for name in shared.intersection(unknown):
        text = f"{said.pop(name)} (ignored: it stands under a wildcard in a file of parameters)"
        node.get_logger().warning(text)
    if said:
        raise SettingsError("; ".join(said.values()))


def _said(name: str, node: str, declared: Collection[str]) -> str:
    nearest = _nearest(name, declared)
    hint = f"did you mean {nearest}?" if nearest else f"`ros2 param list /{node}` lists them"
    return f"parameter {name}: {node} has none of this name; {hint}"


def _nearest(name: str, names: Collection[str]) -> str:
    return next(iter(difflib.get_close_matches(name, names, 1)), "")


def _shared(argv: Sequence[str]) -> frozenset[str]:
    """Names that were given under wildcards in files, and nowhere else."""
    shared: set[str] = set()
    own: set[str] = set()
    for option, value in zip(argv, argv[1:], strict=False):
        if option in ("-p", "--param"):
            own.add(value.partition(":=")[0].rpartition(":")[2])
        elif option == "--params-file":
            content = read_yaml(Path(value), "a parameter", SettingsError)
            for section, name in _sections(content, ""):
                (shared if section.endswith("*") else own).add(name)
    return frozenset(shared - own)


def _sections(content: Any, section: str) -> Iterator[tuple[str, str]]:
    """Pairs of a node's name, as the file has it, and the name of one of its parameters."""
    if not isinstance(content, Mapping):
        return
    for key, value in content.items():
        if key == "ros__parameters":
            yield from ((section, name) for name in _flat(value, ""))
        else:
            yield from _sections(value, str(key))


def _flat(content: Any, prefix: str) -> Iterator[str]:
    if not isinstance(content, Mapping):
        yield prefix.rstrip(".")
        return
    for key, value in content.items():
        yield from _flat(value, f"{prefix}{key}.")
