"""The content of a dataset before it has a format: its episodes in their order, and their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset import schema
from gr00t_ros.dataset.schema import Schema, schema_of
from gr00t_ros.dataset.staged import Staged, read_rows, read_staged, vectors
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.embodiment import Embodiment

ColumnArray = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class PlacedEpisode:
    """One episode at its place: its index, and the index of its first row in the dataset."""

    folder: Path
    facts: Staged
    index: int
    first_row: int

    @property
    def end_row(self) -> int:
        """The index of the row after its last."""
        return self.first_row + self.facts.length

    def video(self, camera: str) -> Path:
        """The video of one camera."""
        return self.folder / f"{camera}.mp4"


@dataclass(frozen=True)
class Contents:
    """The episodes of one dataset. discarded: names of episodes that are not in it."""

    schema: Schema
    episodes: tuple[PlacedEpisode, ...]
    discarded: tuple[str, ...]

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """The instructions, in the order in which they first appear."""
        return tuple(dict.fromkeys(one.facts.instruction for one in self.episodes))

    @property
    def frames(self) -> int:
        """The number of rows."""
        return self.episodes[-1].end_row

    @cached_property
    def optional(self) -> Mapping[str, bool]:
        """Which columns there are that not every recording has."""
        return {
            schema.PREDICTED: any(one.facts.predicted for one in self.episodes),
            schema.SUCCESS: not self.unknown_success,
        }

    @property
    def unknown_success(self) -> tuple[str, ...]:
        """The names of the episodes without a verdict, neither success nor failure."""
        return tuple(one.facts.name for one in self.episodes if one.facts.success is None)

    def table(self, episode: PlacedEpisode, wide_time: bool) -> Any:
        """All rows of an episode as a pyarrow Table. wide_time: float64 timestamps."""
        import pyarrow

        rows, count = read_rows(episode.folder), episode.facts.length
        number = np.arange(count, dtype=np.int64)
        times_s = number / self.schema.fps
        columns = {name: rows.column(name).combine_chunks() for name in rows.column_names}
        if self.optional[schema.PREDICTED] and schema.PREDICTED not in columns:
            width = sum(map(len, self.schema.action.values()))
            columns[schema.PREDICTED] = vectors(np.full((count, width), np.nan, np.float32))
        columns[schema.TIMESTAMP] = pyarrow.array(
            times_s if wide_time else times_s.astype(np.float32)
        )
        task = self.tasks.index(episode.facts.instruction)
        columns |= {
            "frame_index": pyarrow.array(number),
            "episode_index": pyarrow.array(np.full(count, episode.index, np.int64)),
            "index": pyarrow.array(number + episode.first_row),
            "task_index": pyarrow.array(np.full(count, task, np.int64)),
        }
        features = self.schema.features(wide_time, self.optional)
        return pyarrow.table({name: columns[name] for name in features if name in columns})

    def info(self, version: str, wide_time: bool) -> dict[str, Any]:
        """What info.json has in every format."""
        cameras = len(self.schema.pictures)
        return {
            "codebase_version": version,
            "robot_type": self.schema.embodiment.robot,
            "embodiment_tag": self.schema.embodiment.tag,
            "total_episodes": len(self.episodes),
            "total_frames": self.frames,
            "total_tasks": len(self.tasks),
            "total_videos": cameras * len(self.episodes),
            "chunks_size": 1000,
            "fps": self.schema.fps,
            "splits": {"train": f"0:{len(self.episodes)}"},
            "features": self.schema.features(wide_time, self.optional),
            "discarded_episodes": list(self.discarded),
        }


def arrays(table: Any) -> Iterator[tuple[str, ColumnArray]]:
    """Each column of numbers of a table, (N,) or (N, D), in its own dtype."""
    import pyarrow

    for name in table.column_names:
        array = table.column(name).combine_chunks()
        if isinstance(array, pyarrow.ChunkedArray):
            array = array.chunk(0)
        if pyarrow.types.is_fixed_size_list(array.type):
            width = array.type.list_size
            yield name, array.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        else:
            yield name, array.to_numpy(zero_copy_only=False)


def contents_of(
    embodiment: Embodiment, folders: Sequence[Path], discarded: Sequence[str]
) -> Contents:
    """The contents of these staged episodes in this order.

    Raises SettingsError if there is none, or if two of them do not have the same columns.
    """
    staged = [(folder, read_staged(folder)) for folder in folders]
    if not staged:
        raise SettingsError("a dataset needs an episode, got none that was kept")
    first = staged[0][1]
    for _, facts in staged:
        for what in ("actions", "pictures", "codec"):
            got, expected = getattr(facts, what), getattr(first, what)
            if got != expected:
                raise SettingsError(
                    f"{facts.name}: {what} {got}, {first.name} has {expected}: one dataset needs "
                    "one form of its episodes"
                )
    placed, row = [], 0
    for index, (folder, facts) in enumerate(staged):
        placed.append(PlacedEpisode(folder, facts, index, row))
        row += facts.length
    made = schema_of(embodiment, first.actions, first.pictures, first.codec)
    return Contents(made, tuple(placed), tuple(discarded))
