"""The embodiment file of a recording or dataset: where two of them differ, its copy in meta/."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment, read_yaml

COPY: Final = Path("meta") / "embodiment.yaml"
"""Where a dataset has the embodiment file that it was converted with, as it was."""
_ORDERED: Final = ("video", "state", "action", "outputs")  # the order of columns and joints
_NOTHING: Final = "missing"


def difference(one: Path, other: Path) -> str:
    """The first place where `one` differs from `other`, with both values; empty if there is none.

    Comments and layout do not count. Raises EmbodimentError for a file that is no embodiment.
    """
    return _difference(_content(one), _content(other), "")


def copy_to(folder: Path, embodiment: Embodiment) -> str:
    """Copy the embodiment's file to embodiment.yaml in a folder; returns why there is no copy.

    Raises OSError. A file that names others by relative paths cannot be read elsewhere: there is no
    copy of it.
    """
    source, copy = Path(embodiment.source), folder / COPY.name
    if not source.is_file():
        return f"{source} is no file"
    shutil.copyfile(source, copy)
    try:
        load_embodiment(str(copy))
    except EmbodimentError as error:
        copy.unlink()
        return f"{source}: its copy cannot be read: {error}; name other files by absolute paths"
    return ""


def _content(path: Path) -> dict[str, object]:
    return read_yaml(path, "an embodiment", EmbodimentError)


def _difference(one: object, other: object, place: str) -> str:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys((*one, *other)):
            values = one.get(key, _NOTHING), other.get(key, _NOTHING)
            found = _difference(*values, f"{place}.{key}" if place else str(key))
            if found:
                return found
        if place in _ORDERED and list(one) != list(other):
            return _differs(f"the order of {place}", ", ".join(one), ", ".join(other))
        return ""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = zip(one, other, strict=True)
        parts = (_difference(*pair, f"{place}[{i}]") for i, pair in enumerate(pairs))
        return next(filter(None, parts), "")
    return "" if one == other else _differs(place, one, other)


def _differs(what: str, one: object, other: object) -> str:
    return f"{what} is {one!s:.100}, not {other!s:.100}"
