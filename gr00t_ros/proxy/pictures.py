"""Pictures as JPEG between two proxies: the robot's compresses them, the server's restores them.

Everything else of a request stays to the byte. In the place of an array map of uint8 pictures,
(..., H, W, 3) RGB, the wire between the proxies has this map, its keys in this order::

    {"__gr00t_jpeg__": 1, "codec": "npy" | "msgpack_numpy", "shape": [..., H, W, 3], "type": "|u1",
     "quality": 1 .. 100, "jpeg": [bin, ...]}  # one JPEG for each H x W x 3, in C order

A request with such a map has the endpoint `COMPRESSED`. A server without the restoring proxy
answers that it does not know it, and so never takes the map for an observation.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import msgpack
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError, WireError
from gr00t_ros.wire import codec
from gr00t_ros.wire.arrays import NPY_KEY, ArrayCodec, array_prefix
from gr00t_ros.wire.envelope import Bytes, maps_that_begin, read_envelope
from gr00t_ros.wire.jpeg_header import BASELINE, MAX_PIXELS, check_one_scan, read_frame
from gr00t_ros.wire.messages import GET_ACTION

VERSION: Final = 1
COMPRESSED: Final = f"{GET_ACTION}_jpeg{VERSION}"
MARKER: Final = "__gr00t_jpeg__"
DEFAULT_QUALITY: Final = 90
QUALITIES: Final = (1, 100)
MEASURED_FIRST: Final = 10
MEASURED_EACH: Final = 500  # a measurement decodes the pictures, which doubles the time

_KEYS: Final = (MARKER, "codec", "shape", "type", "quality", "jpeg")
_MARKED: Final = msgpack.packb(MARKER)
_ARRAYS: Final[dict[bytes, ArrayCodec]] = {
    msgpack.packb(NPY_KEY): "npy",
    msgpack.packb(b"nd"): "msgpack_numpy",
}
_UINT8: Final = np.dtype(np.uint8)
_AXES: Final = (4, 5)  # (T, H, W, 3) of N1.5, (B, T, H, W, 3)
_MAX_PICTURES: Final = 256  # of one array
_MAX_REPLY_BYTES: Final = 65_536  # an error; larger replies are not searched for one

log = logging.getLogger(__name__)


@dataclass(slots=True)
class PictureCounts:
    """What was forwarded, and what JPEG changed: errors of colours, 0 to 255, where measured."""

    requests: int = 0
    pictures: int = 0
    plain_bytes: int = 0
    jpeg_bytes: int = 0
    measured: int = 0
    mean_error: float = 0.0
    largest_error: int = 0

    def __str__(self) -> str:
        """One line for a log."""
        ratio = self.plain_bytes / max(self.jpeg_bytes, 1)
        text = (
            f"{self.pictures} pictures in {self.requests} requests, "
            f"{self.plain_bytes} bytes as {self.jpeg_bytes} ({ratio:.1f} times less)"
        )
        if not self.measured:
            return text
        return (
            f"{text}; error of {self.measured} measured pictures: mean {self.mean_error:.2f}, "
            f"largest {self.largest_error} of 255"
        )

    def measure(self, pixels: NDArray[np.uint8], restored: NDArray[np.uint8]) -> None:
        """Count the error of one picture; both (h, w, 3) uint8, or of another equal shape."""
        import cv2

        apart = cv2.absdiff(pixels, restored)
        self.measured += 1
        self.mean_error += (float(apart.mean()) - self.mean_error) / self.measured
        self.largest_error = max(self.largest_error, int(apart.max()))


class PictureTranscoder(Protocol):
    """What a proxy does with the requests and replies that it forwards, and what it has done."""

    counts: PictureCounts

    def request(self, frame: Bytes) -> Bytes:
        """Return the request to forward, which `read_envelope` accepts; may raise `WireError`."""
        ...

    def reply(self, frame: Bytes) -> Bytes:
        """Return the reply for the client."""
        ...


class Compress:
    """Compresses the pictures of requests; the proxy at the robot."""

    def __init__(self, quality: int = DEFAULT_QUALITY) -> None:
        """quality: of the JPEGs, 1 to 100. Raises SettingsError for another, or without OpenCV."""
        if not QUALITIES[0] <= quality <= QUALITIES[1]:
            raise SettingsError(
                f"quality: got {quality}, expected {QUALITIES[0]} to {QUALITIES[1]}"
            )
        _need_opencv()
        self._quality = quality
        self.counts = PictureCounts()

    def request(self, frame: Bytes) -> Bytes:
        """Return the request with its pictures as JPEG; the same frame if that has no use."""
        envelope = read_envelope(frame)
        if envelope.endpoint != GET_ACTION:
            return frame
        smaller = {}
        measures = self._measures()
        for (start, end), key in maps_that_begin(envelope, _ARRAYS):
            pixels = _pictures_in(envelope.frame[start:end])
            if pixels is not None:
                new = self._compressed(pixels, _ARRAYS[key], measures)
                if len(new) < end - start:  # else it goes as it is
                    self.counts.pictures += math.prod(pixels.shape[:-3])
                    self.counts.plain_bytes += end - start
                    self.counts.jpeg_bytes += len(new)
                    smaller[start, end] = new
        if not smaller:
            return frame
        self.counts.requests += 1
        if measures:
            log.info("quality %d: %s", self._quality, self.counts)
        return envelope.with_endpoint(COMPRESSED, smaller)

    def reply(self, frame: Bytes) -> Bytes:
        """Return the reply; where the server does not know `COMPRESSED`, an error that says so."""
        if len(frame) > _MAX_REPLY_BYTES or COMPRESSED.encode() not in bytes(frame):
            return frame
        try:
            found = codec.decode(frame)
        except WireError:
            return frame  # the client says what is wrong with it
        if not (isinstance(found, dict) and isinstance(found.get("error"), str)):
            return frame
        text = (
            "request: the server does not understand compressed pictures: start gr00t sidecar "
            "restore of the same version before it, or connect without gr00t sidecar compress; "
            f"it answered: {found['error']:.200}"
        )
        return codec.encode({"error": text}, "npy")

    def _measures(self) -> bool:
        count = self.counts.requests
        return count < MEASURED_FIRST or count % MEASURED_EACH == 0

    def _compressed(
        self, pixels: NDArray[np.uint8], array_codec: ArrayCodec, measures: bool
    ) -> bytes:
        """Return the map for pictures (..., H, W, 3)."""
        jpegs = []
        for picture in pixels.reshape(-1, *pixels.shape[-3:]):
            jpegs.append(_encoded(picture, self._quality))
            if measures:
                self.counts.measure(picture, _decoded(jpegs[-1]))
        values = (VERSION, array_codec, pixels.shape, _UINT8.str, self._quality, jpegs)
        return bytes(msgpack.packb(dict(zip(_KEYS, values, strict=True))))


class Restore:
    """Restores the pictures of requests; the proxy at the server. Trusts nothing that it gets."""

    def __init__(self, max_bytes: int) -> None:
        """max_bytes: of the restored arrays of one request. Raises SettingsError without OpenCV."""
        _need_opencv()
        self._max_bytes = max_bytes
        self.counts = PictureCounts()

    def request(self, frame: Bytes) -> Bytes:
        """Return the plain request; raise `WireError` for anything that `Compress` does not make.

        All sizes are checked before the first picture is decoded.
        """
        envelope = read_envelope(frame)
        if envelope.endpoint != COMPRESSED:
            return frame
        arrays = {
            (start, end): _checked(envelope.frame[start:end])
            for (start, end), _ in maps_that_begin(envelope, (_MARKED,))
        }
        size = sum(math.prod(array.shape) for array in arrays.values())
        if size > self._max_bytes:
            raise WireError(
                f"request: pictures of {size} bytes, expected at most {self._max_bytes}"
            )
        plain = {place: array.restored() for place, array in arrays.items()}
        self.counts.requests += 1
        self.counts.pictures += sum(len(array.jpegs) for array in arrays.values())
        self.counts.plain_bytes += sum(map(len, plain.values()))
        self.counts.jpeg_bytes += sum(end - start for start, end in plain)
        if self.counts.requests == 1 or self.counts.requests % MEASURED_EACH == 0:
            log.info("%s", self.counts)
        return envelope.with_endpoint(GET_ACTION, plain)

    def reply(self, frame: Bytes) -> Bytes:
        """Return the reply as it is."""
        return frame


@dataclass(frozen=True, slots=True)
class _Compressed:
    """One array as JPEGs, whose headers have the array's size."""

    array_codec: ArrayCodec
    shape: tuple[int, ...]
    jpegs: tuple[bytes, ...]

    def restored(self) -> bytes:
        """Return the array as the map of its codec; raise `WireError` if a JPEG is unusable."""
        pixels = [_decoded(jpeg) for jpeg in self.jpegs]
        for one in pixels:
            if one.shape != self.shape[-3:]:
                raise WireError(f"request: JPEG decoded as {one.shape}, expected {self.shape}")
        head = array_prefix(_UINT8, self.shape, self.array_codec)
        return b"".join([head, *(one.data for one in pixels)])


