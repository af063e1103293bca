"""The watch on the content of one camera's frames: frozen or black.

It compares images outside the lock of Inputs, under its own lock.
"""

from __future__ import annotations

import ctypes
import threading

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs.images import Frame, level
from gr00t_ros.ros.parameters import OFF_BELOW_FRAMES, Parameters
from gr00t_ros.watch.finding import Finding
from gr00t_ros.watch.inputs import BlackCamera, FrozenCamera

_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class CameraWatch:
    """Watch on the frames of one topic: frozen or black."""

    def __init__(self, stream: str) -> None:
        """`stream` names the camera in reasons."""
        self._frozen, self._black = FrozenCamera(stream), BlackCamera(stream)
        self._before: NDArray[np.uint8] | None = None
        self._lock = threading.Lock()

    def see(self, stamp_ns: int, frame: Frame) -> None:
        """Take a frame, whether or not its stamp was accepted."""
        with self._lock:
            same = self._before is not None and _equal(self._before, frame.data)
            self._before = frame.data
            self._frozen.see(stamp_ns, same)
            grey = _level(frame)
            if grey is not None:
                self._black.see(grey)

    def findings(self, values: Parameters) -> tuple[Finding, ...]:
        """Findings on the newest frames, with these thresholds."""
        self._frozen.limit_frames = values.frozen_camera_frames
        self._black.level = values.black_camera_level
        self._black.limit_frames = values.black_camera_frames
        on = values.frozen_camera_frames >= OFF_BELOW_FRAMES
        found = (self._black.finding(), self._frozen.finding() if on else None)
        return tuple(finding for finding in found if finding is not None)


def _equal(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two messages have the same (N,) bytes, which lie without gaps.

    Where pictures are equal, memcmp takes a third of numpy's time: it makes no array of the result.
    """
    return one.size == other.size and not _memcmp(one.ctypes.data, other.ctypes.data, one.size)


def _level(frame: Frame) -> float | None:
    try:
        return level(frame)
    except ObservationError:  # bad data behind a good header: the decoder reports it
        return None
