"""Checks of a dataset's files as a whole: files of no episode, and what v3's episodes share."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

import numpy as np

from gr00t_ros.dataset.checks.rows import TIME_TOLERANCE_S
from gr00t_ros.dataset.checks.table import Findings
from gr00t_ros.dataset.lerobot import LeRobotDataset, VideoPart
from gr00t_ros.dataset.parquet_file import read_arrays
from gr00t_ros.dataset.video_decode import VideoFrames
from gr00t_ros.errors import SettingsError

_MOST_FILES: Final = 1_000_000  # that are looked at


def check_files(dataset: LeRobotDataset, findings: Findings) -> None:
    """Check the data files and videos of all episodes, without decoding pictures."""
    data: dict[Path, list[int]] = defaultdict(list)
    videos: dict[Path, list[tuple[int, VideoPart]]] = defaultdict(list)
    for index in sorted(dataset.lengths):
        data[dataset.data_file(index)].append(index)
        for column in dataset.cameras.values():
            try:
                part = dataset.video_part(index, column)
            except SettingsError:
                continue  # the episode's own check reports it
            videos[part.path].append((index, part))
    _unused(dataset, {*data, *videos}, findings)
    if not dataset.is_v3:
        return
    for path, indices in data.items():
        _rows(dataset, path, indices, findings)
    for path, parts in videos.items():
        _segments(dataset, path, sorted(parts, key=lambda part: part[1].from_s), findings)


def _unused(dataset: LeRobotDataset, used: set[Path], findings: Findings) -> None:
    named = {dataset.path / "videos" / column for column in dataset.cameras.values()}
    unused = []
    for folder, ending in (("data", ".parquet"), ("videos", ".mp4")):
        for count, path in enumerate((dataset.path / folder).rglob(f"*{ending}")):
            if count >= _MOST_FILES:
                break
            if path not in used and path.is_file():
                unused.append(path)
    # cameras that modality.json does not name are found by their features
    others = [p for p in unused if p.suffix == ".parquet" or _is_of(p, dataset, named)]
    if others:
        first = str(min(others).relative_to(dataset.path))
        findings.add(
            "file_unused", first, "a file of no episode", "an episode of it", places=len(others)
        )


def _is_of(path: Path, dataset: LeRobotDataset, named: set[Path]) -> bool:
    """Whether a video lies in the folder of a camera that the dataset names."""
    columns = set(dataset.cameras.values())
    return bool(named & set(path.parents)) or any(part.name in columns for part in path.parents)


def _rows(dataset: LeRobotDataset, path: Path, indices: list[int], findings: Findings) -> None:
    """Check that a v3 data file has the rows of its episodes and of no other, in one piece each."""
    try:
        found = read_arrays(path, ["episode_index"], "validate")["episode_index"].reshape(-1)
    except SettingsError:
        return  # the episodes' own checks tell
    file = str(path.relative_to(dataset.path))
    foreign = np.flatnonzero(~np.isin(found, indices))
    if len(foreign):
        row = int(foreign[0])
        known = f"{min(indices)} to {max(indices)}" if len(indices) > 1 else str(indices[0])
        got = f"rows of episode {found[row]}"
        findings.add("data_rows", file, got, f"those of {known}", row=row, places=len(foreign))
    begins = np.flatnonzero(np.diff(found)) + 1
    pieces = found[np.concatenate([[0], begins])] if len(found) else found
    twice = [i for i in indices if np.count_nonzero(pieces == i) > 1]
    if twice:
        findings.add("row_order", file, f"episode {twice[0]} in pieces", "one", episode=twice[0])


def _segments(
    dataset: LeRobotDataset,
    path: Path,
    parts: list[tuple[int, VideoPart]],
    findings: Findings,
) -> None:
    """Check that the episodes of a v3 video lie behind each other and fill the file."""
    file = str(path.relative_to(dataset.path))
    tolerance = max(TIME_TOLERANCE_S, 0.02 / dataset.fps)
    frames = 0
    for index, part in parts:
        length = dataset.lengths[index]
        expected = frames / dataset.fps
        end = expected + length / dataset.fps
        to_s = part.to_s if part.to_s is not None else end
        if abs(part.from_s - expected) > tolerance:
            off = (part.from_s - expected) * dataset.fps
            findings.add(
                "video_segment",
                file,
                f"from_timestamp {part.from_s:.4f} s ({off:+.1f} pictures)",
                f"{expected:.4f}, where the episode before it ends",
                episode=index,
            )
        elif abs(to_s - end) > tolerance:
            got = f"to_timestamp {to_s:.4f} s"
            findings.add("video_segment", file, got, f"{end:.4f}", episode=index)
        frames += length
    try:
        count = len(VideoFrames(path).pts)
    except SettingsError:
        return
    if count > frames:
        findings.add("video_frames", file, f"{count} pictures", f"{frames}, those of its episodes")
