"""Checks of cameras: each episode's pictures, decoded once, then the cameras against each other.

Pictures are compared at about 48 x 36 pixels, where a pixel is the mean of many.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset.checks.rows import TIME_TOLERANCE_S
from gr00t_ros.dataset.checks.table import DatasetFinding, Findings
from gr00t_ros.dataset.lerobot import LeRobotDataset, VideoPart
from gr00t_ros.dataset.video_decode import VideoFrames, first_frame, resized
from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.embodiment import Embodiment

SMALL: Final = (36, 48)

_BLACK: Final = 12.0  # of 255: the brightest small pixel of a black picture
_FLAT: Final = 4.0  # of 255: difference between the small pixels of a picture of one colour
_SAME: Final = 3.0  # of 255: what encoding alone changes in a small pixel
_BLACK_S, _FROZEN_S = 0.5, 1.0
_LEAST_ROWS: Final = 5

Floats = NDArray[np.float32]


@dataclass(slots=True)
class PictureFacts:
    """What is kept of one camera's N pictures in an episode.

    energy: (N,) mean change since the picture before, 0..255; the first is NaN. mean: (36, 48, 3)
    mean picture. wander: the median, over the small pixels, of a pixel's standard deviation in the
    episode: near 0 for a camera that stands still, whatever moves before it. still: (first, last)
    rows between which all pictures are the same. blank: such rows, black or of one colour.
    """

    energy: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    mean: Floats | None = None
    wander: float = 0.0
    still: list[tuple[int, int]] = field(default_factory=list)
    blank: list[tuple[int, int]] = field(default_factory=list)


class PictureCheck:
    """Checks one camera's pictures in one episode; `facts` are for checks that need more."""

    def __init__(
        self, dataset: LeRobotDataset, index: int, key: str, embodiment: Embodiment | None
    ) -> None:
        self._dataset, self._index, self._key = dataset, index, key
        self._column = dataset.cameras[key]
        self._embodiment = embodiment
        self._findings = Findings()
        self._file = "meta/episodes"
        self.facts = PictureFacts()

    def run(self, rows: int) -> list[DatasetFinding]:
        """Decode the pictures of an episode of `rows` rows and check them."""
        try:
            part = self._dataset.video_part(self._index, self._column)
            self._file = str(part.path.relative_to(self._dataset.path))
            frames = VideoFrames(part.path)
            first = first_frame(frames, part.from_s, self._dataset.fps)
            last = self._end(frames, part, first, rows)
            self._sizes(frames)
            self._times(frames.times_s[first:last] - part.from_s)
            self._decode(frames, first, last - first, rows)
            frames.close()
        except SettingsError as error:
            self._add("video_file", str(error).replace(f"{self._dataset.path}/", ""), "a video")
        self._blank()
        return self._findings.kept

    def _add(self, check: str, got: str, expected: str, **place: int | None) -> None:
        self._findings.add(check, self._file, got, expected, episode=self._index, **place)

    def _end(self, frames: VideoFrames, part: VideoPart, first: int, rows: int) -> int:
        """Return the number of the frame behind the episode's last: of a v3 file by its rows."""
        return len(frames.pts) if part.to_s is None else min(first + rows, len(frames.pts))

    def _sizes(self, frames: VideoFrames) -> None:
        size = (frames.height_px, frames.width_px)
        feature = self._dataset.features.get(self._column, {})
        shape, names = feature.get("shape"), feature.get("names")
        if isinstance(shape, list) and len(shape) == 3:
            stated = _stated_size(shape, names)
            if stated != size:
                self._add("camera_size", f"{_size(size)}", f"{_size(stated)} of info.json")
        if self._embodiment is None:
            return
        sent = {s.key: (s.height_px, s.width_px) for s in self._embodiment.video}.get(self._key)
        if sent is not None and sent != size:
            self._add("camera_resized", f"{_size(size)}", f"{_size(sent)} of the embodiment file")

    def _times(self, times: NDArray[np.float64]) -> None:
        """Check the times of the episode's frames, s from where it begins."""
        period = 1.0 / self._dataset.fps
        # a file's time base may be as coarse as a tenth of a period
        tolerance = max(TIME_TOLERANCE_S, 0.02 * period)
        if not len(times):
            return
        if abs(times[0]) > tolerance:
            self._add("video_start", f"first picture at {times[0]:.4f} s", "0 s", row=0)
        steps = np.diff(times)
        if not len(steps):
            return
        usual = float(np.median(steps))
        if abs(usual - period) > tolerance:
            self._add("video_rate", f"{1.0 / max(usual, 1e-9):.3f} Hz", f"{1.0 / period:g} Hz")
        wrong = np.flatnonzero(np.abs(steps - usual) > tolerance)
        drift = np.flatnonzero(
            np.abs(times - times[0] - np.arange(len(times)) * period) > tolerance
        )
        if len(wrong):
            row = int(wrong[0]) + 1
            got = f"{steps[row - 1]:.4f} s after the picture before"
            self._add("video_gap", got, f"{usual:.4f} s", row=row, places=len(wrong))
        elif len(drift) and abs(usual - period) <= tolerance:
            row = int(drift[0])
            got = f"picture at {times[row] - times[0]:.4f} s"
            self._add("video_rate", got, f"{row * period:.4f} s", row=row, places=len(drift))

    def _decode(self, frames: VideoFrames, first: int, count: int, rows: int) -> None:
        """Decode `count` frames; those of rows that are there are measured."""
        measure = _Measure()
        decoded = 0
        problem = ""
        try:
            for frame in frames.decode(first, count):
                decoded += 1
                if decoded <= rows:
                    measure.add(frame)
        except SettingsError as error:
            problem = f" ({str(error).rpartition(': ')[2]:.100})"
        self.facts = measure.facts()
        if decoded != rows:
            self._add(
                "video_frames",
                f"{decoded} pictures{problem}",
                f"{rows}, one a row",
                row=min(decoded, rows),
            )
        elif decoded < count:
            self._add("video_frames", f"{decoded} of {count} pictures decode", f"{count}")

    def _blank(self) -> None:
        least = max(_LEAST_ROWS, round(_BLACK_S * self._dataset.fps))
        for first, last in self.facts.blank:
            count = last - first + 1
            if count >= min(least, len(self.facts.energy)):
                self._add(
                    "picture_black",
                    f"{self._key} is black or of one colour in rows {first} to {last}",
                    "a picture",
                    row=first,
                    places=count,
                )

    def frozen(self, states: NDArray[np.floating[Any]]) -> list[DatasetFinding]:
        """Check whether pictures stand still while the states (N, D) move."""
        found = Findings()
        least = max(_LEAST_ROWS, round(_FROZEN_S * self._dataset.fps))
        blank = {row for first, last in self.facts.blank for row in range(first, last + 1)}
        span = np.ptp(states, axis=0) if len(states) else np.zeros(states.shape[1])
        size = np.abs(states).max(axis=0, initial=0.0)
        moving = span > 1e-3 * np.maximum(1.0, size)
        for first, last in self.facts.still:
            if last - first + 1 < least or first in blank or not moving.any():
                continue
            part = np.ptp(states[first : last + 1], axis=0)
            share = (part[moving] > 0.05 * span[moving]).mean()
            if share >= 0.3:
                found.add(
                    "picture_frozen",
                    self._file,
                    f"{self._key} does not change in rows {first} to {last}, in which the state "
                    "moves",
                    "another picture",
                    episode=self._index,
                    row=first,
                    places=last - first + 1,
                )
        return found.kept


