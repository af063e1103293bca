"""LeRobot v2.1 in GR00T's flavour: one parquet file and one video a camera for each episode.

What the loaders of N1.5, N1.6 and N1.7 read of it: data.md 1. Timestamps are float64, because N1.5
finds frames by time; frame i is row i, because N1.6 and N1.7 find them by number.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset import schema
from gr00t_ros.dataset.contents import Contents, PlacedEpisode, arrays
from gr00t_ros.dataset.staged import parquet
from gr00t_ros.dataset.stats import RELATIVE, relative_statistics, statistics

VERSION: Final = "v2.1"
CHUNK: Final = 1000
DATA_PATH: Final = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH: Final = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


def write(contents: Contents, folder: Path) -> None:
    """Write the dataset into a folder that is not there yet; raises OSError."""
    meta = folder / "meta"
    meta.mkdir(parents=True)
    columns: dict[str, list[NDArray[np.generic]]] = {}
    features = contents.schema.features(True, contents.optional)
    for episode in contents.episodes:
        table = contents.table(episode, wide_time=True)
        path = folder / _path(DATA_PATH, episode)
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet().write_table(table, path)
        for name, rows in arrays(table):
            if "float" in features[name]["dtype"]:
                columns.setdefault(name, []).append(rows)
        for camera in contents.schema.pictures:
            video = folder / _path(VIDEO_PATH, episode, schema.IMAGES + camera)
            video.parent.mkdir(parents=True, exist_ok=True)
            link(episode.video(camera), video)
    _write_meta(meta, contents)
    found = {name: statistics(np.concatenate(parts)) for name, parts in columns.items()}
    write_json(meta / "stats.json", found)
    relative = _relative(contents, columns)
    if relative:
        write_json(meta / "relative_stats.json", relative)


def _write_meta(meta: Path, contents: Contents) -> None:
    count = len(contents.episodes)
    info = contents.info(VERSION, wide_time=True) | {
        "total_chunks": -(-count // CHUNK),
        "chunks_size": CHUNK,
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
    }
    write_json(meta / "info.json", info)
    write_json(meta / "modality.json", contents.schema.modality())
    tasks = ({"task_index": i, "task": text} for i, text in enumerate(contents.tasks))
    write_lines(meta / "tasks.jsonl", tasks)
    write_lines(meta / "episodes.jsonl", map(_episode, contents.episodes))


def _episode(one: PlacedEpisode) -> dict[str, Any]:
    facts = one.facts
    known: dict[str, Any] = {} if facts.success is None else {"success": facts.success}
    return {
        "episode_index": one.index,
        "tasks": [facts.instruction],
        "length": facts.length,
        "recording": facts.name,
        **({"bag": facts.bag} if facts.bag else {}),
        **known,
    }


def _relative(
    contents: Contents, columns: Mapping[str, list[NDArray[np.generic]]]
) -> dict[str, Any]:
    """The statistics of the tag's RELATIVE keys that state and action both have."""
    modality, found = contents.schema.modality(), {}
    embodiment = contents.schema.embodiment
    for key, kind in sorted(RELATIVE.get(embodiment.tag, {}).items()):
        if key in modality["state"] and key in modality["action"]:
            parts = [
                [rows[:, of[key]["start"] : of[key]["end"]] for rows in columns[column]]
                for of, column in (
                    (modality["state"], schema.STATE),
                    (modality["action"], schema.ACTION),
                )
            ]
            pairs = zip(*parts, strict=True)
            made = relative_statistics(kind, pairs, embodiment.action_horizon)
            if made is not None:
                found[key] = made
    return found


def _path(pattern: str, episode: PlacedEpisode, video_key: str = "") -> str:
    chunk = episode.index // CHUNK
    return pattern.format(episode_chunk=chunk, episode_index=episode.index, video_key=video_key)


def link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file; raises OSError, and ValueError for a number that JSON does not have."""
    path.write_text(json.dumps(content, indent=4, allow_nan=False) + "\n", encoding="utf-8")


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of one JSON map a line; raises OSError."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
