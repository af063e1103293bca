"""Reads the episodes of a LeRobot v2, v2.1 or v3 dataset as an embodiment file describes them.

Keys are cut out of the columns as meta/modality.json says; pictures are decoded when they are
asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset.episode import HUMAN, SOURCES, Episode
from gr00t_ros.dataset.lerobot import Columns, LeRobotDataset
from gr00t_ros.dataset.schema import (
    ACTION,
    INTERVENTION,
    LANGUAGE,
    PREDICTED,
    SOURCE,
    SUCCESS,
)
from gr00t_ros.dataset.video_decode import VideoPictures
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import StateStream, VideoStream

TASK_INDEX: Final = "task_index"

_RATE_TOLERANCE: Final = 1e-3  # of the rate; a replay at another rate would be another motion

FloatArrays = Mapping[str, NDArray[np.float32]]


class DatasetReader:
    """The episodes of one dataset; `dataset` is its metadata."""

    def __init__(self, dataset: LeRobotDataset) -> None:
        self.dataset = dataset
        self._tasks: dict[int, str] | None = None

    @property
    def episode_indices(self) -> tuple[int, ...]:
        """The numbers of all episodes, ascending."""
        return tuple(sorted(self.dataset.lengths))

    def load(self, index: int, embodiment: Embodiment) -> Episode:
        """Return an episode with the embodiment file's keys, in its order.

        An action key that the file ignores may be missing: it is no part of the episode then.
        Pictures of another size than the file's are resized by the camera's `fit`. Raises
        SettingsError if there is no such episode, if rate, keys or widths differ from the
        embodiment's, if a state or an action is not finite, and if a file cannot be read.
        """
        dataset = self.dataset
        dataset.refuse_unknown(index)
        where = f"{dataset.path} for {embodiment.source}"
        check_rate(dataset, embodiment)
        states = [stream for stream in embodiment.state if not _is_filled_in(stream, dataset)]
        state_keys = _columns(dataset.states, {s.key: s.width for s in states}, "state", where)
        widths = action_widths(dataset, embodiment)
        action_keys = _columns(dataset.actions, widths, "action", where)
        length = dataset.lengths[index]
        state = dataset.parts(index, state_keys, "state")
        has = dataset.columns(index)
        return Episode(
            name=f"{dataset.path.name}/{index}",
            rate_hz=dataset.fps,
            instruction=self._instruction(index, embodiment, has),
            stamps_ns=np.rint(np.arange(length) * 1e9 / dataset.fps).astype(np.int64),
            state={s.key: state.get(s.key, _constant(s, length)) for s in embodiment.state},
            action=dataset.parts(index, action_keys, "action"),
            video={stream.key: self._pictures(index, stream) for stream in embodiment.video},
            source=self._source(index, has),
            intervention=self._flags(index, INTERVENTION, has),
            predicted=self._predicted(index, action_keys, has),
            success=self._success(index, has),
        )

    # --- one column each ---------------------------------------------------------------------

    def _pictures(self, index: int, stream: VideoStream) -> VideoPictures:
        dataset = self.dataset
        if stream.key not in dataset.cameras:
            raise SettingsError(
                f"{dataset.path}: video.{stream.key} is none of meta/modality.json's cameras: "
                f"{', '.join(dataset.cameras):.200}"
            )
        part = dataset.video_part(index, dataset.cameras[stream.key])
        size = (stream.height_px, stream.width_px)
        length = dataset.lengths[index]
        return VideoPictures(part.path, part.from_s, length, dataset.fps, size, stream.fit)

    def _instruction(self, index: int, embodiment: Embodiment, has: Mapping[str, str]) -> str:
        """Return the text of the episode's rows, or of the list of episodes; empty if none."""
        names = [key.removeprefix(LANGUAGE) for key in embodiment.language_keys]
        annotated = [self.dataset.annotations[n] for n in names if n in self.dataset.annotations]
        column = next((c for c in (*annotated, TASK_INDEX) if c in has), None)
        if column is None:
            return next(iter(self.dataset.instructions.get(index, ())), "")
        numbers = np.unique(self.dataset.arrays(index, [column])[column])
        where = f"{self.dataset.path}: episode {index}: {column}"
        if self._tasks is None:
            self._tasks = self.dataset.tasks()
        texts = []
        for number in numbers:
            if number not in self._tasks:
                raise SettingsError(f"{where}: {number}, which is no task_index of the tasks file")
            texts.append(self._tasks[int(number)])
        if len(texts) != 1:
            raise SettingsError(
                f"{where}: {len(texts)} instructions, expected one: {' | '.join(texts):.200}"
            )
        return texts[0]

    def _source(self, index: int, has: Mapping[str, str]) -> NDArray[np.uint8]:
        """Return the index in SOURCES of each row: the dataset's own names, else a human."""
        length = self.dataset.lengths[index]
        if SOURCE not in has:
            return np.full(length, SOURCES.index(HUMAN), np.uint8)
        values = self._whole(index, SOURCE)
        stated = self.dataset.features.get(SOURCE, {}).get("values")
        names = stated if isinstance(stated, list) and stated else list(SOURCES)
        unknown = [name for name in names if name not in SOURCES]
        if unknown or values.min() < 0 or values.max() >= len(names):
            raise SettingsError(
                f"{self.dataset.path}: episode {index}: source {values.min()} to {values.max()} "
                f"of {names!r:.100}, expected of {', '.join(SOURCES)}"
            )
        return np.array([SOURCES.index(name) for name in names], np.uint8)[values]

    def _flags(self, index: int, name: str, has: Mapping[str, str]) -> NDArray[np.bool_]:
        if name not in has:
            return np.zeros(self.dataset.lengths[index], np.bool_)
        return self._whole(index, name).astype(np.bool_)

    def _success(self, index: int, has: Mapping[str, str]) -> bool | None:
        """Return what the last row says."""
        return bool(self._whole(index, SUCCESS)[-1]) if SUCCESS in has else None

    def _whole(self, index: int, name: str) -> NDArray[np.int64]:
        values = self.dataset.arrays(index, [name])[name].reshape(-1)
        length = self.dataset.lengths[index]
        if len(values) != length or not np.all(np.isfinite(values) & (values == np.rint(values))):
            raise SettingsError(
                f"{self.dataset.path}: episode {index}: {name} has {len(values)} values, expected "
                f"{length} whole numbers"
            )
        return values.astype(np.int64)

    def _predicted(
        self, index: int, keys: Mapping[str, Columns], has: Mapping[str, str]
    ) -> FloatArrays:
        """Return what the policy predicted: laid out as the actions, NaN where nothing was."""
        if PREDICTED not in has or any(columns.name != ACTION for columns in keys.values()):
            return {}
        predicted = {k: Columns(PREDICTED, of.start, of.end) for k, of in keys.items()}
        return self.dataset.parts(index, predicted, "predicted", finite=False)


