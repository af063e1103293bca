"""Decodes one camera's pictures out of a video file, by number and lazily, through PyAV.

Frame i is the i-th in the order of presentation, whatever the order in the file. Only files of the
MP4 family are opened, without references to other files: a dataset may come from anybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError

MAX_PX: Final = 8192
_MAX_FRAMES: Final = 10_000_000  # in one file: a day at 100 Hz
_AHEAD: Final = 32  # frames that are decoded on the way before a seek is cheaper


_KNOWN: Final = 64
_known_pts: dict[tuple[Path, int, int], NDArray[np.int64]] = {}
"""The times in the last files: a v3 file holds many episodes and is gone through only once."""


class VideoFrames:
    """A video file: `times_s`, the presentation time of each frame, and its frames as they come.

    `pts`: (N,) int64, these times in units of `base`, s. `codec`: the decoder's name.

    Raises SettingsError, with the file and the cause, wherever the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        """Read the times of all frames; nothing is decoded yet."""
        self.path = path
        self._container: Any = None
        stream = self._open()
        self.base: Fraction = stream.time_base
        self.height_px, self.width_px = int(stream.height), int(stream.width)
        self.codec = str(stream.codec_context.name)
        status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size)
        if key not in _known_pts:
            while len(_known_pts) >= _KNOWN:
                _known_pts.pop(next(iter(_known_pts)))
            _known_pts[key] = self._read_pts()
        self.pts = _known_pts[key]

    @property
    def times_s(self) -> NDArray[np.float64]:
        """(N,) presentation time of each frame, s."""
        return np.asarray(self.pts * float(self.base), np.float64)

    def decode(self, first: int, count: int) -> Iterator[Any]:
        """Yield PyAV's frames number `first` to `first + count`; those that are not there are not.

        Only one such pass may run at a time: each opens the file anew.
        """
        if count <= 0 or first >= len(self.pts):
            return
        start, last = self.pts[first], self.pts[min(first + count, len(self.pts)) - 1]
        for seek in (first > 0, False):
            found = self._decode(int(start), int(last), seek)
            frame = next(found, None)
            # a file whose index is wrong can lead behind the frame: then from its begin
            if not seek or (frame is not None and frame.pts == start):
                break
        if frame is not None:
            yield frame
            yield from found

    def _decode(self, start: int, last: int, seek: bool) -> Iterator[Any]:
        stream = self._open()
        try:
            if seek:
                self._container.seek(start, stream=stream, backward=True)
            for frame in self._container.decode(stream):
                if frame.pts is None or frame.pts < start:
                    continue
                if frame.pts > last:
                    return
                yield frame
        except (self._av.FFmpegError, ValueError, MemoryError) as error:
            raise self._unreadable(error) from error

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def _open(self) -> Any:
        """Open the file from its begin and return its video stream."""
        try:
            import av
        except ImportError as error:
            raise SettingsError(f"{self.path}: pictures need PyAV: pip install av") from error
        self.close()
        self._av = av
        try:
            if not self.path.is_file():
                raise FileNotFoundError("no such file")
            # the format is named, so that no playlist under the name of a video is followed
            self._container = av.open(
                str(self.path), format="mp4", options={"protocol_whitelist": "file"}
            )
            streams = self._container.streams.video
            if not streams:
                raise ValueError("no video in it")
            stream = streams[0]
            if stream.codec_context is None:
                raise ValueError("no decoder for it")
            if not (0 < stream.height <= MAX_PX and 0 < stream.width <= MAX_PX):
                raise ValueError(
                    f"{stream.height}x{stream.width} pixels, expected at most {MAX_PX}"
                )
            stream.thread_type = "AUTO"
            return stream
        except (av.FFmpegError, OSError, ValueError, IndexError) as error:
            raise self._unreadable(error) from error

    def _read_pts(self) -> NDArray[np.int64]:
        pts = []
        try:
            for packet in self._container.demux(self._container.streams.video[0]):
                if packet.pts is not None and not packet.is_discard:
                    pts.append(packet.pts)
                    if len(pts) > _MAX_FRAMES:
                        raise ValueError(f"more than {_MAX_FRAMES} frames")
        except (self._av.FFmpegError, ValueError) as error:
            raise self._unreadable(error) from error
        return np.sort(np.array(pts, dtype=np.int64))

    def _unreadable(self, error: Exception) -> SettingsError:
        cause = " ".join(str(error).split()) or type(error).__name__
        return SettingsError(f"{self.path}: video cannot be read: {cause:.200}")


