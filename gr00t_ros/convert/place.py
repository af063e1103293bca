"""Where a dataset is made, and how it gets its name: what a kill at any moment leaves is known.

Everything is made in OUTPUT.partial. A mark in it says that the dataset is whole and gets its name:
with the mark and no dataset left in OUTPUT.partial it has its name, and the rest is only to be
removed. While --append exchanges two datasets, the earlier one is OUTPUT.before.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from gr00t_ros.dataset.staged import write_whole
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.data_file import read_json

MARK: Final = "named.json"


@dataclass(frozen=True, slots=True)
class Named:
    """What got its name: the bags that a conversion added, and the size of the whole dataset."""

    bags: list[str]
    episodes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one conversion."""

    output: Path

    @property
    def partial(self) -> Path:
        """Everything that is not finished."""
        return self.output.with_name(f"{self.output.name}.partial")

    @property
    def made(self) -> Path:
        """The dataset before it has its name."""
        return self.partial / "dataset"

    @property
    def before(self) -> Path:
        """The dataset that is replaced, until it is removed."""
        return self.output.with_name(f"{self.output.name}.before")

    @property
    def _mark(self) -> Path:
        return self.partial / MARK

    def begin(self, bags: Sequence[Path], append: bool, resume: bool) -> Named | None:
        """Clear up after a killed conversion, and refuse what is there already.

        Returns what the killed one had finished if it had added all of these bags: nothing is left
        to do. Raises SettingsError if it had added some of them.
        """
        try:
            named = self._clear_up(bags)
        except OSError as error:
            raise SettingsError(f"{self.output}: cannot be written: {error}") from error
        if named is None:
            self._refuse_existing(append, resume)
        return named

    def give_name(self, named: Named) -> None:
        """Put the dataset in `made` where `output` is, and remove all the rest."""
        try:
            write_whole(self._mark, json.dumps(asdict(named)) + "\n")
            if self.output.exists():
                self.output.rename(self.before)
            self.made.rename(self.output)
            self._remove_rest()
        except OSError as error:
            raise SettingsError(f"{self.output}: cannot be written: {error}") from error

    def _clear_up(self, bags: Sequence[Path]) -> Named | None:
        if self.partial.is_dir() and not any(self.partial.iterdir()):
            self.partial.rmdir()
        if not self._mark.exists():
            return None
        if self.made.exists():
            if self.before.exists() and not self.output.exists():
                self.before.rename(self.output)
            self._mark.unlink()
            return None
        if not self.output.exists():  # somebody moved it since
            shutil.rmtree(self.partial)
            return None
        named = self._named()
        added = [bag for bag in bags if str(bag.resolve()) in named.bags]
        if added and len(added) < len(bags):
            raise SettingsError(
                f"{', '.join(map(str, added)):.1000}: in {self.output} already, added by a "
                "conversion that was interrupted after that: give only the others"
            )
        self._remove_rest()
        return named if added else None

    def _named(self) -> Named:
        """What the mark says; SettingsError where it cannot be read."""
        try:
            content = read_json(self._mark)
            bags = [str(one) for one in content["bags"]]
            return Named(bags, int(content["episodes"]), int(content["rows"]))
        except (SettingsError, KeyError, TypeError, ValueError) as error:
            raise SettingsError(
                f"{self._mark}: got {error}, expected what an earlier conversion had added; the "
                f"dataset {self.output} is whole: remove {self.partial}"
            ) from error

    def _remove_rest(self) -> None:
        """Remove the earlier dataset, then what was partial; the mark goes last."""
        if self.before.exists():
            shutil.rmtree(self.before)
        for one in self.partial.iterdir():
            if one.is_dir():
                shutil.rmtree(one)
            elif one != self._mark:
                one.unlink()
        self._mark.unlink()
        self.partial.rmdir()

    def _refuse_existing(self, append: bool, resume: bool) -> None:
        if self.output.exists() and not append:
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
        if self.partial.exists() and not resume:
            raise SettingsError(
                f"{self.partial}: an earlier conversion was not finished: --resume goes on with "
                "it, or remove that folder"
            )
