"""Finds a file of config/FOLDER by name or path and reads it: a map in which no key is twice.

Works without ROS. Refuses to know what the keys mean.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Sequence
from pathlib import Path

import yaml

from gr00t_ros.core.errors import Gr00tError


class _OnceLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice; YAML's own rule is that the last one wins."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = (key_node.tag, str(key_node.value))
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key_node.value}' is written twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def config_folders(kind: str) -> tuple[Path, ...]:
    """Return the folders config/`kind` searched for NAME.yaml, first one first.

    Beside the sources (a checkout), then share/gr00t_ros of each prefix in AMENT_PREFIX_PATH
    (a ROS 2 workspace, overlays first), then of sys.prefix (a virtual environment).
    """
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    shares = [Path(prefix, "share", "gr00t_ros") for prefix in (*prefixes, sys.prefix)]
    return tuple(root / "config" / kind for root in (Path(__file__).parents[2], *shares))


def find_yaml(
    name_or_path: str, folders: Sequence[Path], what: str, error_type: type[Gr00tError]
) -> Path:
    """Return the file for a bare name such as ``franka_droid``, or for a path.

    Anything with a folder in it or ending in .yaml or .yml is a path. Raises `error_type` that
    names `what` it should be, every folder searched and the names found there.
    """
    given = Path(name_or_path).expanduser()
    if given.suffix in (".yaml", ".yml") or len(given.parts) != 1:
        if given.is_file():
            return given
        raise error_type(f"{what} file '{given}': no such file")
    for folder in folders:
        path = folder / f"{name_or_path}.yaml"
        if path.is_file():
            return path
    known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    places = ", ".join(str(folder) for folder in folders)
    raise error_type(
        f"{what} '{name_or_path}': no such file in {places}; known: {', '.join(known) or 'none'}"
    )


def read_yaml(path: Path, kind: str, error_type: type[Gr00tError]) -> dict[str, object]:
    """Return the map in `path`; `kind` is what the file should be, "an embodiment".

    Raises `error_type` naming the file, and the line where YAML itself is broken or a key is
    written twice.
    """
    try:
        with path.open("rb") as stream:
            content = yaml.load(stream, Loader=_OnceLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise error_type(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise error_type(_where_broken(path, kind, error)) from error
    except RecursionError as error:
        raise error_type(f"{path}: nested too deeply to be {kind}") from error
    if not isinstance(content, dict):
        got = type(content).__name__
        raise error_type(f"{path}: got {got} at the top, expected a mapping of keys")
    return content


def _where_broken(path: Path, kind: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = "" if mark is None else f":{mark.line + 1}"
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"{path}{line}: not {kind} file: {problem}"
