"""A dataset's metadata: a modality config, and further facts about the robot.

Reads meta/modality.json and meta/info.json (LeRobot v2, v2.1 and v3 in GR00T's flavour, Isaac-GR00T
getting_started/data_preparation.md), and never data or videos. The action horizon is only in
meta/relative_stats.json, which has statistics of each step of relative actions; without it the
horizon stays open. The history is [0] as in every public post-training config. Metadata that has no
place in an embodiment file becomes a remark. Doubts about a name or a size become a question, and
the value stays open.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gr00t_ros.dataset.lerobot import (
    SECTIONS,
    Columns,
    read_columns,
    read_features,
    read_keys,
    read_number,
    read_version,
)
from gr00t_ros.errors import SettingsError
from gr00t_ros.observe.modality import ModalityConfig, ModalityEntry
from gr00t_ros.robot.data_file import read_json
from gr00t_ros.robot.known import Known

_PLACED = {"start", "end", "original_key"}
_CHANNELS = (1, 3, 4)
_AXES = {"h": "height", "w": "width", "c": "channel", "channels": "channel"}

Texts = dict[str, tuple[str, ...]]


def read_dataset_meta(path: str | Path) -> tuple[ModalityConfig, Known]:
    """Return the keys of the dataset at `path`, and its rate, picture sizes and joint names.

    Raises SettingsError that names file and place if a file is missing or no JSON, its version is
    unknown, or a key has no start and end or has columns that the dataset does not have.
    """
    meta = Path(path) / "meta"
    where, about = meta / "modality.json", meta / "info.json"
    if not where.exists():
        raise SettingsError(
            f"{where}: No such file; GR00T's keys stand in it, no other file has them: "
            "docs/own_robot.md shows one"
        )
    modality, info = read_json(where), read_json(about)
    if "codebase_version" in info:
        read_version(info, about)
    found = _Found(where, about, read_features(info, about))
    actions = found.keys(modality, "action")
    video, language = found.keys(modality, "video"), found.keys(modality, "annotation")
    config = {
        "video": ModalityEntry((0,), tuple(video)),
        "state": ModalityEntry((0,), tuple(found.keys(modality, "state"))),
        "action": ModalityEntry(_steps(meta / "relative_stats.json"), tuple(actions)),
        "language": ModalityEntry((0,), tuple(f"annotation.{key}" for key in language)),
    }
    sizes = {key: size for key in video if (size := found.size(key, video[key])) is not None}
    names = {name: found.names(modality, name) for name in ("state", "action")}
    others = ", ".join(key for key in modality if key not in SECTIONS)
    return config, Known(
        rate_hz=read_number(info, "fps", about),
        robot=_text(info.get("robot_type")),
        tag=_text(info.get("embodiment_tag")),
        sizes=sizes,
        state_names=names["state"],
        action_names=names["action"],
        remarks=found.remarks | ({"": (f"modality.json has {others} too",)} if others else {}),
        questions=found.questions,
    )


def _text(value: object) -> str:
    """Return a text, empty if it is none."""
    return value if isinstance(value, str) else ""


def _steps(path: Path) -> tuple[int, ...]:
    """Return the action steps of which there are relative statistics; none if it is not certain.

    Statistics of steps have a row for each; a flat list has a number for each column.
    """
    stats = read_json(path) if path.exists() else {}
    means = [of["mean"] for of in stats.values() if isinstance(of, Mapping) and "mean" in of]
    horizons = {len(mean) for mean in means if _has_rows(mean)}
    return tuple(range(horizons.pop())) if len(horizons) == 1 else ()


def _has_rows(mean: object) -> bool:
    return isinstance(mean, list) and mean != [] and all(isinstance(row, list) for row in mean)


class _Found:
    """Reads one dataset's metadata; `remarks` and `questions` by place, such as "state.arm"."""

    def __init__(self, where: Path, about: Path, features: Mapping[str, Mapping[str, Any]]) -> None:
        self._where, self._about, self._features = where, about, features
        self.remarks: Texts = {}
        self.questions: Texts = {}

    def keys(self, modality: Mapping[str, Any], name: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the keys of one modality with their fields."""
        return read_keys(modality, name, self._where)

    def names(self, modality: Mapping[str, Any], name: str) -> dict[str, tuple[str, ...]]:
        """Return the names of each key's columns, or their numbers if the dataset has no names."""
        columns = read_columns(modality, name, self._where)
        return {
            key: self._names(f"{name}.{key}", key, columns, fields)
            for key, fields in self.keys(modality, name).items()
        }

    def size(self, key: str, fields: Mapping[str, Any]) -> tuple[int, int] | None:
        """Return (height, width) of a camera; None, with a question, if it is not certain."""
        place = f"video.{key}"
        self._remark(place, {k: v for k, v in fields.items() if k != "original_key"})
        candidates = (fields.get("original_key"), f"observation.images.{key}", key)
        column = next((c for c in candidates if isinstance(c, str) and c in self._features), None)
        if column is None:
            if self._features:
                self._ask(place, f"info.json has no feature of {key!r}: which size has it?")
            return None
        shape = self._shape(column)
        names = _flat(self._features[column].get("names")) or ()
        axes = [_AXES.get(name.lower(), name.lower()) for name in names]
        if sorted(axes) != ["channel", "height", "width"]:
            ends = [shape[i] in _CHANNELS for i in (0, 2)] if len(shape) == 3 else [True, True]
            axes = ["channel", "height", "width"] if ends[0] else ["height", "width", "channel"]
            if ends[0] == ends[1]:
                axes = []
        if len(shape) != 3 or not axes:
            self._ask(place, f"info.json says shape {shape}: which are height and width?")
            return None
        of = dict(zip(axes, shape, strict=True))
        if of["channel"] != 3:
            self._ask(place, f"info.json says {of['channel']} channels: is it not an RGB image?")
        return of["height"], of["width"]

    def _names(
        self, place: str, key: str, columns: Mapping[str, Columns], fields: Mapping[str, Any]
    ) -> tuple[str, ...]:
        of, width, names = columns[key], None, []
        if self._features:
            if of.name not in self._features:
                raise SettingsError(
                    f"{self._where}: {place}: column {of.name!r} is none of info.json's features: "
                    f"{', '.join(self._features):.300}"
                )
            shape = self._shape(of.name)
            width = shape[-1] if shape and shape[-1] == math.prod(shape) else None
            read = _flat(self._features[of.name].get("names"))
            names = read or []
            if read is None or names and len(names) != (width or len(names)):
                stated = str(self._features[of.name].get("names"))
                self._ask(
                    place, f"which name has each of {width} columns? info.json: {stated:.200}"
                )
                names = []
            width = width or len(names) or None
        if width is not None and of.end > width:
            raise SettingsError(
                f"{self._where}: {place}: columns {of.start} to {of.end} of {of.name!r}, which has "
                f"{width} in info.json"
            )
        for other, its in columns.items():
            if other != key and its.name == of.name and its.start < of.end and of.start < its.end:
                self._ask(place, f"{other} has columns of it too: to which key do they belong?")
        self._ask_of(place, {k: v for k, v in fields.items() if k not in _PLACED})
        found = tuple(names[of.start : of.end]) or tuple(map(str, range(of.start, of.end)))
        twice = [name for name, count in Counter(found).items() if count > 1]
        if twice:
            self._ask(place, f"info.json names several columns {', '.join(twice):.200}")
        return found

    def _shape(self, column: str) -> list[int]:
        """Return the shape of a feature, empty if info.json has none."""
        shape = self._features[column].get("shape", [])
        if not isinstance(shape, list) or not all(
            isinstance(n, int) and not isinstance(n, bool) and 0 < n <= 16384 for n in shape
        ):
            raise SettingsError(
                f"{self._about}: features.{column}.shape is {shape!r:.60}, expected a list of "
                "whole numbers from 1 to 16384"
            )
        return shape

    def _ask_of(self, place: str, stated: dict[str, Any]) -> None:
        """Ask about fields that change the meaning of a key's numbers; remark on the others."""
        if stated.pop("absolute", True) is not True:
            self._ask(place, "absolute is not true: deltas? Deltas are not joint positions")
        rotation = stated.pop("rotation_type", None)
        if rotation is not None:
            self._ask(place, f"rotation_type {rotation!s:.60}: part of a pose? Encoded how?")
        self._remark(place, stated)

    def _ask(self, place: str, text: str) -> None:
        self.questions[place] = (*self.questions.get(place, ()), text)

    def _remark(self, place: str, stated: Mapping[str, Any]) -> None:
        if stated:
            text = ", ".join(f"{key}: {value!s:.60}" for key, value in stated.items())
            self.remarks[place] = (f"modality.json says {text:.300}",)


def _flat(names: object) -> list[str] | None:
    """Return a feature's names in the order of its columns; None if that order is not certain.

    Names may be a list of texts, a list of lists, a map of lists ({"motors": [...]}), or a map of
    each name to its column.
    """
    if names is None:
        return []
    if isinstance(names, str):
        return [names]
    if isinstance(names, Mapping):
        columns = list(names.values())
        if columns and all(isinstance(c, int) and not isinstance(c, bool) for c in columns):
            in_order = sorted(names, key=lambda name: names[name])
            ordered = sorted(columns) == list(range(len(columns)))
            return [str(name) for name in in_order] if ordered else None
        return _joined(columns)
    if not isinstance(names, list):
        return None
    texts = [isinstance(part, str) for part in names]
    return _joined(names) if all(texts) or not any(texts) else None


def _joined(names: list[Any]) -> list[str] | None:
    parts = [_flat(part) for part in names]
    return None if None in parts else [name for part in parts if part for name in part]
