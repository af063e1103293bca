"""Camera messages of any known encoding -> RGB in the request's own (H, W, 3) slots.

OpenCV and numpy decode every encoding of the table, so that the result does not depend on what is
installed. Encodings that are not in the table go to cv_bridge if it can be imported. cv_bridge
copies frames twice and fails on numpy 2, so it is used for rare encodings only. 16 bit samples are
reduced to their high byte, because 16 bit images of sensor_msgs use the whole range.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs import cdr, compressed
from gr00t_ros.observe.observation import Observation
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.framing import Framing
from gr00t_ros.robot.streams import VideoStream
from gr00t_ros.wire.jpeg_header import MAX_PIXELS

Pixels = NDArray[np.uint8]

_JPEG_QUALITY = 95  # for people: a step of one level is not seen


def fill(
    pixels: Pixels,
    code: int | None,
    pixelwise: bool,
    slot: Pixels,
    fit: str,
    framing: Framing | None = None,
) -> None:
    """Write `pixels` (h, w[, C]) uint8 as RGB into `slot` (H, W, 3) uint8, resized by `fit`.

    `code` is the cv2 colour conversion to RGB, None for RGB. `pixelwise`: it may run after the
    resize, when fewer pixels have to be converted. `fit` "pad" keeps the aspect ratio and centres
    the image on black; "stretch" fills the slot. `framing` crops, rotates and flips the image.
    Raises ObservationError if OpenCV did not write into `slot`, or if the crop lies outside.
    """
    if framing is None:
        _into(pixels, code, pixelwise, _area(slot, pixels.shape[0], pixels.shape[1], fit))
        return
    if framing.crop is not None:
        if code is not None and not pixelwise:  # cropping a Bayer mosaic would shift its pattern
            pixels, code = np.asarray(cv2.cvtColor(pixels, code), np.uint8), None
        top, bottom, left, right = framing.crop.box(*pixels.shape[:2])
        pixels = pixels[top:bottom, left:right]
    height, width = pixels.shape[:2]
    if not framing.turns:
        _into(pixels, code, pixelwise, _area(slot, height, width, fit))
        return
    # Rotate and flip after the resize, when there are fewer pixels; the result is the same.
    shape = (width, height) if framing.on_its_side else (height, width)
    picture = _area(slot, *shape, fit)
    rows, columns = picture.shape[1::-1] if framing.on_its_side else picture.shape[:2]
    upright = np.empty((rows, columns, 3), np.uint8)
    _into(pixels, code, pixelwise, upright)
    np.copyto(picture, framing.turned(upright))


def _into(pixels: Pixels, code: int | None, pixelwise: bool, picture: Pixels) -> None:
    """Write `pixels` as RGB into the whole of `picture` (rows, columns, 3)."""
    if pixels.shape[:2] == picture.shape[:2]:
        _convert(pixels, code, picture)
    elif code is None:
        _resize(pixels, picture)
    elif pixelwise:
        small = np.empty((*picture.shape[:2], *pixels.shape[2:]), np.uint8)
        _resize(pixels, small)
        _convert(small, code, picture)
    else:
        _resize(np.asarray(cv2.cvtColor(pixels, code), np.uint8), picture)


def _area(slot: Pixels, height: int, width: int, fit: str) -> Pixels:
    """The part of the slot that the image fills; the bars around it are set to black."""
    if fit == "stretch":
        return slot
    slot_height, slot_width = slot.shape[:2]
    scale = min(slot_height / height, slot_width / width)
    rows = min(slot_height, max(1, round(height * scale)))
    columns = min(slot_width, max(1, round(width * scale)))
    top, left = (slot_height - rows) // 2, (slot_width - columns) // 2
    # The slot still holds the image of an earlier request, which may have had another shape.
    slot[:top] = slot[top + rows :] = 0
    slot[:, :left] = slot[:, left + columns :] = 0
    return slot[top : top + rows, left : left + columns]


def _resize(source: Pixels, target: Pixels) -> None:
    """Resize by area averaging if no side grows (avoids aliasing), else bilinearly."""
    shrinks = target.shape[0] <= source.shape[0] and target.shape[1] <= source.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    size = (target.shape[1], target.shape[0])
    _written(cv2.resize(source, size, dst=target, interpolation=interpolation), target)


def _convert(source: Pixels, code: int | None, target: Pixels) -> None:
    if code is None:
        np.copyto(target, source)
    else:
        _written(cv2.cvtColor(source, code, dst=target), target)


def _written(result: cv2.typing.MatLike, target: Pixels) -> None:
    """Check that OpenCV wrote to `dst`: with another shape or dtype it allocates silently."""
    if result is not target:
        raise ObservationError(
            f"OpenCV made {result.shape} {result.dtype} instead of writing into the slot of "
            f"{target.shape} {target.dtype}"
        )


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How an encoding is converted to RGB: cv2 code, and whether pixel by pixel."""

    bytes_per_pixel: int
    code: int | None
    pixelwise: bool = True
    even_width: bool = False
    least_px: int = 1
    light: tuple[int, int] = (0, 3)  # channels [first, end) that carry the brightness
    black: int = 0  # their value for black
    deep: bool = False  # 16 bits per sample, of which the high byte is used
    chroma_rows: float = 0.0  # chroma rows of `step` bytes behind the luma plane, per image row


