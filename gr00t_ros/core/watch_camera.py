"""Watches on what a camera shows: the same picture again and again, or none.

Takes numbers made of a frame, never the frame: its stamp, whether it equals the last, its level.
"""

from __future__ import annotations

from gr00t_ros.core.watch_table import finding
from gr00t_ros.core.watchdog import Finding


class FrozenCamera:
    """Counts frames in a row that repeat the stamp or the content of the one before."""

    def __init__(self, stream: str, limit_frames: int = 10) -> None:
        """Pause at `limit_frames` equal frames, the first of them included."""
        self._stream, self.limit_frames = stream, limit_frames
        self._stamp_ns: int | None = None
        self._run, self._same = 0, ""

    def see(self, stamp_ns: int, same_content: bool) -> None:
        """Take one received frame, used or not, and whether its bytes are those of the last."""
        same = ""
        if self._stamp_ns is not None:
            same = "stamp" if stamp_ns == self._stamp_ns else same
            same = "content" if same_content else same
        self._run = self._run + 1 if same else 1
        self._stamp_ns, self._same = stamp_ns, same

    def finding(self) -> Finding | None:
        """Of the newest frame; the next one that differs ends it."""
        if self._run < self.limit_frames:
            return None
        text = (
            f"{self._stream}: {self._run} frames in a row with the same {self._same}, fewer than "
            f"{self.limit_frames} expected"
        )
        return finding("frozen_camera", text)


class BlackCamera:
    """Counts frames in a row that are black."""

    def __init__(self, stream: str, level: float = 3.0, limit_frames: int = 10) -> None:
        """Pause at `limit_frames` frames whose mean is not above `level`, of 255."""
        self._stream, self.level, self.limit_frames = stream, level, limit_frames
        self._run, self._newest = 0, 0.0

    def see(self, mean_level: float) -> None:
        """Take one frame's mean over all pixels and channels, 0 to 255; NaN counts as black."""
        self._newest = mean_level
        self._run = 0 if mean_level > self.level else self._run + 1

    def finding(self) -> Finding | None:
        """Of the newest frames; one that is not black ends it."""
        if self._run < self.limit_frames:
            return None
        text = (
            f"{self._stream}: {self._run} black frames in a row, mean level {self._newest:.1f} of "
            f"255, above {self.level:.1f} expected"
        )
        return finding("black_camera", text)