class VideoPictures:
    """The `count` pictures from frame `first` on as (H, W, 3) RGB (see dataset/episode.py).

    Pictures of another size than `size` (height, width) are resized by `fit` ("pad" keeps the
    picture's shape with black bars, "stretch" does not). The file is opened at the first picture.
    """

    def __init__(
        self,
        path: Path,
        from_s: float,
        count: int,
        rate_hz: float,
        size: tuple[int, int] | None = None,
        fit: str = "stretch",
    ) -> None:
        self.path = path
        self._from_s, self._count, self._rate_hz = from_s, count, rate_hz
        self._size, self._fit = size, fit
        self._frames: VideoFrames | None = None
        self._first = 0
        self._pass: Iterator[Any] | None = None
        self._next = 0  # the row that the pass yields next
        self._last: tuple[int, NDArray[np.uint8]] | None = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[row] for row in range(self._count))

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        if not -self._count <= row < self._count:
            raise IndexError(f"row {row} of {self._count}")
        row %= self._count
        if self._last is not None and self._last[0] == row:
            return self._last[1]
        frames = self._opened()
        if self._pass is None or not self._next <= row < self._next + _AHEAD:
            self._pass = frames.decode(self._first + row, self._count - row)
            self._next = row
        frame = None
        while self._next <= row:
            frame = next(self._pass, None)
            self._next += 1
        if frame is None or frame.pts != frames.pts[self._first + row]:
            raise SettingsError(
                f"{self.path}: frame {self._first + row} cannot be decoded: gr00t dataset validate "
                "says what is wrong with the dataset"
            )
        picture = _picture(frame, self._size, self._fit)
        self._last = (row, picture)
        return picture

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind: another process opens its own."""
        return self.__dict__ | {"_frames": None, "_pass": None, "_last": None}

    def _opened(self) -> VideoFrames:
        if self._frames is None:
            frames = VideoFrames(self.path)
            self._first = first_frame(frames, self._from_s, self._rate_hz)
            if len(frames.pts) - self._first < self._count:
                raise SettingsError(
                    f"{self.path}: {len(frames.pts) - self._first} pictures from "
                    f"{self._from_s:g} s on, expected {self._count}, one a row"
                )
            self._frames = frames
        return self._frames


def first_frame(frames: VideoFrames, from_s: float, rate_hz: float) -> int:
    """Return the number of the frame at `from_s`; of a file's begin the first, whatever its time.

    Raises SettingsError if no frame is within half a period of it.
    """
    if from_s <= 0.0:
        return 0
    times = frames.times_s
    number = int(np.argmin(np.abs(times - from_s))) if len(times) else 0
    if not len(times) or abs(times[number] - from_s) > 0.5 / rate_hz:
        raise SettingsError(f"{frames.path}: no picture at {from_s:g} s, where an episode begins")
    return number


def _picture(frame: Any, size: tuple[int, int] | None, fit: str) -> NDArray[np.uint8]:
    """Return a frame as RGB, resized to `size` if it has another."""
    height, width = size or (frame.height, frame.width)
    if (frame.height, frame.width) == (height, width):
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    inner = inner_size(frame.height, frame.width, height, width) if fit == "pad" else size
    small = resized(frame, *(inner or (height, width)))
    picture = np.zeros((height, width, 3), np.uint8)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    picture[top : top + small.shape[0], left : left + small.shape[1]] = small
    return picture


def inner_size(height: int, width: int, into_height: int, into_width: int) -> tuple[int, int]:
    """Return (height, width) of a picture that is padded into another shape."""
    ratio = min(into_height / height, into_width / width)
    return (
        max(1, min(into_height, round(height * ratio))),
        max(1, min(into_width, round(width * ratio))),
    )


def resized(frame: Any, height: int, width: int) -> NDArray[np.uint8]:
    """Return PyAV's frame as (height, width, 3) RGB, each pixel the mean of what it covers."""
    small = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA")
    return np.asarray(small.to_ndarray(), np.uint8)
