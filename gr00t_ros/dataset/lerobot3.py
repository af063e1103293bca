"""LeRobot v3.0: episodes share parquet and video files up to a size; data.md 2."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset import schema
from gr00t_ros.dataset.contents import Contents, PlacedEpisode, arrays
from gr00t_ros.dataset.groot import link, write_json
from gr00t_ros.dataset.staged import ROWS_FILE, parquet
from gr00t_ros.dataset.stats import of_levels, statistics
from gr00t_ros.dataset.video_encode import join

VERSION: Final = "v3.0"
DATA_MB: Final = 100
VIDEO_MB: Final = 200
PER_CHUNK: Final = 1000
DATA_PATH: Final = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH: Final = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH: Final = "meta/episodes/chunk-000/file-000.parquet"

EpisodeRow = dict[str, Any]


def write(contents: Contents, folder: Path) -> None:
    """Write the dataset into a folder that is not there yet; raises OSError."""
    (folder / "meta").mkdir(parents=True)
    rows: list[EpisodeRow] = [_row(one) for one in contents.episodes]
    columns = _write_data(contents, folder, rows)
    for camera in contents.schema.pictures:
        _write_videos(contents, folder, camera, rows)
    info = contents.info(VERSION, wide_time=False) | {
        "chunks_size": PER_CHUNK,
        "data_files_size_in_mb": DATA_MB,
        "video_files_size_in_mb": VIDEO_MB,
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
    }
    write_json(folder / "meta" / "info.json", info)
    write_json(folder / "meta" / "modality.json", contents.schema.modality())
    found: dict[str, Any] = {
        name: statistics(np.concatenate(parts), True) for name, parts in columns.items()
    }
    for camera in contents.schema.pictures:
        every = sum(one.facts.histogram(camera) for one in contents.episodes)
        found[schema.IMAGES + camera] = of_levels(np.asarray(every))
    write_json(folder / "meta" / "stats.json", found)
    _write_tasks(folder / "meta" / "tasks.parquet", contents.tasks)
    _write_episodes(folder / EPISODES_PATH, rows)


def _row(one: PlacedEpisode) -> EpisodeRow:
    return {
        "episode_index": one.index,
        "tasks": [one.facts.instruction],
        "length": one.facts.length,
        "dataset_from_index": one.first_row,
        "dataset_to_index": one.end_row,
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
    }


def _write_data(
    contents: Contents, folder: Path, rows: list[EpisodeRow]
) -> dict[str, list[NDArray[np.generic]]]:
    """Write all rows, and note in `rows` where they are; returns each column's rows."""
    columns: dict[str, list[NDArray[np.generic]]] = {}
    sizes = [(one.folder / ROWS_FILE).stat().st_size for one in contents.episodes]
    for number, group in enumerate(_groups(sizes, DATA_MB)):
        chunk, file = divmod(number, PER_CHUNK)
        path = folder / DATA_PATH.format(chunk_index=chunk, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            writer: Any = None
            for index in group:
                table = contents.table(contents.episodes[index], wide_time=False)
                if writer is None:
                    writer = stack.enter_context(parquet().ParquetWriter(path, table.schema))
                writer.write_table(table)  # a row group of its own
                rows[index] |= {"data/chunk_index": chunk, "data/file_index": file}
                for name, values in arrays(table):
                    columns.setdefault(name, []).append(values)
                    for kind, value in statistics(values, True).items():
                        rows[index][f"stats/{name}/{kind}"] = value
    return columns


def _write_videos(contents: Contents, folder: Path, camera: str, rows: list[EpisodeRow]) -> None:
    """Write one camera's videos, and note in `rows` where each episode's frames are."""
    key, fps = schema.IMAGES + camera, contents.schema.fps
    sizes = [one.video(camera).stat().st_size for one in contents.episodes]
    for number, group in enumerate(_groups(sizes, VIDEO_MB)):
        chunk, file = divmod(number, PER_CHUNK)
        path = folder / VIDEO_PATH.format(video_key=key, chunk_index=chunk, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = [contents.episodes[index].video(camera) for index in group]
        link(parts[0], path) if len(parts) == 1 else join(path, parts)
        frames = 0
        for index in group:
            end = frames + contents.episodes[index].facts.length
            rows[index] |= {
                f"videos/{key}/chunk_index": chunk,
                f"videos/{key}/file_index": file,
                f"videos/{key}/from_timestamp": frames / fps,
                f"videos/{key}/to_timestamp": end / fps,
            }
            of_picture = of_levels(contents.episodes[index].facts.histogram(camera))
            for kind, value in of_picture.items():
                rows[index][f"stats/{key}/{kind}"] = value
            frames = end


def _groups(sizes: Sequence[int], limit_mb: int) -> Iterator[list[int]]:
    """The episodes of each file: a new one begins where the next would reach the limit."""
    group: list[int] = []
    filled = 0
    for index, size in enumerate(sizes):
        if group and filled + size >= limit_mb * 2**20:
            yield group
            group, filled = [], 0
        group.append(index)
        filled += size
    yield group


def _write_tasks(path: Path, tasks: Sequence[str]) -> None:
    """Write the texts as the index of a pandas table, as LeRobot reads them."""
    import pyarrow

    about = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            _pandas("task_index", "int64", "int64"),
            _pandas("task", "unicode", "object"),
        ],
        "creator": {"library": "pyarrow", "version": pyarrow.__version__},
        "pandas_version": "2.0.0",
    }
    numbers = pyarrow.array(range(len(tasks)), pyarrow.int64())
    table = pyarrow.table({"task_index": numbers, "task": pyarrow.array(tasks, pyarrow.string())})
    table = table.replace_schema_metadata({"pandas": json.dumps(about)})
    parquet().write_table(table, path)


def _pandas(name: str, kind: str, numpy_kind: str) -> dict[str, Any]:
    return {
        "name": name,
        "field_name": name,
        "pandas_type": kind,
        "numpy_type": numpy_kind,
        "metadata": None,
    }


def _write_episodes(path: Path, rows: Sequence[EpisodeRow]) -> None:
    import pyarrow

    path.parent.mkdir(parents=True)
    table = pyarrow.table({name: [row[name] for row in rows] for name in rows[0]})
    parquet().write_table(table, path)