def _checked(data: Bytes) -> _Compressed:
    """Read one map, and the headers of its JPEGs, without decoding a picture."""
    try:
        found = msgpack.unpackb(data, raw=False, max_array_len=_MAX_PICTURES)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"request: compressed pictures: {error}") from None
    if tuple(found) != _KEYS or found[MARKER] != VERSION or found["type"] != _UINT8.str:
        raise WireError(
            f"request: compressed pictures of another form, expected version {VERSION}: "
            "use the same version of gr00t_ros at the robot and at the server"
        )
    shape, jpegs = found["shape"], found["jpeg"]
    _check_shape(shape)
    if found["codec"] not in _ARRAYS.values():
        raise WireError(f"request: array codec {found['codec']!r:.80}, expected npy, msgpack_numpy")
    count = math.prod(shape[:-3])
    if not isinstance(jpegs, list) or len(jpegs) != count or count > _MAX_PICTURES:
        raise WireError(
            f"request: no list of {count} JPEGs for the shape {shape}, {_MAX_PICTURES} at most"
        )
    for jpeg in jpegs:
        if not isinstance(jpeg, bytes):
            raise WireError(f"request: a JPEG is {type(jpeg).__name__}, expected bytes")
        frame = read_frame(memoryview(jpeg))
        # Only what OpenCV writes: further scans can cost any amount of time.
        if frame != (BASELINE, *shape[-3:]):
            raise WireError(f"request: JPEG of {frame}, expected baseline of shape {shape}")
        check_one_scan(memoryview(jpeg))
    return _Compressed(found["codec"], tuple(shape), tuple(jpegs))


