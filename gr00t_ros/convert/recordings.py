"""Recordings and bags as they lie on the disk: their episodes, and the embodiment file of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from gr00t_ros.convert.episodes import EpisodeReference
from gr00t_ros.dataset.embodiment_file import difference
from gr00t_ros.errors import BagError, SettingsError
from gr00t_ros.record.facts import DISCARDED, EPISODE_FILE, read_facts
from gr00t_ros.record.recording import EMBODIMENT_FILE, EPISODE, episode_folders
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros.parameter_values import observation
from gr00t_ros.ros.parameters import DEFAULTS


@dataclass(frozen=True, slots=True)
class Recorded:
    """The episodes of one recording or bag; only those in `kept` can be read.

    broken: what is wrong with an episode's episode.json, and what to do, a line each.
    """

    kept: list[EpisodeReference] = field(default_factory=list)
    discarded: list[Path] = field(default_factory=list)
    unfinished: list[Path] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def recorded(
    paths: Sequence[Path],
    embodiment: Embodiment,
    *,
    keep_size: bool = False,
    instruction: str = "",
) -> Recorded:
    """The episodes of recordings, single episode folders and plain bags; no message is read yet.

    Raises BagError for a path that does not exist.
    """
    settings = observation(DEFAULTS)
    found = Recorded()
    for folder in chain.from_iterable(map(bag_folders, paths)):
        try:
            facts = read_facts(folder) if folder.is_dir() else None
        except BagError as error:
            found.broken.append(str(error))
            continue
        if facts is None and folder.is_dir() and _is_unfinished(folder):
            found.unfinished.append(folder)
        elif facts is not None and facts.outcome == DISCARDED:
            found.discarded.append(folder)
        else:
            one = EpisodeReference(folder, embodiment, settings, facts, keep_size, instruction)
            found.kept.append(one)
    return found


def read_episodes(
    path: Path | str, embodiment: Embodiment, *, keep_size: bool = False, instruction: str = ""
) -> list[EpisodeReference]:
    """The kept episodes of one path, for readers that number them.

    Raises BagError as `recorded` does, and for an episode whose episode.json is broken.
    """
    found = recorded([Path(path)], embodiment, keep_size=keep_size, instruction=instruction)
    if found.broken:
        raise BagError("\n".join(found.broken))
    return found.kept


def bag_folders(path: Path) -> list[Path]:
    """The episodes of a recording, or the one bag; BagError if there is no such path."""
    if not path.exists():
        raise BagError(f"{path}: no such recording or bag")
    episodes = episode_folders(path) if path.is_dir() else []
    return episodes or [path]


def _is_unfinished(folder: Path) -> bool:
    """Whether it is an episode of a recording whose facts were not written."""
    named = EPISODE.fullmatch(folder.name) is not None
    return (
        named
        and not (folder / EPISODE_FILE).exists()
        and (folder.parent / EMBODIMENT_FILE).exists()
    )


def embodiment_of(name: str | None, bags: Sequence[Path]) -> Embodiment:
    """The embodiment that was named, else the file in the first recording.

    Raises SettingsError where there is none, and for a recording that does not exist.
    """
    for path in bags:
        if not path.exists():
            raise SettingsError(f"{path}: no such file or folder, expected a recording or a bag")
    if name is not None:
        return load_embodiment(name)
    own = _own_file(bags[0]) if bags else None
    if own is not None:
        return load_embodiment(str(own))
    where = (
        f": {bags[0]} has no {EMBODIMENT_FILE}, as a recording of gr00t record has" if bags else ""
    )
    raise SettingsError(f"embodiment: got none, expected --embodiment NAME|FILE{where}")


def other_files(embodiment: Embodiment, name: str | None, bags: Sequence[Path]) -> list[str]:
    """The recordings whose own file differs from the one that they are read with, a line each.

    Raises SettingsError for the first of them unless that file was named: which of the two is
    right for all recordings is then a guess.
    """
    source = Path(embodiment.source)
    found = []
    for own in dict.fromkeys(file for path in bags if (file := _own_file(path)) is not None):
        differs = difference(own, source)
        if not differs:
            continue
        line = f"{own}: {differs} as in {source}"
        if name is None:
            raise SettingsError(
                f"{line}: these recordings are not of one robot: take each of them alone, or say "
                "with --embodiment which file is right for all"
            )
        found.append(line)
    return found


def _own_file(path: Path) -> Path | None:
    """The embodiment file of the recording that a bag belongs to."""
    files = (folder / EMBODIMENT_FILE for folder in (path, path.absolute().parent))
    return next((file for file in files if file.is_file()), None)
