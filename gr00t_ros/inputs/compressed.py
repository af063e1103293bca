"""JPEG and PNG payloads -> pixels; their headers are checked before anything is decoded."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ObservationError, WireError
from gr00t_ros.inputs.cdr import CompressedView
from gr00t_ros.wire.jpeg_header import MAX_PIXELS, START, TAIL_BYTES, read_frame

_PNG = b"\x89PNG\r\n\x1a\n"


def size(view: CompressedView) -> tuple[int, int]:
    """(height, width) in pixels from the payload's header; ObservationError if it is unusable.

    Refused with the reason: other formats, 16 bit, CMYK, depth, Bayer mosaics, truncated data,
    more than MAX_PIXELS.
    """
    _check_format(view.format)
    head = view.data[: len(_PNG)].tobytes()
    if head.startswith(START):
        try:
            _, height, width, _ = read_frame(view.data.data)
        except WireError as error:
            raise _refused(view, str(error)) from None
    elif head == _PNG:
        height, width = _png_size(view.data)
    else:
        raise _refused(view, f"payload starts with {head.hex() or 'nothing'}, no JPEG or PNG")
    if not 0 < height * width <= MAX_PIXELS:
        raise _refused(view, f"{height}x{width} pixels, expected 1 to {MAX_PIXELS}")
    return height, width


def decode(view: CompressedView, size_px: tuple[int, int]) -> tuple[NDArray[np.uint8], int | None]:
    """Pixels (h, w, 3) uint8 and the cv2 code that converts them to RGB, None if they are RGB.

    `size_px` is the result of `size`; an image of another size is refused. EXIF orientation is
    ignored: the embodiment file describes how the camera is mounted.
    """
    height, width = size_px
    try:
        pixels = cv2.imdecode(view.data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise _refused(view, f"OpenCV: {error}") from None
    if pixels is None or pixels.shape != (height, width, 3):
        got = "nothing" if pixels is None else str(pixels.shape)
        raise _refused(view, f"OpenCV decoded {got}, the header says {(height, width, 3)}")
    # compressed_image_transport: "compressed rgb8" was encoded with red and blue exchanged.
    swapped = "compressed rgb" in view.format
    return np.asarray(pixels, np.uint8), None if swapped else cv2.COLOR_BGR2RGB


def level(view: CompressedView) -> float | None:
    """Mean brightness of a JPEG, 0 to 255, decoded at 1/8 of its size; None for other formats.

    Raises ObservationError for a JPEG that cannot be decoded.
    """
    if not view.data[: len(START)].tobytes().startswith(START):
        return None
    try:
        pixels = cv2.imdecode(view.data, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    except cv2.error as error:
        raise _refused(view, f"OpenCV: {error}") from None
    if pixels is None:
        raise _refused(view, "OpenCV decoded nothing")
    return float(pixels.mean())


def _check_format(text: str) -> None:
    """Refuse values of CompressedImage.format that do not describe a colour image."""
    mosaic = text.startswith("bayer") and "compressed bgr" not in text
    if mosaic or "compressedDepth" in text:
        kind = "a Bayer mosaic" if mosaic else "depth"
        raise ObservationError(
            f"CompressedImage format {text!r} is {kind}, expected a JPEG or PNG picture"
        )


def _refused(view: CompressedView, why: str) -> ObservationError:
    return ObservationError(
        f"CompressedImage format {view.format!r}, {view.data.size} bytes: {why}"
    )


def _png_size(data: NDArray[np.uint8]) -> tuple[int, int]:
    """Read IHDR (PNG specification 11.2.2), which is the first chunk."""
    header = data[8:33].tobytes()
    if len(header) < 25 or header[4:8] != b"IHDR" or b"IEND" not in data[-TAIL_BYTES:].tobytes():
        raise ObservationError(f"PNG of {data.size} bytes lacks its header or end: truncated")
    if header[16] > 8:
        raise ObservationError(f"PNG of {header[16]} bits a sample, expected at most 8")
    return int.from_bytes(header[12:16], "big"), int.from_bytes(header[8:12], "big")
