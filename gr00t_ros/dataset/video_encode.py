"""Encodes the pictures of one camera as a video file, through PyAV: H.264 or AV1 in MP4.

Frame i is picture i, at i periods from 0, at a constant rate. Frames are never reordered, each file
is encoded on one thread, and the file has no date, so that the same pictures give the same
frames within 2 of 255 levels (x264 was seen to code a block of one picture in two ways).
`join` appends files of one camera to one file without encoding them again.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError

_OPTIONS: Final = {"fflags": "+bitexact"}
_TICKS: Final = 1024  # of the file's time base in one frame


@dataclass(frozen=True, slots=True)
class Codec:
    """encoder: its name in FFmpeg. odd: the pixel format for a side that is an odd number."""

    encoder: str
    options: Mapping[str, str]
    odd: str = ""


CODECS: Mapping[str, Codec] = {
    # A frame needs at most the one before it (g 2): training reads single rows.
    "h264": Codec(
        "libx264",
        {"preset": "medium", "crf": "18", "g": "2", "bf": "0"},
        "yuv444p",
    ),
    "av1": Codec(
        "libsvtav1",
        {"preset": "12", "crf": "30", "g": "2", "svtav1-params": "lp=1"},
    ),
}
"""The values of --codec."""


def encode(
    path: Path, pictures: Iterable[NDArray[np.uint8]], rate_hz: float, codec: str = "h264"
) -> int:
    """Write (H, W, 3) RGB pictures of one size to an MP4 file; returns their number.

    Raises SettingsError if PyAV or the encoder is missing, the pictures differ in size, the file
    cannot be written, or if its frames are not one for each picture at a constant rate.
    """
    chosen = CODECS[codec]
    count, size = 0, (0, 0, 0)
    with _writing(path) as container:
        stream: Any = None
        for picture in pictures:
            if stream is None:
                size = picture.shape
                stream = _stream(container, path, chosen, picture.shape, rate_hz)
            if picture.shape != size:
                raise SettingsError(f"{path}: picture {count} is {picture.shape}, before {size}")
            container.mux(_packets(stream, picture, count))
            count += 1
        if stream is None:
            raise SettingsError(f"{path}: got no picture")
        container.mux(_ended(stream))
    refuse_uneven(path, count, rate_hz)
    return count


def refuse_uneven(path: Path, count: int, rate_hz: float) -> None:
    """Raise SettingsError unless the file has `count` frames at i periods from 0."""
    times, base = frame_times(path)
    expected = np.arange(count, dtype=np.float64) / rate_hz
    if len(times) != count:
        raise SettingsError(f"{path}: {len(times)} frames were encoded of {count} pictures")
    off = np.abs(np.array(times, np.float64) * float(base) - expected)
    if count and off.max() > 1e-6 * max(1.0, expected[-1]):
        frame = int(off.argmax())
        raise SettingsError(
            f"{path}: frame {frame} is at {times[frame] * float(base):.6f} s, expected "
            f"{expected[frame]:.6f} s"
        )


def frame_times(path: Path) -> tuple[list[int], Fraction]:
    """The time of each frame of the file in units of its time base, in ascending order."""
    av = _av(path)
    try:
        with av.open(str(path), format="mp4") as container:
            stream = container.streams.video[0]
            times = [p.pts for p in container.demux(stream) if p.pts is not None and p.size]
            return sorted(times), stream.time_base
    except (av.FFmpegError, OSError, IndexError) as error:
        raise SettingsError(f"{path}: cannot be read as a video: {error}") from error


def join(path: Path, parts: Sequence[Path]) -> None:
    """Write the videos of `parts`, encoded alike, to one file, one after the other.

    Raises SettingsError if a file cannot be read or written.
    """
    av = _av(path)
    with _writing(path) as container:
        stream: Any = None
        begin = 0
        for part in parts:
            with av.open(str(part), format="mp4") as source:
                read = source.streams.video[0]
                if stream is None:
                    stream = container.add_stream_from_template(read, opaque=True)
                    stream.time_base = read.time_base
                ticks, count = _ticks(read), 0
                for packet in source.demux(read):
                    if packet.pts is None or not packet.size:
                        continue
                    packet.pts, packet.dts = packet.pts + begin, packet.dts + begin
                    packet.stream = stream
                    container.mux(packet)
                    count += 1
                begin += count * ticks


def _ticks(stream: Any) -> int:
    """Units of the file's time base in one frame."""
    return int(round(1 / (stream.average_rate * stream.time_base)))


