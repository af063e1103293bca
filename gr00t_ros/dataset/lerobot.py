"""A LeRobot v2, v2.1 or v3 dataset: its metadata, and the rows of an episode.

Reads meta/info.json, meta/modality.json, the lists of episodes and tasks, and the parquet files,
one episode at a time. It also has the places of an episode's pictures; reader.py decodes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset.parquet_file import (
    MAX_COLUMNS,
    MAX_ROWS,
    Array,
    as_rows,
    read_arrays,
    read_lists,
    read_schema,
)
from gr00t_ros.dataset.schema import ACTION, IMAGES, STATE
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.data_file import read_json, read_json_lines

VERSIONS: Final = ("v2.0", "v2.1", "v3.0")
V3: Final = "v3.0"
SECTIONS: Final = ("state", "action", "video", "annotation")

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)(?::0?(\d?)d)?\}")
_DATA: Final = {"data": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"}
_DATA_V3: Final = {"data": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"}
_PATHS: Final = _DATA | {
    "video": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
}
_PATHS_V3: Final = _DATA_V3 | {
    "video": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
}
_CHUNK: Final = 1000  # episodes per folder if info.json has no chunks_size


@dataclass(frozen=True, slots=True)
class Columns:
    """The position of one key: columns `start` to `end` of a parquet column."""

    name: str
    start: int
    end: int

    @property
    def width(self) -> int:
        """D of the key."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class VideoPart:
    """The pictures of one camera in one episode: a file, and from which time of it on, s.

    `to_s` is None where the file holds this episode alone.
    """

    path: Path
    from_s: float = 0.0
    to_s: float | None = None


@dataclass(frozen=True, slots=True)
class EpisodePlace:
    """One episode of a v3 dataset: its texts, its data file's chunk and number, its videos.

    `videos`: camera's column -> chunk, file, from and to, s.
    """

    file: tuple[int, int]
    videos: Mapping[str, tuple[int, int, float, float]]


