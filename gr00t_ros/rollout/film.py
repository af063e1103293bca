"""The pictures of an episode: one a second and the last one, as one JPEG of each camera."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

EVERY_S: Final = 1.0
SHOWN: Final = 6
_MOST: Final = 600


class Film:
    """Keeps pictures while an episode runs, and writes those that are shown."""

    def __init__(self, folder: Path, name: str) -> None:
        """name: of the file, without what comes for each camera."""
        self._folder, self._name = folder, name
        self._frames: list[dict[str, Any]] = []
        self._next_s = -np.inf

    def take(self, now_s: float, pictures: Mapping[str, Any], last: bool = False) -> None:
        """Keep the newest pictures if the next frame is due, or if it is the last."""
        if pictures and (last or now_s >= self._next_s) and len(self._frames) < _MOST:
            self._next_s = now_s + EVERY_S
            self._frames.append(dict(pictures))

    def write(self) -> list[str]:
        """Write a strip for each camera, first to last picture; returns the names of the files."""
        if not self._frames:
            return []
        chosen = np.unique(np.linspace(0, len(self._frames) - 1, SHOWN).round().astype(int))
        written = []
        self._folder.mkdir(parents=True, exist_ok=True)
        for camera in self._frames[-1]:
            frames = [self._frames[i][camera] for i in chosen if camera in self._frames[i]]
            strip = cv2.cvtColor(np.hstack(frames), cv2.COLOR_RGB2BGR)
            name = f"{self._name}-{camera}.jpg"
            if cv2.imwrite(str(self._folder / name), strip):
                written.append(f"{self._folder.name}/{name}")
        return written
