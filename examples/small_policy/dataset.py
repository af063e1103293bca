"""Reads a GR00T-flavoured LeRobot v2.1 dataset into arrays: pictures, state, and action chunks.

It uses pyarrow and PyAV and nothing of gr00t_ros, so that it reads a dataset as a stranger would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray

ARM, GRIPPER = "joint_position", "gripper_position"
HELD_BACK = 0.1
"""Share of the episodes that training does not learn from."""
STATE_COLUMN, ACTION_COLUMN = "observation.state", "action"


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """All rows of a dataset, one episode after the other.

    pictures: camera -> (N, h, w, 3) uint8. state: (N, J + 1) float32, the arm's joints in rad, then
    the gripper. arm: (N, J) float32 rad, as commanded. closed: (N,) bool, whether the gripper is
    told to be closed. last: (N,) the last row of each row's episode. episode: (N,) its index.
    """

    pictures: dict[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    arm: NDArray[np.float32]
    closed: NDArray[np.bool_]
    last: NDArray[np.int64]
    episode: NDArray[np.int64]
    rate_hz: float

    def __len__(self) -> int:
        """N."""
        return len(self.state)

    def chunk_rows(self, rows: NDArray[np.int64], horizon: int) -> NDArray[np.int64]:
        """(M, horizon): the rows of each row's action chunk; an episode's last row repeats."""
        ahead = rows[:, None] + np.arange(horizon)
        return np.asarray(np.minimum(ahead, self.last[rows][:, None]))

    def goals(self) -> NDArray[np.float32]:
        """(N, J) rad: where the arm is commanded when the gripper's order changes next.

        After the last change: where the episode ends. These are the places that the policy has to
        find in the pictures: above them, the fingers close on the cube or let it go.
        """
        goals = np.empty_like(self.arm)
        for row in range(len(self) - 1, -1, -1):
            at_end = row == self.last[row]
            changes = not at_end and self.closed[row + 1] != self.closed[row]
            goals[row] = self.arm[row] if at_end or changes else goals[row + 1]
        return goals


def read(
    folder: Path, size_px: tuple[int, int], report: Callable[[str], None] = lambda text: None
) -> Rows:
    """Read all episodes; pictures are reduced to `size_px` (height, width)."""
    info = json.loads((folder / "meta/info.json").read_text())
    modality = json.loads((folder / "meta/modality.json").read_text())
    indices = episodes_of(folder)
    parts: list[tuple[Any, ...]] = []
    pictures: dict[str, list[NDArray[np.uint8]]] = {camera: [] for camera in modality["video"]}
    for done, index in enumerate(indices):
        places = {"episode_chunk": index // info["chunks_size"], "episode_index": index}
        state, arm, gripper = _numbers(folder / info["data_path"].format(**places), modality)
        for camera, entry in modality["video"].items():
            key = entry.get("original_key", f"observation.images.{camera}")
            path = folder / info["video_path"].format(video_key=key, **places)
            shown = np.stack(list(_frames(path, size_px)))
            if len(shown) != len(state):
                raise ValueError(f"{path}: got {len(shown)} pictures, expected {len(state)}")
            pictures[camera].append(shown)
        parts.append((state, arm, gripper > 0.5, np.full(len(state), index)))
        if (done + 1) % 10 == 0:
            report(f"read {done + 1} of {len(indices)} episodes")
    state, arm, closed, episode = (np.concatenate(column) for column in zip(*parts, strict=True))
    ends = np.cumsum([len(part[0]) for part in parts]) - 1
    last = np.repeat(ends, [len(part[0]) for part in parts])
    stacked = {camera: np.concatenate(shown) for camera, shown in pictures.items()}
    return Rows(stacked, state, arm, closed, last, episode, float(info["fps"]))


def episodes_of(folder: Path) -> list[int]:
    """The indices of a dataset's episodes."""
    lines = (folder / "meta/episodes.jsonl").read_text().splitlines()
    return [int(json.loads(line)["episode_index"]) for line in lines]


def held_back(episodes: list[int]) -> list[int]:
    """The episodes that training measures itself on and does not learn from: the last tenth."""
    count = max(1, round(HELD_BACK * len(episodes))) if len(episodes) > 1 else 0
    return sorted(episodes)[len(episodes) - count :]


def _numbers(
    path: Path, modality: dict[str, Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """State (N, J + 1), commanded arm (N, J) and commanded gripper (N,) of one episode."""
    table = parquet.read_table(path)

    def part(kind: str, key: str, default: str) -> NDArray[np.float32]:
        place = modality[kind][key]
        column = table[place.get("original_key", default)].to_pylist()
        return np.array(column, dtype=np.float32)[:, place["start"] : place["end"]]

    state = [part("state", key, STATE_COLUMN) for key in (ARM, GRIPPER)]
    action = [part("action", key, ACTION_COLUMN) for key in (ARM, GRIPPER)]
    return np.concatenate(state, axis=1), action[0], action[1][:, 0]


def _frames(path: Path, size_px: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """The pictures of one video, (h, w, 3) uint8 RGB."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield reduce(frame.to_ndarray(format="rgb24"), size_px)


def reduce(picture: NDArray[np.uint8], size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture of `size_px` (height, width): each pixel is the mean of those that it covers."""
    if picture.shape[:2] == size_px:
        return picture
    return np.asarray(cv2.resize(picture, size_px[::-1], interpolation=cv2.INTER_AREA))
