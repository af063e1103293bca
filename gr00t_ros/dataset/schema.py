"""What the columns of a dataset are: names, slices and features, in the embodiment file's order.

modality.json names the slice of each key with the fields that N1.5 reads; N1.6 and N1.7 ignore
these. A dataset has the action keys that were recorded: a key that no output executes, and whose
values no joint gives, is in `left_out`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gr00t_ros.dataset.episode import SOURCES
from gr00t_ros.robot.actions import ActionKey
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.field import Scale
from gr00t_ros.robot.streams import StateStream

STATE: Final = "observation.state"
ACTION: Final = "action"
PREDICTED: Final = "action.predicted"
IMAGES: Final = "observation.images."
INTERVENTION: Final = "intervention"
SOURCE: Final = "source"
DONE: Final = "next.done"
SUCCESS: Final = "next.success"
TIMESTAMP: Final = "timestamp"
INDICES: Final = ("frame_index", "episode_index", "index", "task_index")
LANGUAGE: Final = "annotation."

_POSE_NAMES = {
    "xyz_axis_angle": ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z"),
    "xyz_quaternion": ("x", "y", "z", "qx", "qy", "qz", "qw"),
    "xyz_rot6d_rows": ("x", "y", "z", *(f"rot6d_{i}" for i in range(6))),
    "projected_gravity": ("gravity_x", "gravity_y", "gravity_z"),
}
_ROTATIONS = {"xyz_axis_angle": "axis_angle", "xyz_rot6d_rows": "rotation_6d"}


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of one dataset.

    state, action: key -> names of its columns. pictures: camera -> (H, W). fps: as info.json has
    it. codec: of the videos, as FFmpeg calls the format.
    """

    embodiment: Embodiment
    state: Mapping[str, tuple[str, ...]]
    action: Mapping[str, tuple[str, ...]]
    pictures: Mapping[str, tuple[int, int]]
    codec: str

    @property
    def fps(self) -> float:
        """The rate, a whole number where it is one."""
        rate = self.embodiment.rate_hz
        return int(rate) if rate == int(rate) else rate

    @property
    def left_out(self) -> tuple[str, ...]:
        """The action keys that the dataset does not have."""
        return tuple(key.key for key in self.embodiment.action if key.key not in self.action)

    def modality(self) -> dict[str, Any]:
        """The content of modality.json."""
        streams = {stream.key: stream for stream in self.embodiment.state}
        keys = {key.key: key for key in self.embodiment.action}
        return {
            "state": _slices(self.state, STATE, {k: _state_facts(streams[k]) for k in self.state}),
            "action": _slices(self.action, ACTION, {k: _facts(keys[k]) for k in self.action}),
            "video": {key: {"original_key": IMAGES + key} for key in self.pictures},
            "annotation": {key: {"original_key": "task_index"} for key in self._language()},
        }

    def features(self, wide_time: bool, optional: Mapping[str, bool]) -> dict[str, Any]:
        """info.json's features. wide_time: float64 timestamps. optional: PREDICTED, SUCCESS."""
        names = {STATE: _all(self.state), ACTION: _all(self.action), PREDICTED: _all(self.action)}
        found: dict[str, Any] = {
            name: {"dtype": "float32", "shape": [len(columns)], "names": columns}
            for name, columns in names.items()
            if name != PREDICTED or optional[PREDICTED]
        }
        found |= {IMAGES + key: self._camera(size) for key, size in self.pictures.items()}
        one: dict[str, Any] = {"shape": [1], "names": None}
        found[TIMESTAMP] = {"dtype": "float64" if wide_time else "float32", **one}
        found |= {name: {"dtype": "int64", **one} for name in INDICES}
        found[INTERVENTION] = {"dtype": "bool", **one}
        found[SOURCE] = {"dtype": "int64", "shape": [1], "names": None, "values": list(SOURCES)}
        found[DONE] = {"dtype": "bool", **one}
        if optional[SUCCESS]:
            found[SUCCESS] = {"dtype": "bool", **one}
        return found

    def _language(self) -> tuple[str, ...]:
        """The annotation's keys: those of the file's language keys that are annotations."""
        keys = [
            key.removeprefix(LANGUAGE)
            for key in self.embodiment.language_keys
            if key.startswith(LANGUAGE)
        ]
        return tuple(keys) or ("human.task_description",)

    def _camera(self, size: tuple[int, int]) -> dict[str, Any]:
        height, width = size
        return {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height,
                "video.width": width,
                "video.codec": self.codec,
                "video.pix_fmt": "yuv444p" if height % 2 or width % 2 else "yuv420p",
                "video.is_depth_map": False,
                "video.fps": self.fps,
                "video.channels": 3,
                "has_audio": False,
            },
        }


def schema_of(
    embodiment: Embodiment,
    actions: tuple[str, ...],
    pictures: Mapping[str, tuple[int, int]],
    codec: str,
) -> Schema:
    """The schema of a dataset with these action keys and sizes of pictures."""
    return Schema(
        embodiment,
        {stream.key: _state_names(stream) for stream in embodiment.state},
        {key.key: key.names for key in embodiment.action if key.key in actions},
        {stream.key: pictures[stream.key] for stream in embodiment.video},
        codec,
    )


def _state_names(stream: StateStream) -> tuple[str, ...]:
    if stream.encode is not None:
        names = _POSE_NAMES[stream.encode]
        return tuple(names[i] for i in stream.columns) if stream.columns else names
    return stream.names or tuple(f"value_{i}" for i in range(len(stream.values)))


def _all(keys: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [name for names in keys.values() for name in names]


def _slices(
    keys: Mapping[str, tuple[str, ...]], column: str, facts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    found, start = {}, 0
    for key, names in keys.items():
        end = start + len(names)
        found[key] = {"start": start, "end": end, "original_key": column, **facts[key]}
        start = end
    return found


def _state_facts(stream: StateStream) -> dict[str, Any]:
    facts: dict[str, Any] = {"absolute": True, "dtype": "float32"} | _range(stream.scale)
    rotation = _ROTATIONS.get(stream.encode or "")
    whole = tuple(range(3, len(_POSE_NAMES.get(stream.encode or "", ()))))
    if rotation is not None and stream.columns == whole:
        facts["rotation_type"] = rotation
    return facts


def _facts(key: ActionKey) -> dict[str, Any]:
    return {"absolute": key.representation != "delta", "dtype": "float32"} | _range(key.scale)


def _range(scale: Scale | None) -> dict[str, Any]:
    """The policy's two values, where all columns of the key have the same."""
    if scale is None or len(set(scale.policy)) != 1:
        return {}
    return {"range": sorted(scale.policy[0])}