_UYVY = _Encoding(
    2,
    cv2.COLOR_YUV2RGB_UYVY,
    pixelwise=False,
    even_width=True,
    light=(1, 2),
    black=16,  # ITU-R BT.601
)
_YUYV = replace(_UYVY, code=cv2.COLOR_YUV2RGB_YUYV, light=(0, 1))
_MONO = _Encoding(1, cv2.COLOR_GRAY2RGB)


def _bayer(code: int) -> _Encoding:
    return _Encoding(1, code, pixelwise=False, least_px=3)  # OpenCV makes smaller images black


def _deep(encoding: _Encoding) -> _Encoding:
    return replace(encoding, bytes_per_pixel=2 * encoding.bytes_per_pixel, deep=True)


def _planes(code: int | None, chroma_rows: float) -> _Encoding:
    """A luma plane, followed by a plane of interleaved chroma pairs."""
    return _Encoding(1, code, pixelwise=False, even_width=True, black=16, chroma_rows=chroma_rows)


_COLOUR = {
    "rgb": _Encoding(3, None),
    "bgr": _Encoding(3, cv2.COLOR_BGR2RGB),
    "rgba": _Encoding(4, cv2.COLOR_RGBA2RGB),
    "bgra": _Encoding(4, cv2.COLOR_BGRA2RGB),
    "mono": _MONO,
    # ROS names a mosaic by its top left pixels, OpenCV by the pixels at (1, 1) and (1, 2).
    "bayer_rggb": _bayer(cv2.COLOR_BayerBG2RGB),
    "bayer_bggr": _bayer(cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg": _bayer(cv2.COLOR_BayerGR2RGB),
    "bayer_grbg": _bayer(cv2.COLOR_BayerGB2RGB),
}

IMAGE_ENCODINGS: Mapping[str, _Encoding] = {
    **{f"{name}8": encoding for name, encoding in _COLOUR.items()},
    **{f"{name}16": _deep(encoding) for name, encoding in _COLOUR.items()},
    "8UC1": _MONO,
    "uyvy": _UYVY,
    "yuv422": _UYVY,
    "yuv422_uyvy": _UYVY,
    "yuyv": _YUYV,
    "yuv422_yuy2": _YUYV,
    "nv12": _planes(cv2.COLOR_YUV2RGB_NV12, 0.5),
    "nv21": _planes(cv2.COLOR_YUV2RGB_NV21, 0.5),
    "nv24": _planes(None, 2.0),
}
"""Names of sensor_msgs/image_encodings.hpp, and nv12. OpenCV's types 8UC3, 8UC4, 16UC1 and 32FC1
are left out on purpose: they define no colour order, or no range of brightness."""

# ITU-R BT.601-7, 2.5.3, 8 bits: Y 16 to 235 and U, V 16 to 240 around 128 to RGB 0 to 255.
_BT601 = np.array(
    [
        [255 / 219, 0.0, 1.402 * 255 / 224],
        [255 / 219, -0.114 * 1.772 / 0.587 * 255 / 224, -0.299 * 1.402 / 0.587 * 255 / 224],
        [255 / 219, 1.772 * 255 / 224, 0.0],
    ]
)
_YUV_TO_RGB = np.column_stack([_BT601, -_BT601 @ [16.0, 128.0, 128.0]])

_OPENCV_TYPE = re.compile(r"(?:8|16|32|64)[USF]C(\d*)")


_LEVEL_PIXELS = 20_000
"""About this many pixels are sampled to decide whether an image is dark."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A camera message whose header was parsed and checked once; its arrays are views.

    The views keep the message's bytes alive. `pixels` (h, w[, C]) uint8 are the samples of an
    encoding of the table; None for a compressed image and for an encoding that needs cv_bridge.
    """

    view: cdr.ImageView | cdr.CompressedView
    size_px: tuple[int, int]  # height, width
    pixels: NDArray[np.uint8] | None = None

    @property
    def stamp_ns(self) -> int:
        """The header's stamp."""
        return self.view.stamp_ns

    @property
    def data(self) -> NDArray[np.uint8]:
        """(N,) uint8: the image data as sent, without header and layout fields."""
        return self.view.data


def read(raw: bytes, transport: str) -> Frame:
    """Parse a serialised Image or CompressedImage; ObservationError if it cannot be decoded.

    Reads headers only, so that every frame can be checked although few are decoded.
    """
    if transport == "compressed":
        packed = cdr.compressed_image(raw)
        return Frame(packed, compressed.size(packed))
    view = cdr.image(raw)
    size_px = view.height_px, view.width_px
    if view.encoding in IMAGE_ENCODINGS:
        return Frame(view, size_px, _pixels(view, IMAGE_ENCODINGS[view.encoding]))
    _check_foreign(view)
    return Frame(view, size_px)


def level(frame: Frame) -> float | None:
    """Mean brightness of a frame, 0 to 255, from a sample of its pixels.

    None for a PNG and for an encoding that needs cv_bridge. A JPEG is decoded at 1/8 of its size,
    which is cheap; PNG has no such mode. Raises ObservationError for a JPEG that cannot be decoded.
    """
    view, pixels = frame.view, frame.pixels
    if isinstance(view, cdr.CompressedView):
        return compressed.level(view)
    if pixels is None:
        return None
    encoding = IMAGE_ENCODINGS[view.encoding]
    every = max(1, round(pixels.shape[0] * pixels.shape[1] / _LEVEL_PIXELS))
    sample = pixels[::every]  # whole rows: sampling columns as well would cost more
    first, end = encoding.light
    if pixels.ndim == 3 and (first, end) == (0, pixels.shape[2]):
        # All channels carry brightness: the mean over one flat channel takes 1/15 of the time.
        sample = sample.reshape(len(sample), -1)
    light = cv2.mean(sample)[first:end] if sample.ndim == 3 else cv2.mean(sample)[:1]
    return max(0.0, sum(light) / len(light) - encoding.black)


def decode_into(frame: Frame, stream: VideoStream, slot: NDArray[np.uint8]) -> None:
    """Decode a frame into `slot`, (height_px, width_px, 3) uint8 RGB.

    Raises ObservationError if data and slot do not fit; the content of the slot is then undefined.
    Called by the worker thread; OpenCV releases the GIL.
    """
    expected = (stream.height_px, stream.width_px, 3)
    if slot.shape != expected or slot.dtype != np.uint8:
        raise ObservationError(
            f"video.{stream.key}: slot is {slot.shape} {slot.dtype}, expected {expected} uint8"
        )
    try:
        pixels, code, pixelwise = _picture(frame)
        fill(pixels, code, pixelwise, slot, stream.fit, stream.framing)
    except ObservationError as error:
        raise ObservationError(f"video.{stream.key}: {error}") from None
    except cv2.error as error:
        raise ObservationError(f"video.{stream.key}: OpenCV refused the frame: {error}") from None


def decode_video(
    embodiment: Embodiment, observation: Observation, slots: Mapping[str, NDArray[np.uint8]]
) -> None:
    """Decode an observation's frames into `slots[key]`, (1, T, H, W, 3) uint8 views of a request.

    Raises ObservationError with the stream's name; the request must then not be sent.
    """
    for stream in embodiment.video:
        for step, sample in enumerate(observation.video[stream.key]):
            assert isinstance(sample.value, Frame)  # PictureReader returns Frames
            decode_into(sample.value, stream, slots[stream.key][0, step])


def _picture(frame: Frame) -> tuple[NDArray[np.uint8], int | None, bool]:
    """Pixels (h, w[, C]) uint8, the cv2 code that converts them to RGB, and `pixelwise`."""
    view, pixels = frame.view, frame.pixels
    if isinstance(view, cdr.CompressedView):
        return *compressed.decode(view, frame.size_px), True
    if pixels is None:
        return _foreign(view), None, True
    encoding = IMAGE_ENCODINGS[view.encoding]
    if encoding.chroma_rows:
        return _from_planes(view, encoding), None, True
    if encoding.deep:  # a view of every second byte, which OpenCV cannot read
        pixels = np.ascontiguousarray(pixels)
    return pixels, encoding.code, encoding.pixelwise


def _pixels(view: cdr.ImageView, encoding: _Encoding) -> NDArray[np.uint8]:
    """The message's pixels (h, w[, C]) uint8, a view without the padding of `step`.

    For 16 bit samples the high bytes; for planar encodings the luma plane.
    """
    _check_size(view, encoding)
    height, width = view.height_px, view.width_px
    rows = view.data[: height * view.step].reshape(height, view.step)
    rows = rows[:, : width * encoding.bytes_per_pixel]
    channels = encoding.bytes_per_pixel
    if encoding.deep:
        rows, channels = rows[:, 0 if view.big_endian else 1 :: 2], channels // 2
    return rows if channels == 1 else rows.reshape(height, width, channels)


def _from_planes(view: cdr.ImageView, encoding: _Encoding) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB from a luma plane and its chroma pairs."""
    height, width, step = view.height_px, view.width_px, view.step
    if encoding.code is not None:
        planes = view.data.reshape(height + height // 2, step)[:, :width]
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(planes), encoding.code), np.uint8)
    luma = view.data[: height * step].reshape(height, step)[:, :width]
    pairs = view.data[height * step :].reshape(height, 2 * step)[:, : 2 * width]
    yuv = np.dstack([luma, pairs.reshape(height, width, 2)])
    return np.asarray(cv2.transform(yuv, _YUV_TO_RGB), np.uint8)


@functools.cache
def _bridge() -> Any | None:
    """cv_bridge's CvBridge, None if it cannot be imported."""
    try:
        return importlib.import_module("cv_bridge").CvBridge()
    except Exception:  # ImportError; on numpy 2 also AttributeError from its compiled part
        return None


def _check_foreign(view: cdr.ImageView) -> None:
    """Refuse an encoding that neither the table nor cv_bridge can decode, with a remedy."""
    opencv = _OPENCV_TYPE.fullmatch(view.encoding)
    if opencv:
        why = (
            "says no range of brightness (depth, perhaps): set the driver's output to mono8 or rgb8"
            if opencv[1] in ("", "1")
            else "says no order of colours: let its publisher name it, rgb8 or bgr8 for 8UC3"
        )
        raise ObservationError(f"Image encoding {view.encoding!r} {why}")
    bridge = _bridge()
    try:
        if bridge is None:
            raise LookupError
        bridge.encoding_to_cvtype2(view.encoding)
    except Exception:  # CvBridgeError, which only cv_bridge defines
        beyond = "" if bridge is None else ", nor one that cv_bridge knows"
        raise ObservationError(
            f"Image encoding {view.encoding!r} is not one of {', '.join(IMAGE_ENCODINGS)}{beyond}: "
            "set the driver's output to rgb8"
        ) from None
    _check_size(view, _Encoding(1, None))


def _foreign(view: cdr.ImageView) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB of an encoding that only cv_bridge knows."""
    message = Image(
        height=view.height_px,
        width=view.width_px,
        encoding=view.encoding,
        is_bigendian=int(view.big_endian),
        step=view.step,
    )
    message.data.frombytes(view.data.tobytes())
    bridge = _bridge()
    assert bridge is not None  # `read` has checked that
    try:
        pixels = np.ascontiguousarray(bridge.imgmsg_to_cv2(message, "rgb8"))
    except Exception as error:
        raise ObservationError(
            f"Image encoding {view.encoding!r}: cv_bridge cannot make it rgb8 ({error}): set the "
            "driver's output to rgb8"
        ) from None
    expected = (view.height_px, view.width_px, 3)
    if pixels.shape != expected or pixels.dtype != np.uint8:
        raise ObservationError(
            f"Image encoding {view.encoding!r}: cv_bridge made {pixels.shape} {pixels.dtype}, "
            f"expected {expected} uint8"
        )
    return pixels


def _check_size(view: cdr.ImageView, encoding: _Encoding) -> None:
    height, width = view.height_px, view.width_px
    shape = f"Image of {height}x{width} {view.encoding}"
    if not encoding.least_px <= min(height, width) or height * width > MAX_PIXELS:
        raise ObservationError(
            f"{shape}: expected at least {encoding.least_px} pixels a side and at most "
            f"{MAX_PIXELS} in all"
        )
    if encoding.even_width and width % 2:
        raise ObservationError(f"{shape}: expected an even width, two pixels share their colour")
    if encoding.chroma_rows < 1.0 and encoding.chroma_rows and height % 2:
        raise ObservationError(f"{shape}: expected an even height, two rows share their colour")
    if view.step < width * encoding.bytes_per_pixel:
        raise ObservationError(
            f"{shape}: step is {view.step} bytes, expected at least "
            f"{width * encoding.bytes_per_pixel}"
        )
    size = round(height * (1.0 + encoding.chroma_rows)) * view.step
    if view.data.size != size:
        planes = f" * (1 + {encoding.chroma_rows:g})" if encoding.chroma_rows else ""
        raise ObservationError(
            f"{shape}: data has {view.data.size} bytes, expected height * step{planes} = {size}"
        )


def to_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG. Raises ObservationError if OpenCV does not make one."""
    turned = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", turned, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise ObservationError(f"OpenCV made no JPEG of a picture {pixels.shape}")
    return bytes(data)
