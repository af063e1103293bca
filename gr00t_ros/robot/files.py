"""Finds YAML files by name or path, and reads embodiment files.

Works without ROS.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from gr00t_ros.errors import EmbodimentError, Gr00tError, UnreadableError
from gr00t_ros.robot.data_file import read_text
from gr00t_ros.robot.plain_yaml import UNTIDY, compose_plain, load_plain

if TYPE_CHECKING:  # numpy, which a program that only finds files need not wait for
    from gr00t_ros.robot.embodiment import Embodiment
    from gr00t_ros.robot.field import Field

_MAX_BYTES: Final = 1024 * 1024  # the largest file that ships has 20 kB


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
    given = Path(name_or_path)
    if given.suffix in (".yaml", ".yml") or len(given.parts) != 1 or os.sep in name_or_path:
        return _existing(given, what, error_type)
    for folder in folders:
        path = folder / f"{name_or_path}.yaml"
        if os.path.isfile(path):  # false too for a name that no file can have
            return path
    known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    near = difflib.get_close_matches(name_or_path, known, 1, cutoff=0.45)
    places = ", ".join(dict.fromkeys(map(str, folders)))
    hint = f"; did you mean {near[0]}?" if near else ""
    if os.path.isfile(f"{name_or_path}.yaml"):
        hint = f"; did you mean the file {name_or_path}.yaml?"
    elif os.path.exists(name_or_path):
        hint = f"; a path ends in .yaml or has a folder: ./{name_or_path}"
    raise error_type(
        f"{what} '{name_or_path:.200}': no such file in {places}; known: "
        f"{', '.join(known) or 'none'}{hint}"
    )


def _existing(given: Path, what: str, error_type: type[Gr00tError]) -> Path:
    try:
        path = given.expanduser()
        if path.exists():
            return path  # the reader refuses what is not a file
    except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, a NUL
        problem = getattr(error, "strerror", None) or error
        raise error_type(f"{what} file {str(given)!r:.200}: {problem}") from error
    raise error_type(f"{what} file '{path}': no such file")


def read_yaml(
    path: Path,
    kind: str,
    error_type: type[Gr00tError],
    unreadable: type[Gr00tError] | None = None,
) -> dict[str, object]:
    """Return the map in `path`; `kind` is what the file should be, "an embodiment".

    Raises `error_type` naming the file, with line and column where it is no YAML, more than the
    bounds allow, or no plain values; `unreadable`, else `error_type`, where it cannot be read.
    """
    text = read_text(path, _MAX_BYTES, error_type, unreadable)
    try:
        content = load_plain(text)
    except yaml.reader.ReaderError as error:  # a character that YAML does not know
        where = _place(text, error.position)
        problem = f"character {error.character!r}: {error.reason}"
        raise error_type(f"{path}{where}: not {kind} file: {problem}") from error
    except yaml.MarkedYAMLError as error:
        where = _place(text, error.problem_mark.index) if error.problem_mark else ""
        raise error_type(f"{path}{where}: not {kind} file: {error.problem}") from error
    except (yaml.YAMLError, *UNTIDY) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        raise error_type(f"{path}: not {kind} file: {problem}") from error
    if not isinstance(content, dict):
        got = type(content).__name__
        raise error_type(f"{path}:1: got {got} at the top, expected a mapping of keys")
    return content


def line_of(path: Path, place: str) -> int | None:
    """Return the line, from 1, of the value at a place such as `state.arm.names[1]`.

    None where the file has no such place of its own, a merged map for example.
    """
    try:
        text = read_text(path, _MAX_BYTES, Gr00tError)
        node = compose_plain(text)
    except (Gr00tError, yaml.YAMLError, *UNTIDY):
        return None  # it has changed since
    line = None
    while place:
        found = _step(node, place)
        if found is None:
            return None
        line, node, place = found
    return line


def _step(node: yaml.Node | None, place: str) -> tuple[int, yaml.Node, str] | None:
    """The line of what `place` begins with in `node`, its value, and the rest of the place."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if place == key.value or place.startswith((f"{key.value}.", f"{key.value}[")):
                rest = place[len(key.value) :].removeprefix(".")
                return key.start_mark.line + 1, value, rest
    index = re.match(r"\[(\d+)\]\.?", place)
    if isinstance(node, yaml.SequenceNode) and index and int(index[1]) < len(node.value):
        value = node.value[int(index[1])]
        return value.start_mark.line + 1, value, place[index.end() :]
    return None


def _place(text: str, index: int) -> str:
    """`:line:column` of a character, both from 1."""
    return f":{text.count(chr(10), 0, index) + 1}:{index - text.rfind(chr(10), 0, index)}"


TAG = "tag:"
_WHAT_IT_IS = "an embodiment file is a YAML map of keys: gr00t embodiment new begins one"


def embodiment_folders() -> tuple[Path, ...]:
    """Return the folders searched for NAME.yaml, first one first (`config_folders`)."""
    return config_folders("embodiments")


def find_embodiment(name_or_path: str) -> Path:
    """Return the file for a bare name such as ``franka_droid``, a path, or ``tag:EMBODIMENT_TAG``.

    Anything with a folder in it or ending in .yaml or .yml is a path. Raises UnreadableError
    that names every folder searched and the names found there.
    """
    if name_or_path.startswith(TAG):
        return find_embodiment_of_tag(name_or_path.removeprefix(TAG))
    return find_yaml(name_or_path, embodiment_folders(), "embodiment", UnreadableError)


def shipped_embodiments() -> tuple[str, ...]:
    """Return the names that `find_embodiment` accepts, sorted."""
    return tuple(sorted({file.stem for d in embodiment_folders() for file in d.glob("*.yaml")}))


def find_embodiment_of_tag(tag: str) -> Path:
    """Return the one file whose embodiment_tag is `tag`.

    If two folders have the same file name, the first folder's file is used.

    A file with `variant_of` is found by its name only, never by its tag.
    Raises UnreadableError where there is none or more than one.
    """
    files: dict[str, Path] = {}
    for folder in embodiment_folders():
        for path in sorted(folder.glob("*.yaml")):
            files.setdefault(path.name, path)
    found = [path for path in files.values() if _goes_by(tag, _read_mapping(path))]
    if len(found) == 1:
        return found[0]
    named = ", ".join(map(str, found)) or f"none of {', '.join(sorted(files)) or 'no files'}"
    raise UnreadableError(f"embodiment tag {tag!r:.80}: expected one file that has it, got {named}")


def _goes_by(tag: str, content: Mapping[str, object]) -> bool:
    return content.get("embodiment_tag") == tag and "variant_of" not in content


def load_embodiment(name_or_path: str) -> Embodiment:
    """Read the embodiment of that name or path.

    Raises EmbodimentError naming the file and the line of what is wrong, UnreadableError if there
    is no such file.
    """
    from gr00t_ros.robot.embodiment import parse

    path = find_embodiment(name_or_path)
    mapping = _read_mapping(path)
    try:
        return parse(mapping, str(path), lambda field: _urdf_beside(path, field))
    except EmbodimentError as error:
        line = line_of(path, error.place) if error.place else None
        if line is None:
            raise
        text = str(error).replace(f"{path}:", f"{path}:{line}:", 1)
        raise EmbodimentError(text, error.place) from error


def _urdf_beside(path: Path, field: Field) -> str:
    """The text of the URDF that an embodiment file names by a path relative to its own folder."""
    from gr00t_ros.robot.urdf.text import MAX_BYTES

    try:
        given = Path(field.text()).expanduser()
    except RuntimeError as error:  # no such user
        raise field.problem(str(error)) from error
    try:
        return read_text(path.parent / given, MAX_BYTES, EmbodimentError)
    except EmbodimentError as error:
        raise field.problem(f"cannot read the URDF: {error}") from error


def _read_mapping(path: Path) -> dict[str, object]:
    try:
        return read_yaml(path, "an embodiment", EmbodimentError, UnreadableError)
    except UnreadableError:
        raise
    except EmbodimentError as error:
        raise EmbodimentError(f"{error}; {_WHAT_IT_IS}") from error
