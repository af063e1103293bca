"""The watches on what one camera shows: frozen, black. Sees every frame that was taken.

The threads that pull call `see`, which takes a lock of its own: pictures are compared outside the
inputs' lock. Any thread asks `findings`, which only reads.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.errors import ObservationError
from gr00t_ros.core.watch_camera import BlackCamera, FrozenCamera
from gr00t_ros.core.watchdog import Finding
from gr00t_ros.ros import convert
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.watch_parameters import OFF_BELOW_FRAMES

_PIECE = 1 << 16
"""Bytes compared at once."""

_FIRST_PIECE = 1 << 12
"""Bytes compared first: a camera's noise ends the comparison of two pictures here."""


class CameraWatch:
    """Frames of one topic."""

    def __init__(self, stream: str) -> None:
        """`stream` names the camera in reasons."""
        self._frozen, self._black = FrozenCamera(stream), BlackCamera(stream)
        self._before: NDArray[np.uint8] | None = None
        self._lock = threading.Lock()

    def see(self, stamp_ns: int, frame: convert.Frame) -> None:
        """Take a frame as it was read, whether its stamp was used or not."""
        with self._lock:
            same = self._before is not None and _equal(self._before, frame.data)
            self._before = frame.data
            self._frozen.see(stamp_ns, same)
            level = _level(frame)
            if level is not None:
                self._black.see(level)

    def findings(self, values: Parameters) -> tuple[Finding, ...]:
        """What the newest frames show, by these thresholds."""
        self._frozen.limit_frames = values.frozen_camera_frames
        self._black.level = values.black_camera_level
        self._black.limit_frames = values.black_camera_frames
        on = values.frozen_camera_frames >= OFF_BELOW_FRAMES
        found = (self._black.finding(), self._frozen.finding() if on else None)
        return tuple(finding for finding in found if finding is not None)


def _equal(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    if one.size != other.size or not np.array_equal(one[:_FIRST_PIECE], other[:_FIRST_PIECE]):
        return False
    return all(
        np.array_equal(one[begin : begin + _PIECE], other[begin : begin + _PIECE])
        for begin in range(_FIRST_PIECE, one.size, _PIECE)
    )


def _level(frame: convert.Frame) -> float | None:
    try:
        return convert.level(frame)
    except ObservationError:  # spoilt behind a good header: for whoever decodes it to refuse
        return None
