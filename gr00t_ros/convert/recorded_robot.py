"""The robot of recordings: the embodiment file that was named, or the recordings' own one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gr00t_ros.dataset.embodiment_file import difference
from gr00t_ros.errors import SettingsError
from gr00t_ros.record.recording import EMBODIMENT
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment


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
    where = f": {bags[0]} has no {EMBODIMENT}, as a recording of gr00t record has" if bags else ""
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
    files = (folder / EMBODIMENT for folder in (path, path.absolute().parent))
    return next((file for file in files if file.is_file()), None)