def _stream(
    container: Any, path: Path, codec: Codec, shape: tuple[int, ...], rate_hz: float
) -> Any:
    height, width, _ = shape
    rate = as_rate(rate_hz)
    odd = bool(height % 2 or width % 2)
    if odd and not codec.odd:
        raise SettingsError(
            f"{path}: {height}x{width} pixels, {codec.encoder} needs even numbers: use h264"
        )
    av = _av(path)
    os.environ.setdefault("SVT_LOG", "1")  # errors only: it prints its settings otherwise
    try:
        stream = container.add_stream(codec.encoder, rate=rate, options=dict(codec.options))
    except (av.FFmpegError, ValueError) as error:
        raise SettingsError(
            f"{path}: this build of PyAV has no {codec.encoder} ({error}): pip install av"
        ) from error
    stream.height, stream.width = height, width
    stream.pix_fmt = codec.odd if odd else "yuv420p"
    stream.codec_context.time_base = 1 / rate
    stream.codec_context.thread_count = 1
    stream.time_base = 1 / (rate * _TICKS)
    return stream


def _packets(stream: Any, picture: NDArray[np.uint8], number: int) -> list[Any]:
    from av import VideoFrame

    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame.pts, frame.time_base = number, stream.codec_context.time_base
    with _ordinary_scheduling():
        return list(stream.encode(frame))


def _ended(stream: Any) -> list[Any]:
    with _ordinary_scheduling():
        return list(stream.encode())


@contextmanager
def _ordinary_scheduling() -> Iterator[None]:
    """Take back the real-time scheduling that threads of this process got in the block.

    Where it may, as root, SVT-AV1 gives SCHED_FIFO 99 to its threads and to the one that calls it,
    which keeps it. A robot's node on the same machine would get no processor.

    The calling thread gets its own back through glibc, which notes what pthread_setschedparam has
    set. New threads inherit the note, and Fast DDS and libzmq set it in each thread that they
    start: after os.sched_setscheduler alone they would run at SCHED_FIFO 99 all the same.
    """
    if sys.platform != "linux":
        yield
        return
    before, own = _realtime_threads(), _Scheduling()
    try:
        yield
    finally:
        own.restore()
        for thread in _realtime_threads() - before - {threading.get_native_id()}:
            with suppress(ProcessLookupError):  # it has ended
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


class _Scheduling:
    """The scheduling of the calling thread, as glibc notes it."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._policy, self._priority = ctypes.c_int(), ctypes.c_int()  # all of struct sched_param
        get, self._set = library.pthread_getschedparam, library.pthread_setschedparam
        get.argtypes = (ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p)
        self._set.argtypes = (ctypes.c_ulong, ctypes.c_int, ctypes.c_void_p)
        get(threading.get_ident(), ctypes.byref(self._policy), ctypes.byref(self._priority))

    def restore(self) -> None:
        """Set it again, in the kernel and in the note."""
        self._set(threading.get_ident(), self._policy, ctypes.byref(self._priority))


def _realtime_threads() -> set[int]:
    """The threads of this process with SCHED_FIFO or SCHED_RR; none where Linux' /proc is not."""
    found = set()
    for thread in Path("/proc/self/task").glob("*"):
        with suppress(ProcessLookupError):
            if os.sched_getscheduler(int(thread.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                found.add(int(thread.name))
    return found


@contextmanager
def _writing(path: Path) -> Iterator[Any]:
    """An MP4 file that is open for writing; failures become a SettingsError that names it."""
    av = _av(path)
    try:
        with av.open(str(path), "w", format="mp4", options=dict(_OPTIONS)) as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        raise SettingsError(f"{path}: cannot be written: {error}") from error


def as_rate(rate_hz: float) -> Fraction:
    """The rate as the fraction that video files hold."""
    return Fraction(rate_hz).limit_denominator(1001)


def _av(path: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise SettingsError(f"{path}: videos need PyAV: pip install av") from error
    return av
