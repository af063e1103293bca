"""The actions of a LeRobot v2 or v2.1 dataset in GR00T's flavour, one episode at a time.

Reads meta/info.json, meta/episodes.jsonl, meta/modality.json and the parquet files of the data;
refuses to know videos, states and what is done with an action. pyarrow is imported when the
first episode is read, so that nobody else needs it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.errors import SettingsError

_VERSIONS: Final = ("v2.0", "v2.1")
_DATA_PATH: Final = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
_CHUNK: Final = 1000  # episodes a folder, where info.json does not say


@dataclass(frozen=True, slots=True)
class Columns:
    """Where one action key lies: columns `start` to `end` of a parquet column."""

    name: str
    start: int
    end: int

    @property
    def width(self) -> int:
        """D of the key."""
        return self.end - self.start


class LeRobotDataset:
    """One dataset; `fps` is the rate of its steps, `lengths` the steps of each episode."""

    def __init__(self, path: str | Path) -> None:
        """Read the metadata; raises SettingsError naming the file that is missing or wrong."""
        self.path = Path(path)
        info = read_json(self.path / "meta" / "info.json")
        version = info.get("codebase_version")
        if version not in _VERSIONS:
            known = " or ".join(_VERSIONS)
            raise SettingsError(f"{self.path}: LeRobot {version!r:.40}, expected {known}")
        self.fps = read_number(info, "fps", self.path)
        self._data_path = str(info.get("data_path", _DATA_PATH))
        self._chunk = int(info.get("chunks_size", _CHUNK)) or _CHUNK
        self.lengths = _lengths(self.path / "meta" / "episodes.jsonl")
        self.actions = _columns(self.path / "meta" / "modality.json")

    def episode(self, index: int) -> dict[str, NDArray[np.float32]]:
        """Return the actions of an episode, key -> (N, D) float32, as the dataset has them.

        Raises SettingsError: no such episode, no pyarrow, a file that is missing or contradicts
        the metadata, values that are not finite.
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
        """Return one parquet column as (N, D) float32."""
        path = self._file(index)
        try:
            from pyarrow import ArrowException, parquet
        except ImportError as error:
            raise SettingsError(f"replay of {path} needs pyarrow: pip install pyarrow") from error
        try:
            values = parquet.read_table(path, columns=[name]).column(name).to_pylist()
            rows = np.array(values, dtype=np.float32)
        except (OSError, KeyError, ValueError, TypeError, ArrowException) as error:
            raise SettingsError(f"{path}: column {name!r} cannot be read: {error}") from error
        return rows.reshape(len(values), -1)

    def _file(self, index: int) -> Path:
        try:
            relative = self._data_path.format(
                episode_chunk=index // self._chunk, episode_index=index
            )
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise SettingsError(f"{self.path}: data_path {self._data_path!r}: {error}") from error
        return self.path / relative


def read_json(path: Path) -> dict[str, Any]:
    """Return the map in a JSON file; raises SettingsError naming it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path}: no JSON: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: {type(content).__name__}, expected a map")
    return content


def read_number(info: Mapping[str, Any], key: str, where: Path) -> float:
    """Return a positive number of `info`; raises SettingsError naming the file `where`."""
    value = info.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise SettingsError(f"{where}: {key} is {value!r:.40}, expected a number above 0")
    return float(value)


def _lengths(path: Path) -> dict[int, int]:
    """Return episode index -> number of steps."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        lengths = {int(row["episode_index"]): int(row["length"]) for row in rows}
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path}: expected lines with episode_index, length: {error}"
        ) from error
    if not lengths or min(lengths.values()) < 1:
        raise SettingsError(f"{path}: expected at least one episode, and none without steps")
    return lengths


def _columns(path: Path) -> dict[str, Columns]:
    action = read_json(path).get("action")
    if not isinstance(action, dict) or not action:
        raise SettingsError(f"{path}: action is {action!r:.40}, expected a map of keys")
    found = {}
    for key, fields in action.items():
        try:
            name = str(fields.get("original_key") or "action")
            found[key] = Columns(name, int(fields["start"]), int(fields["end"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SettingsError(f"{path}: action.{key}: expected start and end: {error}") from error
        if not 0 <= found[key].start < found[key].end:
            raise SettingsError(f"{path}: action.{key}: expected 0 <= start < end")
    return found