class LeRobotDataset:
    """One dataset; `fps`: rate of its steps in Hz, `lengths`: number of steps of each episode.

    `info` and `modality` are the maps of the files; a v3 dataset may have no modality.json.
    `actions` and `states`: key -> its columns. `cameras`: key -> the camera's column.
    `annotations`: key -> the column of its texts' numbers. `instructions`: an episode's texts.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the metadata; raises SettingsError that names the missing or wrong file."""
        self.path = Path(path)
        where = self.path / "meta" / "info.json"
        self.info = read_json(where)
        self.version = read_version(self.info, where)
        self.is_v3 = self.version == V3
        self.fps = read_number(self.info, "fps", where)
        self.features = read_features(self.info, where)
        self._patterns = {name: read_pattern(self.info, name, self.is_v3, where) for name in _PATHS}
        self._chunk = whole(self.info, "chunks_size", _CHUNK, 1, 10**9, f"{where}: ")
        self.instructions: dict[int, tuple[str, ...]] = {}
        self._places: dict[int, EpisodePlace] = {}
        if self.is_v3:
            self._read_episodes_v3(self.path / "meta" / "episodes")
        else:
            self._read_episodes(self.path / "meta" / "episodes.jsonl")
        where = self.path / "meta" / "modality.json"
        self.modality = {} if self.is_v3 and not where.exists() else read_json(where)
        self.actions = read_columns(self.modality, "action", where)
        self.states = read_columns(self.modality, "state", where)
        self.cameras = {key: self._camera(key, where) for key in self._keys("video", where)}
        self.annotations = {
            key: _text(fields, f"annotation.{key}", f"{where}: annotation.{key}: ")
            for key, fields in self._keys("annotation", where).items()
        }
        if self.modality and not self.actions or not self.is_v3 and not self.modality:
            raise SettingsError(f"{where}: action is empty, expected a map of keys")

    # --- rows --------------------------------------------------------------------------------

    def episode(self, index: int) -> dict[str, NDArray[np.float32]]:
        """Return the actions of an episode, key -> (N, D) float32, in the dataset's units.

        Raises SettingsError if there is no such episode or no pyarrow, if a file is missing or
        contradicts the metadata, and if a value is not finite.
        """
        return self.parts(index, self.actions, "action")

    def parts(
        self, index: int, keys: Mapping[str, Columns], section: str, finite: bool = True
    ) -> dict[str, NDArray[np.float32]]:
        """Return the rows of some keys, key -> (N, D) float32. Raises as `episode`.

        section: what the keys are, in errors. finite: whether a NaN is refused.
        """
        self.refuse_unknown(index)
        table = self.arrays(index, sorted({columns.name for columns in keys.values()}))
        return {
            key: self._part(index, f"{section}.{key}", columns, table[columns.name], finite)
            for key, columns in keys.items()
        }

    def arrays(self, index: int, names: Sequence[str]) -> dict[str, Array]:
        """Return parquet columns of an episode, (N,) or (N, D), in their own dtype."""
        only = [("episode_index", "=", index)] if self.is_v3 else None
        return read_arrays(self.data_file(index), names, "replay", only)

    def columns(self, index: int) -> dict[str, str]:
        """Return the names of the parquet columns of an episode, with their Arrow types."""
        return read_schema(self.data_file(index), "replay")

    def _part(
        self, index: int, key: str, columns: Columns, rows: Array, finite: bool
    ) -> NDArray[np.float32]:
        where = f"{self.path}: episode {index}: {key}"
        rows = as_rows(rows)
        expected = (self.lengths[index], columns.end)
        if rows.shape[0] != expected[0] or rows.shape[1] < expected[1]:
            raise SettingsError(f"{where}: {columns.name} is {rows.shape}, expected {expected}")
        part = np.ascontiguousarray(rows[:, columns.start : columns.end], dtype=np.float32)
        if finite and not np.isfinite(part).all():
            raise SettingsError(f"{where}: a value is not finite")
        return part

    # --- where things lie --------------------------------------------------------------------

    def refuse_unknown(self, index: int) -> None:
        """Raise SettingsError, with what there is, if the dataset has no such episode."""
        if index not in self.lengths:
            span = f"{len(self.lengths)}: {min(self.lengths)} to {max(self.lengths)}"
            raise SettingsError(f"{self.path}: no episode {index!r:.40}, it has {span}")

    def data_file(self, index: int) -> Path:
        """Return the parquet file with an episode's rows."""
        return self._file("data", index, *self._data_place(index))

    def video_part(self, index: int, column: str) -> VideoPart:
        """Return where an episode's pictures of one camera lie; `column` is the camera's.

        Raises SettingsError if a v3 dataset's list of episodes does not tell.
        """
        if not self.is_v3:
            return VideoPart(self._file("video", index, index // self._chunk, 0, column))
        found = self._places[index].videos.get(column)
        if found is None:
            raise SettingsError(
                f"{self.path / 'meta' / 'episodes'}: episode {index}: no columns "
                f"videos/{column}/..., expected where the camera's pictures lie"
            )
        chunk, file, from_s, to_s = found
        return VideoPart(self._file("video", index, chunk, file, column), from_s, to_s)

    def _data_place(self, index: int) -> tuple[int, int]:
        return self._places[index].file if self.is_v3 else (index // self._chunk, 0)

    def _file(self, kind: str, index: int, chunk: int, file: int, column: str = "") -> Path:
        return self.path / self._patterns[kind].format(
            episode_chunk=chunk,
            episode_index=index,
            chunk_index=chunk,
            file_index=file,
            video_key=column,
        )

    def _keys(self, section: str, where: Path) -> Mapping[str, Mapping[str, Any]]:
        return read_keys(self.modality, section, where)

    def _camera(self, key: str, where: Path) -> str:
        """Return the column of a camera: original_key, else GR00T's default name."""
        place = f"{where}: video.{key}: "
        column = _text(self._keys("video", where)[key], f"{IMAGES}{key}", place)
        if column in ("", ".", "..") or set(column) & set("/\\\0"):
            raise SettingsError(f"{place}original_key is {column!r:.60}, expected a folder's name")
        return column

    # --- tasks and episodes ------------------------------------------------------------------

    def tasks(self) -> dict[int, str]:
        """Return each task's text by its task_index. Raises SettingsError naming the file."""
        meta = self.path / "meta"
        rows = read_tasks_v3(meta / "tasks.parquet") if self.is_v3 else _tasks(meta / "tasks.jsonl")
        return dict(rows)

    def _read_episodes(self, path: Path) -> None:
        """Read the list of episodes of a v2 dataset; of two lines about one the later counts."""
        self.lengths: dict[int, int] = {}
        for line, row in read_json_lines(path):
            place = f"{path}:{line}: "
            index = whole(row, "episode_index", None, 0, 10**9, place)
            self.lengths[index] = whole(row, "length", None, 1, MAX_ROWS, place)
            self.instructions[index] = _texts(row.get("tasks"))
        _refuse_none(self.lengths, path)

    def _read_episodes_v3(self, folder: Path) -> None:
        """Read the list of episodes of a v3 dataset."""
        self.lengths = {}
        for path in sorted(folder.glob("*/*.parquet")):
            for row, of in enumerate(read_episode_rows(path)):
                place = f"{path}: row {row}: "
                index = whole(of, "episode_index", None, 0, 10**9, place)
                self.lengths[index] = whole(of, "length", None, 1, MAX_ROWS, place)
                self.instructions[index] = _texts(of.get("tasks"))
                self._places[index] = _place(of, place)
        _refuse_none(self.lengths, folder)


def read_version(info: Mapping[str, Any], where: Path) -> str:
    """Return codebase_version; raises SettingsError that names the file if it is unknown."""
    version = info.get("codebase_version")
    if version not in VERSIONS:
        known = " or ".join(VERSIONS)
        raise SettingsError(f"{where}: codebase_version is {version!r:.40}, expected {known}")
    return str(version)


def read_number(info: Mapping[str, Any], key: str, where: Path) -> float:
    """Return a number of `info`, from 0.01 to 10,000; raises SettingsError that names `where`."""
    value = info.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.01 <= value <= 1e4:
        raise SettingsError(f"{where}: {key} is {value!r:.40}, expected a number above 0")
    return float(value)


def read_features(info: Mapping[str, Any], where: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return info's features, name -> fields; raises SettingsError that names the file."""
    found = info.get("features", {})
    if not isinstance(found, Mapping) or not all(isinstance(v, Mapping) for v in found.values()):
        raise SettingsError(f"{where}: features is {found!r:.60}, expected a map of names to maps")
    return found


def read_columns(modality: Mapping[str, Any], name: str, where: Path) -> dict[str, Columns]:
    """Return the columns of each key in modality.json's section `name`, "state" or "action".

    Raises SettingsError that names file and key if the section is not a map, original_key is not a
    text, or start and end are not columns.
    """
    default = ACTION if name == "action" else STATE
    found = {}
    for key, fields in read_keys(modality, name, where).items():
        place = f"{where}: {name}.{key}: "
        column = _text(fields, default, place)
        start = whole(fields, "start", None, 0, MAX_COLUMNS, place)
        end = whole(fields, "end", None, 0, MAX_COLUMNS, place)
        if not start < end:
            raise SettingsError(f"{place}got {start} to {end}, expected 0 <= start < end")
        found[key] = Columns(column, start, end)
    return found


def read_keys(
    modality: Mapping[str, Any], name: str, where: Path
) -> Mapping[str, Mapping[str, Any]]:
    """Return one section of modality.json as key -> fields, empty if it has no `name`."""
    found = modality.get(name, {})
    if not isinstance(found, Mapping):
        raise SettingsError(f"{where}: {name} is {found!r:.60}, expected a map of keys")
    for key, fields in found.items():
        if not key.strip() or not isinstance(fields, Mapping):
            got = f"{fields!r:.60}"
            raise SettingsError(f"{where}: {name}.{key}: got {got}, expected start and end, a map")
    return found


def _text(fields: Mapping[str, Any], default: str, place: str) -> str:
    """Return original_key, a text."""
    column = fields.get("original_key") or default
    if not isinstance(column, str):
        raise SettingsError(f"{place}original_key is {column!r:.40}, expected a text")
    return column


def whole(
    fields: Mapping[str, Any], key: str, default: int | None, low: int, high: int, place: str
) -> int:
    """Return a whole number in [low, high]; `place` is the beginning of the error's text."""
    value = fields.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        expected = "start and end, whole numbers" if key in ("start", "end") else "a whole number"
        raise SettingsError(
            f"{place}{key} is {value!r:.40}, expected {expected} from {low} to {high}"
        )
    return value


def read_pattern(info: Mapping[str, Any], kind: str, is_v3: bool, where: Path) -> str:
    """Return info's data_path or video_path: inside the dataset, with known placeholders only."""
    default = (_PATHS_V3 if is_v3 else _PATHS)[kind]
    known = {found.group(1) for found in _PLACEHOLDER.finditer(default)}
    value = info.get(f"{kind}_path")
    if value is None:
        value = default
    text = value if isinstance(value, str) else ""
    path = PurePosixPath(text)
    names = {found.group(1) for found in _PLACEHOLDER.finditer(text)}
    rest = _PLACEHOLDER.sub("", text)
    as_number = re.search(r"\{video_key:", text)
    if path.is_absolute() or ".." in path.parts or not names <= known or set(rest) & set("{}\0"):
        text = ""
    if not text or as_number:
        raise SettingsError(f"{where}: {kind}_path is {value!r:.90}, expected such as {default}")
    return text


def _refuse_none(lengths: Mapping[int, int], where: Path) -> None:
    if not lengths:
        raise SettingsError(f"{where}: expected at least one episode")


def _texts(value: object) -> tuple[str, ...]:
    """Return an episode's texts, none if they are no list of texts."""
    texts = value if isinstance(value, list) else []
    return tuple(text for text in texts if isinstance(text, str))


def _tasks(path: Path) -> list[tuple[int, str]]:
    """Return (task_index, text) of each line of a v2 dataset's tasks.jsonl."""
    rows = []
    for line, row in read_json_lines(path):
        number = whole(row, "task_index", None, 0, 10**9, f"{path}:{line}: ")
        text = row.get("task")
        if not isinstance(text, str):
            raise SettingsError(f"{path}:{line}: task is {text!r:.40}, expected a text")
        rows.append((number, text))
    return rows


def read_tasks_v3(path: Path) -> list[tuple[int, str]]:
    """Return (task_index, text) of each row of a v3 dataset's tasks.parquet, in its order."""
    names = read_schema(path, "a LeRobot v3 dataset")
    text = next((name for name in ("task", "__index_level_0__") if name in names), "task")
    table = read_lists(path, ["task_index", text], "a LeRobot v3 dataset")
    rows = []
    for row, (number, of) in enumerate(zip(table["task_index"], table[text], strict=True)):
        place = f"{path}: row {row}: "
        if not isinstance(of, str):
            raise SettingsError(f"{place}task is {of!r:.40}, expected a text")
        rows.append((whole({"task_index": number}, "task_index", None, 0, 10**9, place), of))
    return rows


def read_episode_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of one file of meta/episodes, without the statistics."""
    needed = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    names = read_schema(path, "a LeRobot v3 dataset")
    also = [n for n in names if n in ("tasks", "dataset_from_index", "dataset_to_index")]
    videos = [name for name in names if name.startswith("videos/")]
    table = read_lists(path, [*needed, *also, *videos], "a LeRobot v3 dataset")
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def _place(row: Mapping[str, Any], place: str) -> EpisodePlace:
    cameras = sorted({n.split("/")[1] for n in row if n.startswith("videos/") and n.count("/") > 1})
    return EpisodePlace(
        (
            whole(row, "data/chunk_index", None, 0, 10**6, place),
            whole(row, "data/file_index", None, 0, 10**6, place),
        ),
        {
            camera: (
                whole(row, f"videos/{camera}/chunk_index", None, 0, 10**6, place),
                whole(row, f"videos/{camera}/file_index", None, 0, 10**6, place),
                _seconds(row, f"videos/{camera}/from_timestamp", place),
                _seconds(row, f"videos/{camera}/to_timestamp", place),
            )
            for camera in cameras
        },
    )


def _seconds(row: Mapping[str, Any], key: str, place: str) -> float:
    value = row.get(key)
    if not isinstance(value, float | int) or not 0.0 <= value <= 1e9:
        raise SettingsError(f"{place}{key} is {value!r:.40}, expected seconds from 0")
    return float(value)
