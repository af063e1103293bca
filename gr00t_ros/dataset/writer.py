"""Staged episodes -> one dataset, in one of two formats; and a dataset back to staged episodes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from gr00t_ros.dataset import groot, lerobot3
from gr00t_ros.dataset.contents import Contents, contents_of
from gr00t_ros.dataset.embodiment_file import COPY, difference
from gr00t_ros.dataset.schema import IMAGES, INDICES, PREDICTED, TIMESTAMP
from gr00t_ros.dataset.staged import FACTS_FILE, ROWS_FILE, BagIdentity, Staged, parquet
from gr00t_ros.errors import SettingsError
from gr00t_ros.folder import write_whole
from gr00t_ros.robot.data_file import read_json, read_json_lines
from gr00t_ros.robot.embodiment import Embodiment

FORMATS: Final[Mapping[str, Callable[[Contents, Path], None]]] = {
    "groot": groot.write,
    "lerobot3": lerobot3.write,
}
"""The values of --format."""


def write_dataset(
    form: str,
    embodiment: Embodiment,
    staged: Sequence[Path],
    output: Path,
    discarded: Sequence[str] = (),
    robot_file: Path | None = None,
) -> Contents:
    """Write the staged episodes, in this order, into a folder that is not there yet.

    form: a key of FORMATS. robot_file: becomes meta/embodiment.yaml. Only reads the staged folders,
    so it can be done again after an interruption. Raises SettingsError if the episodes do not fit
    together, or the folder cannot be written.
    """
    contents = contents_of(embodiment, staged, discarded)
    try:
        FORMATS[form](contents, output)
        if robot_file is not None:
            shutil.copyfile(robot_file, output / COPY)
    except OSError as error:
        raise SettingsError(f"{output}: cannot be written: {error}") from error
    return contents


@dataclass(frozen=True, slots=True)
class Old:
    """The episodes of a dataset that is being appended to, and what new ones must fit."""

    folders: tuple[Path, ...]
    discarded: tuple[str, ...]
    modality: Mapping[str, Any]
    robot_type: str
    tag: str
    fps: float
    robot_file: Path | None

    def refuse_other(self, contents: Contents) -> None:
        """Raise SettingsError if the dataset with the new episodes has other columns or rates."""
        schema = contents.schema
        for what, got, expected in (
            ("robot_type", schema.embodiment.robot, self.robot_type),
            ("embodiment_tag", schema.embodiment.tag, self.tag),
            ("fps", schema.fps, self.fps),
            ("modality.json", schema.modality(), self.modality),
        ):
            if got != expected:
                raise SettingsError(
                    f"--append: {what} of the new episodes is {got!s:.200}, the dataset has "
                    f"{expected!s:.200}: write another dataset"
                )
        if self.robot_file is not None:
            found = difference(Path(schema.embodiment.source), self.robot_file)
            if found:
                raise SettingsError(
                    f"--append: {schema.embodiment.source}: {found} as in {self.robot_file}, which "
                    "the dataset was converted with: write another dataset"
                )


def staged_of(dataset: Path, folder: Path, form: str) -> Old:
    """Stage the episodes of a dataset in GR00T's flavour again, so that more can follow them.

    Raises SettingsError for another format, and for a dataset that this package did not write.
    """
    if form != "groot":
        raise SettingsError("--append is for --format groot: convert all episodes again")
    shutil.rmtree(folder, ignore_errors=True)
    meta = dataset / "meta"
    try:
        info, modality = (read_json(meta / name) for name in ("info.json", "modality.json"))
        rows = read_json_lines(meta / "episodes.jsonl")
        folders = [_staged_again(dataset, folder, info, modality, row) for _, row in rows]
        if len(folders) != info["total_episodes"]:
            listed = meta / "episodes.jsonl"
            raise ValueError(f"{listed}: {len(folders)} lines, info.json says other total_episodes")
        robot, tag, fps = info["robot_type"], info["embodiment_tag"], info["fps"]
        own = dataset / COPY if (dataset / COPY).exists() else None
        discarded = tuple(info["discarded_episodes"])
        return Old(tuple(folders), discarded, modality, robot, tag, fps, own)
    except (OSError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"{dataset}: --append expected a dataset of gr00t dataset convert: "
            f"{type(error).__name__} {error}"
        ) from error


def _bag(row: Mapping[str, Any]) -> BagIdentity:
    bag = row.get("bag")
    return bag if isinstance(bag, dict) else {}


def _staged_again(
    dataset: Path,
    folder: Path,
    info: Mapping[str, Any],
    modality: Mapping[str, Any],
    row: Mapping[str, Any],
) -> Path:
    index = int(row["episode_index"])
    place = {"episode_index": index, "episode_chunk": index // int(info["chunks_size"])}
    to = folder / f"{index:06d}"
    to.mkdir(parents=True)
    table = parquet().read_table(dataset / str(info["data_path"]).format(**place))
    features = info["features"]
    cameras = list(modality["video"])
    for camera in cameras:
        path = str(info["video_path"]).format(video_key=IMAGES + camera, **place)
        groot.link(dataset / path, to / f"{camera}.mp4")
    parquet().write_table(table.drop_columns([TIMESTAMP, *INDICES]), to / ROWS_FILE)
    shapes = {camera: features[IMAGES + camera]["shape"] for camera in cameras}
    codec = features[IMAGES + cameras[0]]["info"]["video.codec"] if cameras else ""
    facts = Staged(
        str(row["recording"]),
        int(row["length"]),
        str(row["tasks"][0]),
        row.get("success"),
        tuple(modality["action"]),
        {camera: (int(shape[0]), int(shape[1])) for camera, shape in shapes.items()},
        codec,
        PREDICTED in table.column_names,
        bag=_bag(row),
    )
    write_whole(to / FACTS_FILE, json.dumps(asdict(facts)) + "\n")
    return to
