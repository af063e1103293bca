"""Camera messages of any known encoding -> RGB in the request's own image slots.

OpenCV and numpy decode everything. cv_bridge is not used even where it is installed: it cannot
write into a slot (two frame-sized copies more), fails to import on numpy 2, and the build of it
on PyPI returns wrong pixels for a padded step; one decoder that is tested here beats two.
Refuses to know topics, ages and which frame to take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.embodiment import Embodiment, VideoStream
from gr00t_ros.core.errors import ObservationError
from gr00t_ros.core.observation import Observation
from gr00t_ros.ros import cdr, compressed
from gr00t_ros.ros.resize import fill


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How an encoding's bytes become RGB: cv2 code, and whether pixel by pixel."""

    bytes_per_pixel: int
    code: int | None
    pixelwise: bool = True
    even_width: bool = False
    least_px: int = 1
    light: tuple[int, int] = (0, 3)  # the channels, from and up to, that tell how bright it is
    black: int = 0  # their value where it is not


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
    return _Encoding(1, code, pixelwise=False, least_px=3)  # OpenCV leaves smaller ones black


# Names of sensor_msgs/image_encodings.hpp. 8UC3 is missing on purpose: it has no colour order.
# ROS names a mosaic by its top left pixels, OpenCV's classic constants by those at (1, 1), (1, 2).
ENCODINGS: Mapping[str, _Encoding] = {
    "rgb8": _Encoding(3, None),
    "bgr8": _Encoding(3, cv2.COLOR_BGR2RGB),
    "rgba8": _Encoding(4, cv2.COLOR_RGBA2RGB),
    "bgra8": _Encoding(4, cv2.COLOR_BGRA2RGB),
    "mono8": _MONO,
    "8UC1": _MONO,
    "uyvy": _UYVY,
    "yuv422": _UYVY,
    "yuv422_uyvy": _UYVY,
    "yuyv": _YUYV,
    "yuv422_yuy2": _YUYV,
    "bayer_rggb8": _bayer(cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": _bayer(cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": _bayer(cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": _bayer(cv2.COLOR_BayerGB2RGB),
}


_LEVEL_PIXELS = 20_000
"""About as many pixels tell whether a picture is dark."""


def check(raw: bytes, transport: str) -> tuple[int, tuple[int, int]]:
    """Stamp (ns), height and width of a serialised frame; ObservationError if it cannot be decoded.

    Looks at headers only, so that every frame can be checked though few are decoded.
    """
    if transport == "compressed":
        packed = cdr.compressed_image(raw)
        return packed.stamp_ns, compressed.size(packed)
    view = cdr.image(raw)
    _pixels(view)
    return view.stamp_ns, (view.height_px, view.width_px)


def payload(raw: bytes, transport: str) -> NDArray[np.uint8]:
    """(N,) uint8 view of a serialised frame's pixels as sent: all but its header and layout."""
    return (cdr.compressed_image(raw) if transport == "compressed" else cdr.image(raw)).data


def level(raw: bytes, transport: str) -> float | None:
    """Mean level of a serialised frame, 0 to 255, from a sample of its pixels; None for a PNG.

    A JPEG is decoded at an eighth of its size, which its format makes cheap; a PNG's does not.
    Raises ObservationError where convert.check would, and for a JPEG that cannot be decoded.
    """
    if transport == "compressed":
        return compressed.level(cdr.compressed_image(raw))
    pixels, encoding = _pixels(cdr.image(raw))
    every = max(1, round((pixels.shape[0] * pixels.shape[1] / _LEVEL_PIXELS) ** 0.5))
    sample = pixels[::every, ::every]
    light = sample if sample.ndim == 2 else sample[..., slice(*encoding.light)]
    return max(0.0, float(light.mean()) - encoding.black)


def decode_into(raw: bytes, stream: VideoStream, slot: NDArray[np.uint8]) -> None:
    """Decode a serialised Image or CompressedImage into `slot`, (height_px, width_px, 3) uint8 RGB.

    Raises ObservationError for encodings, sizes and bytes that cannot be decoded; what the slot
    then holds is undefined. Called by the worker thread; OpenCV releases the GIL.
    """
    expected = (stream.height_px, stream.width_px, 3)
    if slot.shape != expected or slot.dtype != np.uint8:
        raise ObservationError(
            f"video.{stream.key}: slot is {slot.shape} {slot.dtype}, expected {expected} uint8"
        )
    try:
        if stream.transport == "compressed":
            pixels, code = compressed.decode(cdr.compressed_image(raw))
            fill(pixels, code, True, slot, stream.fit, stream.framing)
        else:
            pixels, encoding = _pixels(cdr.image(raw))
            fill(pixels, encoding.code, encoding.pixelwise, slot, stream.fit, stream.framing)
    except ObservationError as error:
        raise ObservationError(f"video.{stream.key}: {error}") from None
    except cv2.error as error:
        raise ObservationError(f"video.{stream.key}: OpenCV refused the frame: {error}") from None


def decode_video(
    embodiment: Embodiment, observation: Observation, slots: Mapping[str, NDArray[np.uint8]]
) -> None:
    """Decode an observation's frames into `slots[key]`, (1, T, H, W, 3) uint8 views of a request.

    Raises ObservationError naming the stream; the request must then not be sent.
    """
    for stream in embodiment.video:
        for step, sample in enumerate(observation.video[stream.key]):
            decode_into(sample.value, stream, slots[stream.key][0, step])


def _pixels(view: cdr.ImageView) -> tuple[NDArray[np.uint8], _Encoding]:
    """The message's pixels (h, w[, C]) uint8, a view without the padding of `step`."""
    encoding = ENCODINGS.get(view.encoding)
    if encoding is None:
        known = ", ".join(ENCODINGS)
        raise ObservationError(f"Image encoding {view.encoding!r} is not one of {known}")
    _check_size(view, encoding)
    row = view.width_px * encoding.bytes_per_pixel
    rows = view.data.reshape(view.height_px, view.step)[:, :row]
    if encoding.bytes_per_pixel == 1:
        return rows, encoding
    return rows.reshape(view.height_px, view.width_px, encoding.bytes_per_pixel), encoding


def _check_size(view: cdr.ImageView, encoding: _Encoding) -> None:
    height, width = view.height_px, view.width_px
    shape = f"Image of {height}x{width} {view.encoding}"
    if not encoding.least_px <= min(height, width) or height * width > compressed.MAX_PIXELS:
        raise ObservationError(
            f"{shape}: expected at least {encoding.least_px} pixels a side and at most "
            f"{compressed.MAX_PIXELS} in all"
        )
    if encoding.even_width and width % 2:
        raise ObservationError(f"{shape}: expected an even width, two pixels share their colour")
    if view.step < width * encoding.bytes_per_pixel:
        raise ObservationError(
            f"{shape}: step is {view.step} bytes, expected at least "
            f"{width * encoding.bytes_per_pixel}"
        )
    if view.data.size != height * view.step:
        raise ObservationError(
            f"{shape}: data has {view.data.size} bytes, expected height * step = "
            f"{height * view.step}"
        )
