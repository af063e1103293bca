"""A recording: the folder of one robot's episodes, with the embodiment file that they belong to."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from gr00t_ros.errors import BagError, EmbodimentError
from gr00t_ros.folder import Hold, write_whole
from gr00t_ros.record.facts import EPISODE_FILE
from gr00t_ros.robot.files import find_embodiment, load_embodiment

EMBODIMENT_FILE: Final = "embodiment.yaml"
EPISODE: Final = re.compile(r"episode_(\d{6,})")
RESERVE_BYTES: Final = 8 * 2**20
"""Room that is kept on the disk for the index and the facts of an episode that filled it."""
_RESERVE: Final = ".reserve"
GB: Final = 10**9


def episode_folders(folder: Path) -> list[Path]:
    """The folders of a recording's episodes, by index; BagError if there is no such folder."""
    if not folder.is_dir():
        raise BagError(f"{folder}: no such recording, expected the folder of gr00t record")
    return sorted(
        (one for one in folder.iterdir() if one.is_dir() and EPISODE.fullmatch(one.name)),
        key=lambda one: int(one.name.removeprefix("episode_")),
    )


def unfinished(folder: Path) -> list[Path]:
    """The folders of episodes that are still recorded, or whose recorder was killed."""
    return [one for one in episode_folders(folder) if not (one / EPISODE_FILE).exists()]


class Recording:
    """A recording that is written to."""

    def __init__(self, folder: Path, embodiment: str, min_free_bytes: int) -> None:
        """Create the folder with the embodiment file, or go on in one of the same robot.

        Raises BagError for a folder that cannot be written or is another robot's, EmbodimentError
        for an embodiment that cannot be read.
        """
        self.folder, self._min_free = folder, min_free_bytes
        self._hold: Hold | None = None
        source = find_embodiment(embodiment)
        load_embodiment(str(source))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._keep_embodiment(source)
            self._reserve()
        except OSError as error:
            raise BagError(f"{folder}: cannot be recorded to: {error}") from error

    def claim(self) -> None:
        """Be the folder's only recorder until `release`; BagError that names another one.

        Two would record to the same episodes: each begins behind those that it has seen.
        """
        try:
            self._hold = Hold(self.folder)
        except OSError as error:
            raise BagError(f"{self.folder}: cannot be recorded to: {error}") from error
        if self._hold.other:
            raise BagError(
                f"{self.folder}: {self._hold.other} records to it: stop that recorder, or record "
                "to another folder"
            )

    def release(self) -> None:
        """Free the reserve, and let another recorder have the folder."""
        self.give_reserve()
        if self._hold is not None:
            self._hold.release()

    @property
    def next_index(self) -> int:
        """One more than the last episode's."""
        folders = episode_folders(self.folder)
        return int(folders[-1].name.removeprefix("episode_")) + 1 if folders else 0

    def episode(self, index: int) -> Path:
        """The folder of an episode."""
        return self.folder / f"episode_{index:06d}"

    @property
    def free_bytes(self) -> int:
        """Free on the disk; 0 if that cannot be read."""
        try:
            return shutil.disk_usage(self.folder).free
        except OSError:
            return 0

    @property
    def full(self) -> str:
        """Why the disk is too full to record; empty while it is not."""
        free = self.free_bytes
        if free >= self._min_free:
            return ""
        return (
            f"{self.folder}: {free / GB:.2f} GB free, expected at least "
            f"{self._min_free / GB:.2f} (min_free_gb): delete something, or record elsewhere"
        )

    def give_reserve(self) -> None:
        """Free the room that is kept for an index; may be called from the writing thread."""
        with suppress(OSError):
            (self.folder / _RESERVE).unlink()

    def take_reserve(self) -> None:
        """Keep that room again, if the disk has it."""
        with suppress(OSError):
            self._reserve()

    def _reserve(self) -> None:
        with (self.folder / _RESERVE).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)

    def _keep_embodiment(self, source: Path) -> None:
        kept = self.folder / EMBODIMENT_FILE
        if not kept.exists():
            write_whole(kept, source.read_bytes())
            self._check_copy(source, kept)
        elif kept.read_bytes() != source.read_bytes():
            raise BagError(
                f"{self.folder}: was recorded with another embodiment file ({kept} differs from "
                f"{source}): record to another folder"
            )

    def _check_copy(self, source: Path, kept: Path) -> None:
        """Refuse a file that names others by relative paths, which its copy does not find."""
        try:
            load_embodiment(str(kept))
        except EmbodimentError as error:
            kept.unlink()
            raise BagError(
                f"{source}: its copy in the recording cannot be read: {error}; name other files "
                "by absolute paths"
            ) from error
