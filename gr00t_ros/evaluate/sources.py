"""Where episodes come from: recordings, bags and datasets, read where they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gr00t_ros.dataset.episode import Episode
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.embodiment import Embodiment


@dataclass(frozen=True, slots=True)
class UnreadEpisode:
    """One episode that is not read yet: number `index` of the bag or dataset at `path`."""

    path: Path
    index: int
    is_dataset: bool

    @property
    def name(self) -> str:
        """The name that messages give the episode until it is loaded: FOLDER/INDEX."""
        return f"{self.path.name}/{self.index}"

    def load(self, embodiment: Embodiment) -> Episode:
        """Read the episode. Raises what the readers of bags and datasets raise."""
        if self.is_dataset:
            from gr00t_ros.dataset.reader import open_dataset

            episode: Episode = open_dataset(self.path).load(self.index, embodiment)
            return episode
        from gr00t_ros.convert.recordings import read_episodes

        found: Episode = read_episodes(self.path, embodiment)[self.index].load()
        return found


def bag_references(paths: Sequence[Path], embodiment: Embodiment) -> list[UnreadEpisode]:
    """All episodes of recordings, episode folders and bags, in the order of the command line."""
    from gr00t_ros.convert.recordings import read_episodes

    return [
        UnreadEpisode(path, index, False)
        for path in paths
        for index in range(len(read_episodes(path, embodiment)))
    ]


def dataset_references(path: Path) -> list[UnreadEpisode]:
    """All episodes of a dataset, by their index."""
    from gr00t_ros.dataset.reader import open_dataset

    return [UnreadEpisode(path, index, True) for index in open_dataset(path).episode_indices]


def chosen(references: Sequence[UnreadEpisode], numbers: Sequence[int]) -> list[UnreadEpisode]:
    """The episodes with these numbers: a dataset's indices, a bag's place in the list; all if none.

    Raises SettingsError for a number that is not there.
    """
    known = {ref.index if ref.is_dataset else place: ref for place, ref in enumerate(references)}
    missing = [number for number in numbers if number not in known]
    if missing:
        raise SettingsError(
            f"traj ids: got {', '.join(map(str, missing))}, expected of "
            f"{', '.join(map(str, list(known)[:20]))}{', ...' if len(known) > 20 else ''}"
        )
    return [known[number] for number in numbers] if numbers else list(references)