def _check_shape(shape: Any) -> None:
    is_list = isinstance(shape, list) and len(shape) in _AXES
    if not is_list or any(type(n) is not int or not 0 < n <= MAX_PIXELS for n in shape):
        raise WireError(f"request: shape {shape!r:.80} of pictures, expected (B, T, H, W, 3)")


def _pictures_in(data: Bytes) -> NDArray[np.uint8] | None:
    """Return an array map's pictures (..., H, W, 3); None for other arrays."""
    try:
        array = codec.decode(data)
    except WireError:
        return None  # the server says what is wrong with it
    if not isinstance(array, np.ndarray) or array.dtype != _UINT8 or array.ndim not in _AXES:
        return None
    height, width, colours = array.shape[-3:]
    fits = colours == 3 and 0 < height * width <= MAX_PIXELS and max(height, width) < 1 << 16
    count = math.prod(array.shape[:-3])
    return array if fits and 0 < count <= _MAX_PICTURES and array.flags.c_contiguous else None


def _encoded(picture: NDArray[np.uint8], quality: int) -> bytes:
    """Return RGB pixels (H, W, 3) as a baseline JPEG.

    Colours keep their full resolution (4:4:4): half of it (4:2:0) saves a third of the bytes, but
    its largest errors, at edges of colours, are four times as large (./dev bench jpeg's pictures).
    """
    import cv2

    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    try:
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality, *sampling))
    except cv2.error as error:
        raise WireError(f"request: OpenCV makes no JPEG of {picture.shape}: {error}") from None
    return jpeg.tobytes()


def _decoded(jpeg: bytes) -> NDArray[np.uint8]:
    """Return a JPEG, whose header was checked, as RGB pixels (H, W, 3)."""
    import cv2

    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flags)
    except cv2.error as error:
        raise WireError(f"request: OpenCV: {error}") from None
    if bgr is None:
        raise WireError("request: OpenCV decodes nothing of a JPEG")
    return cast("NDArray[np.uint8]", cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def _need_opencv() -> None:
    try:
        from cv2 import IMWRITE_JPEG_SAMPLING_FACTOR_444  # noqa: F401  # missing before 4.6
    except ImportError as error:
        raise SettingsError(
            f"pictures as JPEG need OpenCV 4.6 ({error}): pip install opencv-python-headless, or "
            "apt install python3-opencv"
        ) from None