class _Measure:
    """Measures pictures one after the other."""

    def __init__(self) -> None:
        self._energy: list[float] = []
        self._sum = np.zeros((*SMALL, 3), np.float64)
        self._grey, self._squares = np.zeros(SMALL, np.float64), np.zeros(SMALL, np.float64)
        self._before: Floats | None = None
        self._anchor: Floats | None = None
        self._anchor_row = 0
        self._still: list[tuple[int, int]] = []
        self._blank: list[tuple[int, int]] = []

    def add(self, frame: Any) -> None:
        """Measure PyAV's next frame."""
        row = len(self._energy)
        small = resized(frame, *SMALL)
        self._sum += small
        grey = small.mean(axis=2, dtype=np.float32)
        self._grey += grey
        self._squares += grey.astype(np.float64) ** 2
        if self._before is None or self._anchor is None:
            self._energy.append(float("nan"))
            self._anchor, self._anchor_row = grey, row
        else:
            self._energy.append(float(np.abs(grey - self._before).mean()))
            if np.abs(grey - self._anchor).max() > _SAME:
                self._end_still(row - 1)
                self._anchor, self._anchor_row = grey, row
        self._before = grey
        if grey.max() < _BLACK or grey.max() - grey.min() < _FLAT:
            if self._blank and self._blank[-1][1] == row - 1:
                self._blank[-1] = (self._blank[-1][0], row)
            else:
                self._blank.append((row, row))

    def _end_still(self, last: int) -> None:
        if last > self._anchor_row:
            self._still.append((self._anchor_row, last))

    def facts(self) -> PictureFacts:
        """What was measured."""
        count = len(self._energy)
        if not count:
            return PictureFacts()
        self._end_still(count - 1)
        variance = self._squares / count - (self._grey / count) ** 2
        return PictureFacts(
            np.array(self._energy, np.float32),
            (self._sum / count).astype(np.float32),
            float(np.median(np.sqrt(np.maximum(variance, 0.0)))),
            self._still,
            self._blank,
        )


