"""Find an embodiment's YAML file by name or path and read it into an Embodiment.

Works without ROS. Owns where the files lie and that a key is written once; refuses to know
what the keys mean, which is core/embodiment.py's part.
"""

import os
import sys
from collections.abc import Hashable
from pathlib import Path

import yaml

from gr00t_ros.core.embodiment import Embodiment, parse
from gr00t_ros.core.errors import EmbodimentError

TAG = "tag:"
_PLACE = Path("config", "embodiments")


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


def embodiment_folders() -> tuple[Path, ...]:
    """Return the folders searched for NAME.yaml, first one first.

    Beside the sources (a checkout), then share/gr00t_ros of each prefix in AMENT_PREFIX_PATH
    (a ROS 2 workspace, overlays first), then of sys.prefix (a virtual environment).
    """
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    shares = [Path(prefix, "share", "gr00t_ros") for prefix in (*prefixes, sys.prefix)]
    return tuple(root / _PLACE for root in (Path(__file__).parents[2], *shares))


def find_embodiment(name_or_path: str) -> Path:
    """Return the file for a bare name such as ``franka_droid``, a path, or ``tag:EMBODIMENT_TAG``.

    Anything with a folder in it or ending in .yaml or .yml is a path. Raises EmbodimentError
    that names every folder searched and the names found there.
    """
    if name_or_path.startswith(TAG):
        return find_embodiment_of_tag(name_or_path.removeprefix(TAG))
    given = Path(name_or_path).expanduser()
    if given.suffix in (".yaml", ".yml") or len(given.parts) != 1:
        if given.is_file():
            return given
        raise EmbodimentError(f"embodiment file '{given}': no such file")
    for folder in embodiment_folders():
        path = folder / f"{name_or_path}.yaml"
        if path.is_file():
            return path
    raise EmbodimentError(_nowhere(name_or_path))


def find_embodiment_of_tag(tag: str) -> Path:
    """Return the one file whose embodiment_tag is `tag`; of two of one name the first folder's.

    Raises EmbodimentError where there is none or more than one.
    """
    files: dict[str, Path] = {}
    for folder in embodiment_folders():
        for path in sorted(folder.glob("*.yaml")):
            files.setdefault(path.name, path)
    found = [path for path in files.values() if _read_mapping(path).get("embodiment_tag") == tag]
    if len(found) == 1:
        return found[0]
    named = ", ".join(map(str, found)) or f"none of {', '.join(sorted(files)) or 'no files'}"
    raise EmbodimentError(f"embodiment tag {tag!r:.80}: expected one file that has it, got {named}")


def load_embodiment(name_or_path: str) -> Embodiment:
    """Read the embodiment of that name or path.

    Raises EmbodimentError naming the file, and the line where YAML itself is broken or a key
    is written twice.
    """
    path = find_embodiment(name_or_path)
    return parse(_read_mapping(path), str(path))


def _read_mapping(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as stream:
            content = yaml.load(stream, Loader=_OnceLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise EmbodimentError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise EmbodimentError(_where_broken(path, error)) from error
    except RecursionError as error:
        raise EmbodimentError(f"{path}: nested too deeply to be an embodiment") from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise EmbodimentError(f"{path}: got {kind} at the top, expected a mapping of keys")
    return content


def _where_broken(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = "" if mark is None else f":{mark.line + 1}"
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"{path}{line}: not an embodiment file: {problem}"


def _nowhere(name: str) -> str:
    folders = embodiment_folders()
    known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    places = ", ".join(str(folder) for folder in folders)
    return f"embodiment '{name}': no such file in {places}; known: {', '.join(known) or 'none'}"
