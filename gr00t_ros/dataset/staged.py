"""One converted episode in a folder of its own, before its place in the dataset is known.

The folder has rows.parquet, one video for each camera, and facts.json, which is written when the
others are on the disk: a folder without it was not finished. Nothing in it depends on other
episodes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset import schema
from gr00t_ros.dataset.episode import Episode, EpisodePictures
from gr00t_ros.dataset.stats import levels
from gr00t_ros.dataset.video_encode import encode
from gr00t_ros.errors import SettingsError
from gr00t_ros.folder import tree_to_disk, write_whole
from gr00t_ros.robot.data_file import read_json

ROWS_FILE: Final = "rows.parquet"
FACTS_FILE: Final = "facts.json"
BagIdentity = dict[str, str | int]
"""What tells one bag from every other one: the name of its file, its start, size and SHA-256.

An earlier version noted no SHA-256.
"""
_SAMPLED: Final = 100  # pictures of a camera whose levels are counted


@dataclass(frozen=True, slots=True)
class Staged:
    """What is known of a staged episode beside its rows.

    name: the recording's name of it. actions: the keys that it has. pictures: camera -> (H, W).
    levels: camera -> (3, 256) counts of levels of some pictures. bag: what tells its bag from every
    other one; empty where that is unknown.
    """

    name: str
    length: int
    instruction: str
    success: bool | None
    actions: tuple[str, ...]
    pictures: dict[str, tuple[int, int]]
    codec: str
    predicted: bool
    levels: dict[str, list[list[int]]] = field(default_factory=dict)
    bag: BagIdentity = field(default_factory=dict)

    def histogram(self, camera: str) -> NDArray[np.int64]:
        """(3, 256) counts of levels of one camera."""
        return np.array(self.levels[camera], np.int64)


def stage(episode: Episode, folder: Path, codec: str, bag: BagIdentity | None = None) -> Staged:
    """Write an episode of that bag into a folder that is not there yet; the last is facts.json.

    Raises SettingsError for a value that is not finite, for an episode without an instruction, and
    if a file cannot be written.
    """
    _refuse(episode)
    try:
        folder.mkdir(parents=True)
        sizes, counted = {}, {}
        for camera, pictures in episode.video.items():
            watched = _Watched(pictures)
            count = encode(folder / f"{camera}.mp4", watched, episode.rate_hz, codec)
            if count != len(episode):
                raise SettingsError(
                    f"{episode.name}: video.{camera} has {count} pictures for {len(episode)} rows"
                )
            sizes[camera], counted[camera] = watched.size, watched.histogram.tolist()
        _write_rows(folder / ROWS_FILE, episode)
        staged = Staged(
            episode.name,
            len(episode),
            episode.instruction,
            episode.success,
            tuple(episode.action),
            sizes,
            codec,
            bool(episode.predicted),
            counted,
            dict(bag or {}),
        )
        tree_to_disk(folder)
        write_whole(folder / FACTS_FILE, json.dumps(asdict(staged)) + "\n")
    except OSError as error:
        raise SettingsError(f"{folder}: cannot be written: {error}") from error
    return staged


def read_staged(folder: Path) -> Staged:
    """The facts of a staged episode; SettingsError if it was not finished, or they are others."""
    path = folder / FACTS_FILE
    content = read_json(path)
    try:
        content["pictures"] = {key: tuple(size) for key, size in content["pictures"].items()}
        content["actions"] = tuple(content["actions"])
        return Staged(**content)
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"{path}: got {error!r}, expected the facts of a staged episode: convert it again"
        ) from error


def has_content(folder: Path, facts: Staged) -> bool:
    """Whether no file that a staged episode's facts speak of is missing or empty.

    A power failure left such files where an earlier version had written the facts.
    """
    files = [folder / ROWS_FILE, *(folder / f"{camera}.mp4" for camera in facts.pictures)]
    try:
        return all(one.stat().st_size for one in files)
    except OSError:
        return False


def read_rows(folder: Path) -> Any:
    """The pyarrow Table of a staged episode's rows."""
    return parquet().read_table(folder / ROWS_FILE)


def told_apart(folder: Path) -> tuple[str, str]:
    """What tells a staged episode from others where its bag is unknown: name and rows."""
    table, found = read_rows(folder), hashlib.sha256()
    for name in (schema.STATE, schema.ACTION):
        found.update(np.array(table.column(name).to_pylist(), np.float32).tobytes())
    return read_staged(folder).name, found.hexdigest()


def parquet() -> Any:
    """Pyarrow's parquet module; SettingsError if it is not installed."""
    try:
        from pyarrow import parquet as module
    except ImportError as error:
        raise SettingsError(f"a dataset needs pyarrow ({error}): pip install pyarrow") from error
    return module


class _Watched:
    """Pictures as they pass to the encoder, with their size and a count of their levels."""

    def __init__(self, pictures: EpisodePictures) -> None:
        self._pictures = pictures
        self.size = (0, 0)
        self.histogram = np.zeros((3, 256), np.int64)

    def __iter__(self) -> Any:
        every = max(1, -(-len(self._pictures) // _SAMPLED))
        for row, picture in enumerate(self._pictures):
            if row % every == 0:
                self.size = picture.shape[0], picture.shape[1]
                self.histogram += levels(picture)
            yield picture


def _refuse(episode: Episode) -> None:
    if not episode.instruction.strip():
        raise SettingsError(f"{episode.name}: has no instruction: give --instruction TEXT")
    if not len(episode):
        raise SettingsError(f"{episode.name}: has no row")
    for what, keys in (("state", episode.state), ("action", episode.action)):
        for key, values in keys.items():
            bad = np.argwhere(~np.isfinite(values))
            if len(bad):
                row, column = bad[0]
                raise SettingsError(
                    f"{episode.name}: {what}.{key}: {values[row, column]} in row {row}, column "
                    f"{column}, expected finite values"
                )


def _write_rows(path: Path, episode: Episode) -> None:
    import pyarrow

    count = len(episode)
    ends = np.arange(count) == count - 1
    columns: dict[str, Any] = {
        schema.STATE: vectors(joined(episode.state)),
        schema.ACTION: vectors(joined(episode.action)),
    }
    if episode.predicted:
        of_action = {key: episode.predicted[key] for key in episode.action}
        columns[schema.PREDICTED] = vectors(joined(of_action))
    columns[schema.INTERVENTION] = pyarrow.array(episode.intervention)
    columns[schema.SOURCE] = pyarrow.array(episode.source.astype(np.int64))
    columns[schema.DONE] = pyarrow.array(ends)
    if episode.success is not None:
        columns[schema.SUCCESS] = pyarrow.array(ends & episode.success)
    parquet().write_table(pyarrow.table(columns), path)


def joined(keys: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """(N, D) float32: the columns of all keys in their order."""
    return np.concatenate([np.asarray(rows, np.float32) for rows in keys.values()], axis=1)


def vectors(rows: NDArray[np.float32]) -> Any:
    """(N, D) rows as a pyarrow array of lists of D float32."""
    import pyarrow

    flat = pyarrow.array(np.ascontiguousarray(rows).ravel())
    return pyarrow.FixedSizeListArray.from_arrays(flat, rows.shape[1])
