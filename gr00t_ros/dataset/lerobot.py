"""The actions of a LeRobot v2, v2.1 or v3 dataset.

Reads meta/info.json, meta/modality.json, the list of episodes, and the parquet files, one episode
at a time; pyarrow is imported when a parquet file is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.data_file import read_json, read_json_lines

VERSIONS: Final = ("v2.0", "v2.1", "v3.0")
_V3: Final = "v3.0"
_DATA_PATH: Final = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_DATA_PATH_V3: Final = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)(?::0?(\d?)d)?\}")
_CHUNK: Final = 1000  # episodes per folder if info.json has no chunks_size
_MAX_COLUMNS: Final = 4096  # in one parquet column; a humanoid's state has a hundred
_MAX_STEPS: Final = 10_000_000  # in one episode: a day at 100 Hz


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


class LeRobotDataset:
    """One dataset; `fps`: rate of its steps in Hz, `lengths`: number of steps of each episode."""

    def __init__(self, path: str | Path) -> None:
        """Read the metadata; raises SettingsError that names the missing or wrong file."""
        self.path = Path(path)
        where = self.path / "meta" / "info.json"
        info = read_json(where)
        version = read_version(info, where)
        self.fps = read_number(info, "fps", where)
        self._is_v3 = version == _V3
        self._data_path = _pattern(info, self._is_v3, where)
        self._chunk = _whole(info, "chunks_size", _CHUNK, 1, 10**9, f"{where}: ")
        self._files: dict[int, tuple[int, int]] = {}  # v3: episode -> chunk and file of its data
        if self._is_v3:
            self.lengths, self._files = _episodes(self.path / "meta" / "episodes")
        else:
            self.lengths = _lengths(self.path / "meta" / "episodes.jsonl")
        where = self.path / "meta" / "modality.json"
        self.actions = read_columns(read_json(where), "action", where)
        if not self.actions:
            raise SettingsError(f"{where}: action is empty, expected a map of keys")

    def episode(self, index: int) -> dict[str, NDArray[np.float32]]:
        """Return the actions of an episode, key -> (N, D) float32, in the dataset's units.

        Raises SettingsError if there is no such episode or no pyarrow, if a file is missing or
        contradicts the metadata, and if a value is not finite.
        """
        if index not in self.lengths:
            raise SettingsError(f"{self.path}: no episode {index!r:.40}, it has {self._span()}")
        names = {columns.name for columns in self.actions.values()}
        table = {name: self._column(index, name) for name in names}
        return {key: self._part(index, key, table) for key in self.actions}

    def _span(self) -> str:
        return f"{len(self.lengths)}: {min(self.lengths)} to {max(self.lengths)}"

    def _part(
        self, index: int, key: str, table: Mapping[str, NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        columns = self.actions[key]
        rows = table[columns.name]
        where = f"{self.path}: episode {index}: action.{key}"
        expected = (self.lengths[index], columns.end)
        if rows.shape[0] != expected[0] or rows.shape[1] < expected[1]:
            raise SettingsError(f"{where}: {columns.name} is {rows.shape}, expected {expected}")
        part = np.ascontiguousarray(rows[:, columns.start : columns.end])
        if not np.isfinite(part).all():
            raise SettingsError(f"{where}: a value is not finite")
        return part

    def _column(self, index: int, name: str) -> NDArray[np.float32]:
        """Return one parquet column as (N, D) float32; only the episode's rows of a v3 file."""
        path = self._file(index)
        only = [("episode_index", "=", index)] if self._is_v3 else None
        values = _read_parquet(path, [name], "replay", only)[name]
        try:
            rows = np.array(values, dtype=np.float32)
            return rows.reshape(len(values), -1)
        except (ValueError, TypeError) as error:
            raise SettingsError(f"{path}: column {name!r} cannot be read: {error}") from error

    def _file(self, index: int) -> Path:
        chunk, file = self._files.get(index, (index // self._chunk, 0))
        return self.path / self._data_path.format(
            episode_chunk=chunk, episode_index=index, chunk_index=chunk, file_index=file
        )


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


def read_columns(modality: Mapping[str, Any], name: str, where: Path) -> dict[str, Columns]:
    """Return the columns of each key in modality.json's section `name`, "state" or "action".

    Raises SettingsError that names file and key if the section is not a map, original_key is not a
    text, or start and end are not columns.
    """
    default = "action" if name == "action" else "observation.state"
    found = {}
    for key, fields in read_keys(modality, name, where).items():
        place = f"{where}: {name}.{key}: "
        column = fields.get("original_key") or default
        if not isinstance(column, str):
            raise SettingsError(f"{place}original_key is {column!r:.40}, expected a text")
        start = _whole(fields, "start", None, 0, _MAX_COLUMNS, place)
        end = _whole(fields, "end", None, 0, _MAX_COLUMNS, place)
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


def _whole(
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


def _pattern(info: Mapping[str, Any], is_v3: bool, where: Path) -> str:
    """Return info's data_path: a path inside the dataset, with known placeholders only."""
    default, known = _DATA_PATH, {"episode_chunk", "episode_index"}
    if is_v3:
        default, known = _DATA_PATH_V3, {"chunk_index", "file_index"}
    value = info.get("data_path", default)
    text = value if isinstance(value, str) else ""
    path = PurePosixPath(text)
    names = {found.group(1) for found in _PLACEHOLDER.finditer(text)}
    rest = _PLACEHOLDER.sub("", text)
    if path.is_absolute() or ".." in path.parts or not names <= known or set(rest) & set("{}\0"):
        text = ""
    if not text:
        raise SettingsError(f"{where}: data_path is {value!r:.80}, expected such as {default}")
    return text


def _lengths(path: Path) -> dict[int, int]:
    """Return episode index -> number of steps, of a v2 dataset."""
    lengths = {}
    for line, row in read_json_lines(path):
        place = f"{path}:{line}: "
        index = _whole(row, "episode_index", None, 0, 10**9, place)
        lengths[index] = _whole(row, "length", None, 0, _MAX_STEPS, place)
    return _some(lengths, path)


def _episodes(folder: Path) -> tuple[dict[int, int], dict[int, tuple[int, int]]]:
    """Return episode index -> steps, and episode index -> (chunk, file), of a v3 dataset."""
    columns = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    lengths, files = {}, {}
    for path in sorted(folder.glob("*/*.parquet")):
        table = _read_parquet(path, columns, "a LeRobot v3 dataset")
        for row in range(len(table["length"])):
            of = {name: values[row] for name, values in table.items()}
            place = f"{path}: row {row}: "
            index = _whole(of, "episode_index", None, 0, 10**9, place)
            lengths[index] = _whole(of, "length", None, 0, _MAX_STEPS, place)
            files[index] = (
                _whole(of, "data/chunk_index", None, 0, 10**6, place),
                _whole(of, "data/file_index", None, 0, 10**6, place),
            )
    return _some(lengths, folder), files


def _some(lengths: dict[int, int], where: Path) -> dict[int, int]:
    if not lengths or min(lengths.values()) < 1:
        raise SettingsError(f"{where}: expected at least one episode, and none without steps")
    return lengths


def _read_parquet(
    path: Path,
    columns: Sequence[str],
    purpose: str,
    only: list[tuple[str, str, int]] | None = None,
) -> dict[str, list[Any]]:
    """Return columns of a parquet file as lists; `only` filters the rows."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise SettingsError(f"{purpose} of {path} needs pyarrow: pip install pyarrow") from error
    try:
        if not path.is_file():
            raise FileNotFoundError("no such file")
        table = parquet.read_table(path, columns=list(columns), filters=only)
        return {name: table.column(name).to_pylist() for name in columns}
    except (OSError, KeyError, ValueError, TypeError, ArrowException) as error:
        names = ", ".join(columns)
        cause = " ".join(str(error).split())
        raise SettingsError(f"{path}: column {names} cannot be read: {cause:.300}") from error
