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
"""Bytes compared at once: noise ends the comparison of two pictures with the first piece."""


class CameraWatch:
    """Frames of one topic, as serialised messages."""

    def __init__(self, stream: str, transport: str) -> None:
        """`stream` names the camera in reasons; `transport` is raw or compressed."""
        self._transport = transport
        self._frozen, self._black = FrozenCamera(stream), BlackCamera(stream)
        self._before: NDArray[np.uint8] | None = None
        self._lock = threading.Lock()

    def see(self, stamp_ns: int, raw: bytes) -> None:
        """Take a frame that convert.check let pass, whether its stamp was used or not."""
        with self._lock:
            pixels = convert.payload(raw, self._transport)
            same = self._before is not None and _equal(self._before, pixels)
            self._before = pixels
            self._frozen.see(stamp_ns, same)
            level = _level(raw, self._transport)
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
    return one.size == other.size and all(
        np.array_equal(one[begin : begin + _PIECE], other[begin : begin + _PIECE])
        for begin in range(0, one.size, _PIECE)
    )


def _level(raw: bytes, transport: str) -> float | None:
    try:
        return convert.level(raw, transport)
    except ObservationError:  # spoilt behind a good header: for whoever decodes it to refuse
        return None
