"""A GR00T dataset's metadata as a modality config and what else it tells of the robot.

Reads meta/modality.json and meta/info.json (LeRobot v2 and v2.1 in GR00T's flavour, Isaac-GR00T
getting_started/data_preparation.md); refuses to open data or videos. A dataset does not say the
action horizon nor the history that a policy was trained with: the horizon stays open, the history
is [0] as in every public post-training config.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.core.modality import ModalityConfig, ModalityEntry
from gr00t_ros.sidecar.known import Known
from gr00t_ros.sidecar.lerobot_dataset import read_json, read_number

_COLUMNS = {"state": "observation.state", "action": "action"}  # where no original_key is given


def read_dataset_meta(path: str | Path) -> tuple[ModalityConfig, Known]:
    """Return the keys of the dataset at `path`, and its rate, picture sizes and joint names.

    Raises SettingsError naming the file and place: missing, no JSON, keys without start and end.
    """
    meta = Path(path) / "meta"
    modality, info = read_json(meta / "modality.json"), read_json(meta / "info.json")
    where = meta / "modality.json"
    features = info.get("features")
    features = features if isinstance(features, Mapping) else {}
    video = _maps(modality, "video", where)
    config = {
        "video": ModalityEntry((0,), tuple(video)),
        "state": ModalityEntry((0,), tuple(_maps(modality, "state", where))),
        "action": ModalityEntry((), tuple(_maps(modality, "action", where))),
        "language": ModalityEntry((0,), _annotations(modality)),
    }
    return config, Known(
        rate_hz=read_number(info, "fps", meta / "info.json"),
        sizes=_sizes(video, features),
        state_names=_names("state", _maps(modality, "state", where), features, where),
        action_names=_names("action", _maps(modality, "action", where), features, where),
    )


def _maps(modality: Mapping[str, Any], name: str, where: Path) -> Mapping[str, Mapping[str, Any]]:
    found = modality.get(name, {})
    if not isinstance(found, Mapping) or not all(isinstance(v, Mapping) for v in found.values()):
        raise SettingsError(f"{where}: {name} is {found!r:.60}, expected a map of keys to maps")
    return found


def _annotations(modality: Mapping[str, Any]) -> tuple[str, ...]:
    found = modality.get("annotation", {})
    return tuple(f"annotation.{key}" for key in found) if isinstance(found, Mapping) else ()


def _sizes(
    video: Mapping[str, Mapping[str, Any]], features: Mapping[str, Any]
) -> dict[str, tuple[int, int]]:
    """Return (height, width) of each camera whose feature says a shape of [H, W, 3]."""
    sizes = {}
    for key, fields in video.items():
        feature = features.get(str(fields.get("original_key", key)))
        shape = feature.get("shape") if isinstance(feature, Mapping) else None
        if isinstance(shape, list) and len(shape) == 3 and shape[2] == 3:
            sizes[key] = (int(shape[0]), int(shape[1]))
    return sizes


def _names(
    modality: str,
    keys: Mapping[str, Mapping[str, Any]],
    features: Mapping[str, Any],
    where: Path,
) -> dict[str, tuple[str, ...]]:
    """Return the names of each key's columns, numbered ones where the dataset names none."""
    found = {}
    for key, fields in keys.items():
        column = str(fields.get("original_key") or _COLUMNS[modality])
        try:
            start, end = int(fields["start"]), int(fields["end"])
        except (KeyError, TypeError, ValueError) as error:
            text = f"{where}: {modality}.{key}: expected start and end: {error}"
            raise SettingsError(text) from error
        if not 0 <= start < end:
            raise SettingsError(f"{where}: {modality}.{key}: expected 0 <= start < end")
        names = _flat(features.get(column))
        found[key] = tuple(names[start:end] if len(names) >= end else map(str, range(start, end)))
    return found


def _flat(feature: object) -> list[str]:
    """Return a feature's names: a list, or a map of lists as LeRobot's {"motors": [...]}."""
    names = feature.get("names") if isinstance(feature, Mapping) else None
    if isinstance(names, Mapping):
        names = [name for part in names.values() if isinstance(part, list) for name in part]
    return [str(name) for name in names] if isinstance(names, list) else []
