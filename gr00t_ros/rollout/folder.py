"""The folder of an evaluation: settings.json, and one JSON line an episode in episodes.jsonl.

A line is written at once and whole. A last line that is not whole, because the machine stopped, is
dropped when the run goes on.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.data_file import MAX_RESULTS_BYTES, read_json, read_json_lines
from gr00t_ros.rollout.trial import Evaluation, Plain, differences

SCHEMA: Final = "gr00t_ros.rollout/1"
SETTINGS, EPISODES, PAGE, SUMMARY = "settings.json", "episodes.jsonl", "report.html", "summary.json"


def key_of(line: Plain) -> tuple[str, float, str, int, int]:
    """The key of the trial that a line is about; see Trial.key."""
    return line["strategy"], line["latency_ms"], line["suite"], line["task"], line["episode"]


class Folder:
    """One evaluation's files; one process writes them."""

    def __init__(self, path: Path, evaluation: Evaluation, facts: Plain) -> None:
        """Begin the folder, or go on in one with the same settings and facts.

        facts: what also changes results, such as hashes of files. SettingsError for a folder with
        other settings, with what differs.
        """
        self.path = path
        settings = {"schema": SCHEMA, **evaluation.settings(), **facts}
        settings = json.loads(json.dumps(settings))  # tuples are lists there
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._begin(settings)
        except OSError as error:
            raise SettingsError(f"output {path}: {error.strerror or error}") from error

    def _begin(self, settings: Plain) -> None:
        file = self.path / SETTINGS
        if file.exists():
            found = differences(settings, read_json(file))
            if found:
                raise SettingsError(
                    f"output {self.path}: it has an evaluation with other settings; expected the "
                    "same ones to go on, or a new folder:\n  " + "\n  ".join(found)
                )
            self._cut()
            return
        if (self.path / EPISODES).exists():
            raise SettingsError(
                f"output {self.path}: got {EPISODES} without {SETTINGS}, expected a new folder"
            )
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(file)

    def append(self, line: Plain) -> None:
        """Write one episode: the whole line or nothing of it.

        Raises SettingsError if the disk is full or fails; the run may go on in this folder later.
        """
        data = (json.dumps(line, allow_nan=False) + "\n").encode()
        path = self.path / EPISODES
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                _write_whole(file, data)
            finally:
                os.close(file)
        except OSError as error:
            raise SettingsError(
                f"output {path}: {error.strerror or error}; the episodes before are kept: mend it, "
                "and the same command goes on"
            ) from error

    def lines(self) -> dict[tuple[str, float, str, int, int], Plain]:
        """Key -> the newest line of each episode."""
        file = self.path / EPISODES
        read = list(read_json_lines(file, MAX_RESULTS_BYTES)) if file.exists() else []
        try:
            return {key_of(line): line for _, line in read}
        except (KeyError, TypeError) as error:
            raise SettingsError(f"{file}: got {error!r}, expected one episode a line") from error

    def _cut(self) -> None:
        """Drop what comes after the last whole line."""
        file = self.path / EPISODES
        if file.exists():
            data = file.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole != len(data):
                os.truncate(file, whole)


def _write_whole(file: int, data: bytes) -> None:
    """Append all of `data`: a write may take a part of it only, as on a disk that is full.

    Raises OSError, with the file as it was.
    """
    size = os.fstat(file).st_size
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(file, left) :]
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)
        raise
