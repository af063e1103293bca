"""Checks of the files in meta/: each by itself, with each other, and with an embodiment file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from gr00t_ros.dataset.checks.table import Findings
from gr00t_ros.dataset.lerobot import (
    Columns,
    LeRobotDataset,
    read_episode_rows,
    read_pattern,
    read_tasks_v3,
    read_version,
)
from gr00t_ros.dataset.reader import action_widths
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.data_file import read_json, read_json_lines, read_text
from gr00t_ros.robot.embodiment import Embodiment

INFO: Final = "meta/info.json"
MODALITY: Final = "meta/modality.json"

_LISTS: Final = ("episodes.jsonl", "tasks.jsonl")
_MAX_BYTES: Final = 32 * 1024 * 1024
_HWC: Final = (["height", "width", "channels"], ["height", "width", "channel"])
_V3_MARKS: Final = re.compile(r"\{(chunk_index|file_index)\b")

T = TypeVar("T")


class MetaCheck:
    """Checks one dataset's metadata; `findings` is what it found."""

    def __init__(self, path: Path, embodiment: Embodiment | None) -> None:
        self._path, self._embodiment = path, embodiment
        self.findings = Findings()

    def run(self) -> LeRobotDataset | None:
        """Check all files of meta/; returns the dataset, None if its rows cannot be found.

        Raises SettingsError if there is no dataset at all.
        """
        where = self._path / INFO
        if not where.is_file():
            raise SettingsError(f"{where}: no such file, expected the folder of a dataset")
        info = self._tried("meta_file", INFO, lambda: read_json(where))
        if info is None:
            return None
        version = self._tried("meta_file", INFO, lambda: read_version(info, where))
        if version is None:
            return None
        self._paths(info, version == "v3.0")
        self._lists(version == "v3.0")
        if self.findings.counts.keys() & {"info_paths"}:
            return None
        dataset = self._tried("meta_file", "meta", lambda: LeRobotDataset(self._path))
        if dataset is not None:
            self._totals(dataset)
            self._keys(dataset)
            self._cameras(dataset)
            if self._embodiment is not None:
                self._compare(dataset, self._embodiment)
        return dataset

    def _tried(self, check: str, file: str, read: Callable[[], T]) -> T | None:
        """Return what `read` returns; an error becomes a finding."""
        try:
            return read()
        except SettingsError as error:
            text = str(error).replace(f"{self._path}/", "")
            self.findings.add(check, file, text, "what docs/dataset_checks.md shows")
            return None

    # --- single files ------------------------------------------------------------------------

    def _paths(self, info: Mapping[str, Any], is_v3: bool) -> None:
        for kind in ("data", "video"):
            value = info.get(f"{kind}_path")
            if isinstance(value, str) and bool(_V3_MARKS.search(value)) != is_v3:
                version = info["codebase_version"]
                self.findings.add("info_paths", INFO, f"{kind}_path {value!r}", f"one of {version}")
                continue
            read = partial(read_pattern, info, kind, is_v3, Path(INFO))
            self._tried("info_paths", INFO, read)

    def _lists(self, is_v3: bool) -> None:
        """Check the lists of episodes and tasks."""
        meta = self._path / "meta"
        if is_v3:
            tasks = self._tried(
                "meta_file", "meta/tasks.parquet", lambda: read_tasks_v3(meta / "tasks.parquet")
            )
            self._tasks("meta/tasks.parquet", tasks or [], by_row=True)
            self._episodes_v3()
            return
        for name in _LISTS:
            self._blank_lines(name)
        rows = self._tried(
            "meta_file",
            "meta/tasks.jsonl",
            lambda: [(row.get("task_index"), str(row.get("task"))) for _, row in self._json(1)],
        )
        self._tasks("meta/tasks.jsonl", rows or [], by_row=False)
        lines = self._tried("meta_file", "meta/episodes.jsonl", lambda: list(self._json(0)))
        self._episode_indices(
            "meta/episodes.jsonl", [row.get("episode_index") for _, row in lines or []]
        )

    def _json(self, number: int) -> list[tuple[int, dict[str, Any]]]:
        return list(read_json_lines(self._path / "meta" / _LISTS[number]))

    def _blank_lines(self, name: str) -> None:
        path = self._path / "meta" / name
        text = self._tried(
            "meta_file", f"meta/{name}", lambda: read_text(path, _MAX_BYTES, SettingsError)
        )
        lines = (text or "").removesuffix("\n").split("\n")
        blank = [number for number, line in enumerate(lines) if not line.strip()]
        if text and blank:
            self.findings.add(
                "blank_line",
                f"meta/{name}",
                "a blank line",
                "a JSON map on each line",
                row=blank[0],
                places=len(blank),
            )

    def _tasks(self, file: str, rows: list[tuple[Any, str]], by_row: bool) -> None:
        numbers = [number for number, _ in rows]
        twice = [str(n) for n, count in Counter(map(str, numbers)).items() if count > 1]
        if twice:
            self.findings.add("tasks_order", file, f"task_index {twice[0]} twice", "each once")
        wrong = [row for row, number in enumerate(numbers) if by_row and number != row]
        if wrong and not twice:
            row = wrong[0]
            self.findings.add(
                "tasks_order",
                file,
                f"task_index {numbers[row]}",
                f"{row}, the row's number",
                row=row,
                places=len(wrong),
            )

    def _episodes_v3(self) -> None:
        folder = self._path / "meta" / "episodes"
        indices: list[Any] = []
        before = 0
        for path in sorted(folder.glob("*/*.parquet")):
            name = str(path.relative_to(self._path))
            rows = self._tried("meta_file", name, partial(read_episode_rows, path)) or []
            for number, row in enumerate(rows):
                indices.append(row["episode_index"])
                first, last = row.get("dataset_from_index"), row.get("dataset_to_index")
                if not all(isinstance(n, int) for n in (first, last, row["length"])):
                    continue  # the reader reports missing columns
                if first != before or last - first != row["length"]:
                    self.findings.add(
                        "episode_order",
                        name,
                        f"dataset_from_index {first}, dataset_to_index {last}",
                        f"{before} and {before + row['length']}",
                        episode=row["episode_index"],
                        row=number,
                    )
                before = int(last or 0)
        self._episode_indices("meta/episodes", indices)

    def _episode_indices(self, file: str, indices: list[Any]) -> None:
        seen: dict[Any, int] = {}
        for row, index in enumerate(indices):
            if str(index) in seen:
                self.findings.add(
                    "episode_duplicate",
                    file,
                    f"episode_index {index} in rows {seen[str(index)]} and {row}",
                    "each once",
                    episode=index if isinstance(index, int) else None,
                    row=row,
                )
            seen.setdefault(str(index), row)
        if len(seen) == len(indices) and indices != list(range(len(indices))):
            wrong = next(row for row, index in enumerate(indices) if index != row)
            self.findings.add(
                "episode_order", file, f"episode_index {indices[wrong]}", f"{wrong}", row=wrong
            )

    # --- files with each other ---------------------------------------------------------------

    def _totals(self, dataset: LeRobotDataset) -> None:
        found = {
            "total_episodes": len(dataset.lengths),
            "total_frames": sum(dataset.lengths.values()),
        }
        for name, value in found.items():
            stated = dataset.info.get(name, value)
            if stated != value:
                self.findings.add("totals", INFO, f"{name} {stated!r:.40}", str(value))

    def _keys(self, dataset: LeRobotDataset) -> None:
        """Check the columns that modality.json names against info.json's features."""
        if not dataset.modality:
            self.findings.add("modality_missing", MODALITY, "no such file", "GR00T's keys")
            return
        if not dataset.annotations:
            self.findings.add("language_missing", MODALITY, "no annotation", "one at least")
        for section, keys in (("state", dataset.states), ("action", dataset.actions)):
            for key, columns in keys.items():
                self._slice(dataset, f"{section}.{key}", columns)
            self._overlaps(section, keys)
        for key, column in dataset.annotations.items():
            if dataset.features and column not in dataset.features:
                self._unknown(dataset, f"annotation.{key}", column)

    def _slice(self, dataset: LeRobotDataset, place: str, columns: Columns) -> None:
        feature = dataset.features.get(columns.name)
        if feature is None:
            if dataset.features:
                self._unknown(dataset, place, columns.name)
            return
        width = width_of(feature)
        if width is not None and columns.end > width:
            self.findings.add(
                "slice_beyond",
                MODALITY,
                f"{place}: {columns.start} to {columns.end}",
                f"at most {width}, the width of {columns.name} in info.json",
            )

    def _unknown(self, dataset: LeRobotDataset, place: str, column: str) -> None:
        known = ", ".join(dataset.features)
        self.findings.add("column_unknown", MODALITY, f"{place}: {column!r:.60}", f"of {known}")

    def _overlaps(self, section: str, keys: Mapping[str, Columns]) -> None:
        items = list(keys.items())
        for i, (key, of) in enumerate(items):
            for other, its in items[:i]:
                if its.name == of.name and its.start < of.end and of.start < its.end:
                    self.findings.add(
                        "slice_overlap",
                        MODALITY,
                        f"{section}.{other} has columns {its.start} to {its.end} and "
                        f"{section}.{key} {of.start} to {of.end} of {of.name}",
                        "each column in one key",
                    )

    def _cameras(self, dataset: LeRobotDataset) -> None:
        videos = {
            name: feature
            for name, feature in dataset.features.items()
            if feature.get("dtype") in ("video", "image")
        }
        for key, column in dataset.cameras.items():
            if column not in videos:
                known = ", ".join(videos) or "none"
                self.findings.add(
                    "camera_unknown", MODALITY, f"video.{key}: {column!r:.80}", f"of {known}"
                )
        unnamed = [name for name in videos if name not in dataset.cameras.values()]
        if dataset.modality and unnamed:
            self.findings.add(
                "camera_unused", INFO, ", ".join(unnamed), "a key of it in modality.json"
            )
        for name, feature in videos.items():
            self._axes(name, feature, dataset.fps)

    def _axes(self, name: str, feature: Mapping[str, Any], fps: float) -> None:
        shape, names = feature.get("shape"), feature.get("names")
        right = isinstance(shape, list) and len(shape) == 3 and shape[2] == 3 and names in _HWC
        if not right:
            self.findings.add(
                "camera_axes",
                INFO,
                f"{name}: shape {shape!r:.60}, names {names!r:.60}",
                "[H, W, 3], [height, width, channels]",
            )
        about = feature.get("info") or feature.get("video_info") or {}
        stated = about.get("video.fps", fps) if isinstance(about, Mapping) else fps
        if stated != fps:
            self.findings.add("rate", INFO, f"{name}: video.fps {stated!r:.40}", f"fps {fps:g}")

    # --- with the embodiment file ------------------------------------------------------------

    def _compare(self, dataset: LeRobotDataset, embodiment: Embodiment) -> None:
        if abs(dataset.fps - embodiment.rate_hz) > 1e-3 * embodiment.rate_hz:
            self.findings.add(
                "rate", INFO, f"fps {dataset.fps:g}", f"rate_hz {embodiment.rate_hz:g} of the file"
            )
        if not dataset.modality:
            return
        states = {s.key: s.width for s in embodiment.state if s.source != "constant"}
        actions = action_widths(dataset, embodiment)
        for section, widths, keys in (
            ("state", states, dataset.states),
            ("action", actions, dataset.actions),
        ):
            for key, width in widths.items():
                got = keys[key].width if key in keys else None
                if got != width:
                    found = "no such key" if got is None else f"width {got}"
                    self.findings.add("keys", MODALITY, f"{section}.{key}: {found}", f"{width}")
        cameras, expected = list(dataset.cameras), [stream.key for stream in embodiment.video]
        if cameras != expected:
            self.findings.add("camera_order", MODALITY, ", ".join(cameras), ", ".join(expected))


def width_of(feature: Mapping[str, Any]) -> int | None:
    """Return D of a feature of vectors, None if info.json does not say one."""
    shape = feature.get("shape")
    if not isinstance(shape, list) or len(shape) != 1:
        return None
    return shape[0] if isinstance(shape[0], int) and not isinstance(shape[0], bool) else None
