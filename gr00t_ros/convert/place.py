"""Where a dataset is made, and how it gets its name: what a kill at any moment leaves is known.

A power failure is such a kill: what each step relies on is on the disk before it is taken.
Everything is made in OUTPUT.partial, by one process at a time. A mark in it says that the dataset
is whole and gets its name: with the mark and no dataset left in OUTPUT.partial it has its name, and
the rest is only to be removed. While --append exchanges two datasets, the earlier one is
OUTPUT.before. Nothing else of these names is ever replaced or removed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.folder import Hold, to_disk, tree_to_disk, write_whole
from gr00t_ros.robot.data_file import read_json

NAMED_FILE: Final = "named.json"


@dataclass(frozen=True, slots=True)
class Named:
    """What got its name: the bags that a conversion was given, and the size of the whole dataset.

    All of them are in the dataset: those that it had before too, so that the same command is known.
    exchanged: whether it got the name of an earlier dataset, which is OUTPUT.before then.
    """

    bags: list[str]
    episodes: int
    rows: int
    exchanged: bool


class Place:
    """The folders of one conversion, held by this process until `leave`."""

    def __init__(self, output: Path) -> None:
        """Raises SettingsError for a path that can be no dataset's, such as /."""
        self.output = output.resolve()
        if not self.output.name:
            raise SettingsError(f"--output: got {output}, expected the name of a new folder")
        self.partial = self.output.with_name(f"{self.output.name}.partial")
        """Everything that is not finished."""
        self.made = self.partial / "dataset"
        """The dataset before it has its name."""
        self.before = self.output.with_name(f"{self.output.name}.before")
        """The dataset that is replaced, until it is removed."""
        self._mark = self.partial / NAMED_FILE
        self._hold: Hold | None = None
        self._replaced: tuple[int, int] | None = None  # the dataset that is appended to

    def begin(self, bags: Sequence[Path], append: bool, resume: bool) -> Named | None:
        """Hold the place, clear up after a killed conversion, and refuse what is there already.

        Returns what the killed one had finished if it was given all of these bags: nothing is left
        to do. Raises SettingsError if it was given some of them, and while another one runs.
        """
        try:
            if not self.partial.is_dir():
                self._refuse_existing(append)
            self.partial.mkdir(parents=True, exist_ok=True)
            self._take()
            left = any(self.partial.iterdir())
            named = self._clear_up(bags)
            if named is not None:
                return named
            self._refuse_existing(append)
            if left and any(self.partial.iterdir()) and not resume:
                raise SettingsError(
                    f"{self.partial}: an earlier conversion was not finished: --resume goes on "
                    "with it, or remove that folder"
                )
            self._replaced = _identity(self.output) if append else None
        except OSError as error:
            raise SettingsError(f"{self.output}: cannot be written: {error}") from error
        return None

    def leave(self) -> None:
        """Let another conversion have the place; what is unfinished stays."""
        if self._hold is not None and not self._hold.other:
            with suppress(OSError):  # it is not empty
                self.partial.rmdir()
        if self._hold is not None:
            self._hold.release()

    def clear(self) -> None:
        """Remove what is unfinished."""
        for one in self.partial.iterdir():
            shutil.rmtree(one) if one.is_dir() else one.unlink()

    def give_name(self, bags: list[str], episodes: int, rows: int) -> None:
        """Put the dataset in `made` where `output` is, and remove all the rest.

        Raises SettingsError if `output` is no longer what `begin` saw: somebody else's, or there
        where nothing was. The dataset stays in `made` then.
        """
        named = Named(bags, episodes, rows, self._replaced is not None)
        try:
            tree_to_disk(self.made)
            to_disk(self.partial)
            self._refuse_other()  # after what takes long: the name is taken at once
            write_whole(self._mark, json.dumps(asdict(named)) + "\n")
            if named.exchanged:
                self.output.rename(self.before)
            self.made.rename(self.output)
            self._remove_rest(named)
        except OSError as error:
            raise SettingsError(f"{self.output}: cannot be written: {error}") from error

    def _take(self) -> None:
        self._hold = Hold(self.partial)
        if self._hold.other:
            raise SettingsError(
                f"{self.output}: is still converted by {self._hold.other}: wait for its end, or "
                "give another --output"
            )

    def _refuse_other(self) -> None:
        """Refuse a name that was taken while the dataset was made."""
        there = _identity(self.output)
        if there == self._replaced:
            return
        why = "was made by somebody else" if there is not None else "was moved or removed"
        raise SettingsError(
            f"{self.output}: {why} during the conversion, nothing of it is replaced: move it, then "
            "the same command with --resume"
        )

    def _clear_up(self, bags: Sequence[Path]) -> Named | None:
        if not self._mark.exists():
            return None
        named = self._named()
        if self.made.exists():
            if named.exchanged and self.before.exists() and not self.output.exists():
                self.before.rename(self.output)
            self._mark.unlink()
            return None
        if not self.output.exists():  # somebody moved it since
            self.clear()
            return None
        there = [bag for bag in bags if str(bag.resolve()) in named.bags]
        if there and len(there) < len(bags):
            raise SettingsError(
                f"{', '.join(map(str, there)):.1000}: in {self.output} already, since a "
                "conversion that was interrupted after that: give only the others"
            )
        self._remove_rest(named)
        return named if there else None

    def _named(self) -> Named:
        """What the mark says; SettingsError where it cannot be read."""
        try:
            content = read_json(self._mark)
            bags = [str(one) for one in content["bags"]]
            episodes, rows = int(content["episodes"]), int(content["rows"])
            return Named(bags, episodes, rows, bool(content["exchanged"]))
        except (SettingsError, KeyError, TypeError, ValueError) as error:
            remedy = f"the dataset {self.output} is whole: remove {self.partial}"
            if self.made.exists():
                remedy = f"the dataset {self.made} is whole: move it, then remove {self.partial}"
            raise SettingsError(
                f"{self._mark}: got {error}, expected what an earlier conversion had added; "
                f"{remedy}"
            ) from error

    def _remove_rest(self, named: Named) -> None:
        """Remove the earlier dataset, then what was partial; the mark goes last.

        The dataset's name is on the disk before, also where a killed conversion has given it.
        """
        to_disk(self.output.parent)
        to_disk(self.partial)
        if named.exchanged and self.before.exists():
            shutil.rmtree(self.before)
        for one in self.partial.iterdir():
            if one.is_dir():
                shutil.rmtree(one)
            elif one != self._mark:
                one.unlink()
        self._mark.unlink()

    def _refuse_existing(self, append: bool) -> None:
        if os.path.lexists(self.output) and not append:
            raise SettingsError(
                f"{self.output}: is there already: give another --output, or --append to add "
                "episodes"
            )
        if append and not self.output.is_dir():
            raise SettingsError(f"{self.output}: --append expected a dataset, there is none")
        if append and self.before.exists():
            raise SettingsError(
                f"{self.before}: --append needs that name for a moment, and no conversion of "
                f"{self.output.name} left it: rename or remove it"
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells the file or folder of that name from any other one; None if there is none."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