def open_dataset(path: str | Path) -> DatasetReader:
    """Return the reader of the dataset in the folder `path`.

    Raises SettingsError that names the missing or wrong file.
    """
    return DatasetReader(LeRobotDataset(path))


def action_widths(dataset: LeRobotDataset, embodiment: Embodiment) -> dict[str, int]:
    """Return the width of each action key that the dataset must have for this embodiment.

    A key that no output executes may be missing: nobody can say what was commanded.
    """
    return {
        action.key: action.width
        for action in embodiment.action
        if action.output is not None or action.key in dataset.actions
    }


def check_rate(dataset: LeRobotDataset, embodiment: Embodiment) -> None:
    """Raise SettingsError if the dataset's rows have another rate than the embodiment's steps."""
    if abs(dataset.fps - embodiment.rate_hz) > _RATE_TOLERANCE * embodiment.rate_hz:
        raise SettingsError(
            f"{dataset.path} for {embodiment.source}: {dataset.fps:g} steps a second, expected "
            f"rate_hz {embodiment.rate_hz:g}"
        )


def _columns(
    found: Mapping[str, Columns], widths: Mapping[str, int], section: str, where: str
) -> dict[str, Columns]:
    """Return the columns of the embodiment's keys in its order; refuses other widths."""
    for key, width in widths.items():
        got = found[key].width if key in found else "none"
        if got != width:
            raise SettingsError(
                f"{where}: {section}.{key} has width {got} in meta/modality.json, expected {width}"
            )
    return {key: found[key] for key in widths}


def _is_filled_in(stream: StateStream, dataset: LeRobotDataset) -> bool:
    """Whether a state that never changes comes from the embodiment file: the dataset has none."""
    return stream.source == "constant" and stream.key not in dataset.states


def _constant(stream: StateStream, length: int) -> NDArray[np.float32]:
    return np.tile(np.array(stream.values, np.float32), (length, 1))
