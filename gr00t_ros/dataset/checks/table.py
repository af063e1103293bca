"""The table of all checks of a dataset, and what a check finds.

docs/dataset_checks.md shows the table.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

ERROR: Final = "error"
WARNING: Final = "warning"

MOST: Final = 200
"""Findings of one check that are kept; the others are counted."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what it finds, what to do about it, and who reads such a dataset without a word.

    level: an error makes a loader fail, or training see what did not happen; a warning is what a
    person should look at.
    """

    level: str
    what: str
    remedy: str
    silent: str = ""


_AGAIN: Final = "convert the recording again"
_ALL: Final = "N1.5, N1.6, N1.7"
_LATE: Final = "N1.6, N1.7"

CHECKS: Final[dict[str, Check]] = {
    # --- metadata ---
    "meta_file": Check(
        ERROR, "a file of meta/ is missing, cannot be read, or has a wrong field", "correct it"
    ),
    "info_paths": Check(
        ERROR,
        "data_path or video_path of info.json is not one of its version",
        "write the paths of the version that codebase_version names",
    ),
    "totals": Check(
        WARNING, "a total_* of info.json is not what there is", "correct info.json", _ALL
    ),
    "blank_line": Check(ERROR, "a blank line in a .jsonl file", "delete the line"),
    "episode_duplicate": Check(
        ERROR, "two episodes have one episode_index", "give each its own", _LATE
    ),
    "episode_order": Check(
        WARNING,
        "the episode indices are not 0 to N - 1, or a v3 index range does not follow the last",
        "number the episodes again",
        _ALL,
    ),
    "tasks_order": Check(
        ERROR,
        "a task_index twice, or a v3 task in a row that is not its task_index",
        "sort the rows of the tasks file by task_index",
        "LeRobot (reads another text)",
    ),
    "modality_missing": Check(
        WARNING, "no meta/modality.json", "write one: GR00T's loaders take no dataset without"
    ),
    "language_missing": Check(
        WARNING,
        "no annotation in modality.json: samples without an instruction",
        'add "annotation": {"human.task_description": {"original_key": "task_index"}}',
    ),
    "column_unknown": Check(
        ERROR,
        "modality.json names a column that info.json does not have",
        "correct original_key, or the features of info.json",
    ),
    "slice_beyond": Check(
        ERROR,
        "a key's end is beyond its column",
        "correct start and end in modality.json",
        f"{_LATE} (cut)",
    ),
    "slice_overlap": Check(
        ERROR,
        "two keys have the same columns",
        "correct start and end in modality.json",
        _ALL,
    ),
    "camera_unknown": Check(
        ERROR,
        "a camera of modality.json is none of info.json's",
        "give a camera one name in both",
        "N1.7 (takes cameras by position: they may be swapped)",
    ),
    "camera_unused": Check(
        WARNING,
        "a camera of info.json has no key in modality.json",
        "add its key, if the policy shall see it",
        _ALL,
    ),
    "camera_axes": Check(
        ERROR,
        "a camera's shape or names in info.json are not [height, width, 3]",
        "write shape [H, W, 3] and names [height, width, channels]",
        _LATE,
    ),
    # --- against the embodiment file ---
    "rate": Check(
        ERROR,
        "the dataset's rate is not that of the embodiment file, or of info.json's cameras",
        "name the embodiment file with which the dataset was made, or convert it at its rate",
        _ALL,
    ),
    "keys": Check(
        ERROR,
        "a state or action key of the embodiment file is missing, or has another width",
        "name the embodiment file with which the dataset was made",
    ),
    "camera_order": Check(
        ERROR,
        "the cameras are not those of the embodiment file in its order",
        "put modality.json's cameras into the order of the embodiment file",
        "N1.7 (takes cameras by position: they may be swapped)",
    ),
    "joint_range": Check(
        WARNING,
        "a joint's value is outside the limits of the embodiment file",
        "see whether unit (degrees?), scale and order of the joints are those of the file",
        _ALL,
    ),
    # --- rows ---
    "data_file": Check(ERROR, "a parquet file is missing or cannot be read", _AGAIN),
    "data_rows": Check(
        ERROR,
        "a data file has rows of episodes that the list of episodes does not place there",
        "correct meta/episodes, or convert again",
        "LeRobot",
    ),
    "file_unused": Check(
        WARNING,
        "a file in data/ or videos/ that belongs to no episode",
        "delete it, or add its episode",
        _ALL,
    ),
    "column_missing": Check(ERROR, "a column that is needed is not in the parquet file", _AGAIN),
    "column_numbers": Check(
        ERROR, "a column that is needed has no row of numbers, (N,) or (N, D)", _AGAIN, _ALL
    ),
    "column_width": Check(
        ERROR,
        "a column has another width than info.json says",
        _AGAIN,
        f"{_LATE} (the last key is empty)",
    ),
    "column_type": Check(
        WARNING, "a column has another type than info.json says", "correct info.json", _ALL
    ),
    "episode_length": Check(
        ERROR,
        "an episode's length is not its number of rows",
        "correct the length in the list of episodes",
        f"{_LATE}; N1.5 if it is too small",
    ),
    "not_finite": Check(ERROR, "a value is NaN or infinite", "leave the episode out", _ALL),
    "row_order": Check(
        ERROR, "the rows are not in the order of time", "sort them by frame_index", _ALL
    ),
    "row_numbers": Check(
        ERROR,
        "episode_index or frame_index of a row is not what its place says",
        "number the rows again",
        _ALL,
    ),
    "row_index": Check(
        WARNING,
        "index of a row is not its number in the whole dataset",
        "number the rows again: LeRobot finds rows by it",
        _ALL,
    ),
    "timestamp_start": Check(
        ERROR, "an episode's first timestamp is not 0", "subtract it from all", _LATE
    ),
    "timestamp_rate": Check(
        ERROR,
        "a timestamp is more than 0.1 ms from row / fps",
        "write row / fps: the recording is sampled at the rate, or it is none",
        _ALL,
    ),
    "timestamp_float32": Check(
        WARNING,
        "timestamps in float32, some of them just below row / fps",
        "write float64: N1.5 reads the picture before for these rows",
        "N1.5 (wrong pictures)",
    ),
    "task_id": Check(
        ERROR, "a row's task id is not in the tasks file", "add the task, or correct the rows"
    ),
    "constant_column": Check(
        WARNING,
        "a column has one value in the whole dataset",
        "see whether the joint was recorded; leave the key out if nothing moves it",
        _ALL,
    ),
    # --- pictures ---
    "video_file": Check(ERROR, "a video is missing or cannot be read", _AGAIN),
    "video_frames": Check(
        ERROR,
        "the number of pictures that decode is not the number of rows",
        "encode the video again: frame i is row i",
        f"{_ALL} if it is longer; N1.5 if it is shorter",
    ),
    "video_start": Check(
        ERROR, "a video's first picture is not at 0 s", "encode it again from 0 s on", _LATE
    ),
    "video_rate": Check(
        ERROR, "a video has another rate than info.json", "encode it at the rate", _LATE
    ),
    "video_gap": Check(
        ERROR,
        "pictures of a video are not one period apart",
        "encode it again at a constant rate",
        f"{_LATE}; N1.5 reads wrong pictures",
    ),
    "video_segment": Check(
        ERROR,
        "an episode's part of a v3 video does not begin where the one before it ends",
        "correct from_timestamp and to_timestamp in meta/episodes",
        "LeRobot (wrong pictures)",
    ),
    "camera_size": Check(
        ERROR,
        "pictures have another size than info.json says",
        "correct the shape in info.json",
        _LATE,
    ),
    "camera_resized": Check(
        WARNING,
        "pictures have another size than the embodiment file sends",
        "convert without --keep-size, if the policy is not trained on larger pictures on purpose",
        _LATE,
    ),
    "picture_black": Check(
        ERROR, "pictures are black, or all of one colour", "leave the episode out", _ALL
    ),
    "picture_frozen": Check(
        ERROR,
        "pictures stay the same while the robot moves",
        "leave the episode out; see whether the camera stopped",
        _ALL,
    ),
    "camera_swapped": Check(
        WARNING,
        "in this episode two cameras look as if they were swapped",
        "see the two videos, swap their files",
        _ALL,
    ),
    "camera_role": Check(
        WARNING,
        "a camera that is named after the wrist stands still, one that is not moves",
        "see whether the two are swapped",
        _ALL,
    ),
    # --- time ---
    "action_lag": Check(
        WARNING,
        "the state follows the action too late, or before it",
        "see which stamp the action had; shift the column by the rows that are told",
        _ALL,
    ),
    "picture_lag": Check(
        WARNING,
        "pictures change too late or too early for the motion of the state",
        "see which stamps the camera has: the policy learns the delay",
        _ALL,
    ),
    # --- statistics ---
    "stats_missing": Check(
        WARNING,
        "no meta/stats.json",
        "let the converter write it: evaluation and training of N1.6 and N1.7 begin with it",
    ),
    "stats_shape": Check(
        ERROR,
        "a feature's statistics are missing, or have another length than its column",
        "delete stats.json: it is made again",
        _LATE,
    ),
    "stats_values": Check(
        ERROR,
        "a statistic is not that of the data",
        "delete stats.json: it is made again",
        _ALL,
    ),
    "stats_count": Check(
        WARNING,
        "stats.json has a count, as LeRobot writes it",
        "delete it: N1.5 ends with an IndexError",
        _LATE,
    ),
    "relative_stats": Check(
        ERROR,
        "relative_stats.json has another shape than [horizon, width of the key]",
        "delete relative_stats.json: it is made again",
        _LATE,
    ),
}


@dataclass(frozen=True, slots=True)
class DatasetFinding:
    """One finding: of a check, in a file of the dataset, maybe in one episode and row.

    places: in how many rows or frames of the file it is so.
    """

    check: str
    file: str
    got: str
    expected: str
    episode: int | None = None
    row: int | None = None
    places: int = 1

    @property
    def is_error(self) -> bool:
        """Whether the dataset is at fault."""
        return CHECKS[self.check].level == ERROR

    def line(self) -> str:
        """The finding as one line for people."""
        place = "".join(
            f", {name} {value}"
            for name, value in (("episode", self.episode), ("row", self.row))
            if value is not None
        )
        more = f" (and {self.places - 1} more)" if self.places > 1 else ""
        of = CHECKS[self.check]
        silent = f" Silent: {of.silent}." if of.silent else ""
        return (
            f"{of.level} {self.check}: {self.file}{place}: got {self.got}{more}, expected "
            f"{self.expected}. To do: {of.remedy}.{silent}"
        )

    def figures(self) -> dict[str, Any]:
        """The finding for programs."""
        of = CHECKS[self.check]
        return {"level": of.level, **asdict(self), "to_do": of.remedy, "silent_in": of.silent}


@dataclass(slots=True)
class Findings:
    """Findings in the order in which they were made; of one check at most MOST are kept."""

    kept: list[DatasetFinding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, check: str, file: str, got: str, expected: str, **place: int | None) -> None:
        """Add a finding; `place` has its episode, row and places."""
        where: dict[str, Any] = dict(place)
        finding = DatasetFinding(check, file, got[:300], expected[:300], **where)
        self.extend([finding])

    def extend(self, others: list[DatasetFinding]) -> None:
        """Add findings that somebody else made."""
        for finding in others:
            count = self.counts[finding.check] = self.counts.get(finding.check, 0) + 1
            if count <= MOST:
                self.kept.append(finding)

    def of(self, level: str) -> int:
        """The number of findings of a level."""
        return sum(n for check, n in self.counts.items() if CHECKS[check].level == level)