def _stated_size(shape: list[Any], names: Any) -> tuple[Any, Any]:
    """Return (height, width) of info.json's shape: by its names, else as [H, W, C]."""
    axes = names if isinstance(names, list) else []
    if "height" in axes and "width" in axes and len(axes) == 3:
        return shape[axes.index("height")], shape[axes.index("width")]
    return shape[0], shape[1]


def _size(size: tuple[Any, Any]) -> str:
    return f"{size[0]}x{size[1]} (height x width)"


_LEAST_EPISODES: Final = 3
_NEARER: Final = 0.7  # a swap must explain the mean pictures better than this
_WRIST: Final = re.compile(r"wrist|hand|gripper|ego_eef|eye_in", re.IGNORECASE)
_STILL: Final = 1.5  # of 255: by less the picture of a camera that stands still changes


def check_swapped(
    means: Mapping[int, Mapping[str, Floats]], columns: Mapping[str, str], findings: Findings
) -> None:
    """Find episodes in which two cameras' mean pictures are nearer to each other's elsewhere.

    means: episode -> camera -> (h, w, 3) mean picture. columns: camera -> its column.
    """
    for first, second in combinations(columns, 2):
        both = {i: (of[first], of[second]) for i, of in means.items() if {first, second} <= set(of)}
        if len(both) < _LEAST_EPISODES:
            continue
        usual = [np.median([pair[side] for pair in both.values()], axis=0) for side in (0, 1)]
        for index, (a, b) in both.items():
            straight = _apart(a, usual[0]) + _apart(b, usual[1])
            swapped = _apart(a, usual[1]) + _apart(b, usual[0])
            if swapped < _NEARER * straight:
                findings.add(
                    "camera_swapped",
                    f"videos of {columns[first]} and {columns[second]}",
                    f"mean pictures {straight:.1f} from those of the other episodes, "
                    f"{swapped:.1f} if the two are swapped (of 255)",
                    "each camera as in the other episodes",
                    episode=index,
                )


def _apart(picture: Floats, other: Floats) -> float:
    return float(np.abs(picture - other).mean())


def check_roles(
    wander: Mapping[str, float], columns: Mapping[str, str], findings: Findings
) -> None:
    """Find a wrist camera that stands still while another one moves.

    wander: camera -> how much its picture as a whole changes in an episode, 0..255.
    """
    wrists = [key for key in wander if _WRIST.search(key)]
    others = [key for key in wander if not _WRIST.search(key)]
    if len(wrists) != 1 or not others:
        return
    most, wrist = max(others, key=lambda key: wander[key]), wrists[0]
    if wander[wrist] < _STILL and wander[most] > _STILL + wander[wrist]:
        findings.add(
            "camera_role",
            f"videos of {columns[wrist]} and {columns[most]}",
            f"the picture of {wrist} as a whole stands still (it changes by {wander[wrist]:.1f} of "
            f"255), that of {most} moves ({wander[most]:.1f})",
            "the camera at the wrist to move with the arm",
        )
