"""The pictures of an episode: a video of each camera, and a strip from its first to its last.

Pictures are kept as JPEG while the episode runs and encoded when it is over, so that the encoder
takes no time from its node (with several workers, from that of another).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.dataset.video_encode import encode
from gr00t_ros.errors import SettingsError

Picture = NDArray[np.uint8]

RATE_HZ: Final = 10
"""Pictures of a video in a second of simulated time."""
SHOWN: Final = 6
"""Pictures of a strip."""
MOST_S: Final = 600
"""A video ends here: it bounds what an endless episode keeps in memory, about 90 MB a camera."""
_ROUNDING: Final = 1e-6  # of a frame: 5.1 s - 5.0 s is below 0.1 s
_QUALITY: Final = (cv2.IMWRITE_JPEG_QUALITY, 95)


@dataclass(slots=True)
class FilmFiles:
    """Names of the files, from the evaluation's folder; why there is not a video of each camera."""

    pictures: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    problem: str = ""


class Film:
    """Keeps pictures at RATE_HZ while an episode runs, and writes them when it is over."""

    def __init__(self, folder: Path, name: str) -> None:
        """name: of the files, without what comes for each camera."""
        self._folder, self._name = folder, name
        self._jpegs: dict[str, list[bytes]] = {}
        self._count = 0
        self._problem = ""

    def take(self, since_s: float, pictures: Mapping[str, Picture], last: bool = False) -> None:
        """Keep the newest (H, W, 3) RGB pictures if a frame is due, or if it is the last.

        since_s: simulated time since the episode's begin. A frame that was missed is the one
        before, shown again: the video keeps simulated time.
        """
        if not pictures:
            return
        due = math.floor(since_s * RATE_HZ + _ROUNDING) + 1 - self._count
        if last:
            due = max(1, due)
        left = MOST_S * RATE_HZ - self._count
        if due > left:
            due, self._problem = left, f"the video ends after {MOST_S} s"
        if due <= 0 and not last:
            return
        self._count += due
        for camera, picture in pictures.items():
            jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _QUALITY)[1]
            jpegs = self._jpegs.setdefault(camera, [])
            before = jpegs[-1] if jpegs else jpeg.tobytes()
            jpegs += [before] * (self._count - len(jpegs))
            jpegs[-1] = jpeg.tobytes()

    def write(self) -> FilmFiles:
        """Write the files of each camera; a video that cannot be made is no error."""
        shown = FilmFiles(problem=self._problem)
        if self._jpegs:
            self._folder.mkdir(parents=True, exist_ok=True)
        for camera, jpegs in self._jpegs.items():
            strip = self._folder / f"{self._name}-{camera}.jpg"
            chosen = np.unique(np.linspace(0, len(jpegs) - 1, SHOWN).round().astype(int))
            if cv2.imwrite(str(strip), _strip([jpegs[i] for i in chosen])):
                shown.pictures.append(f"{self._folder.name}/{strip.name}")
            video = strip.with_suffix(".mp4")
            try:
                encode(video, _rgb(jpegs), RATE_HZ)
                shown.videos.append(f"{self._folder.name}/{video.name}")
            except SettingsError as error:
                video.unlink(missing_ok=True)
                shown.problem = str(error)
        return shown


def _rgb(jpegs: Sequence[bytes]) -> Iterator[Picture]:
    for jpeg in jpegs:
        yield cv2.cvtColor(_decoded(jpeg), cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _strip(jpegs: Sequence[bytes]) -> Any:
    """The BGR pictures side by side, each as high and wide as the last."""
    pictures = [_decoded(jpeg) for jpeg in jpegs]
    height, width = pictures[-1].shape[:2]
    return np.hstack([cv2.resize(picture, (width, height)) for picture in pictures])


def _decoded(jpeg: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
