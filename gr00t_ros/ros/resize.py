"""Pixels of any size -> the (H, W, 3) RGB slot of a request, in place; refuses to know messages."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.errors import ObservationError
from gr00t_ros.core.framing import Framing

Pixels = NDArray[np.uint8]


def fill(
    pixels: Pixels,
    code: int | None,
    pixelwise: bool,
    slot: Pixels,
    fit: str,
    framing: Framing | None = None,
) -> None:
    """Write `pixels` (h, w[, C]) uint8 as RGB into `slot` (H, W, 3) uint8, resized as `fit` says.

    `code` is the cv2 colour conversion to RGB, None for RGB; `pixelwise` says whether it may run
    after the resize, where there are fewer pixels to convert. `fit` "pad" keeps the aspect,
    centred on black; "stretch" fills the slot. `framing` is applied before the resize: crop,
    rotate, flip. Raises ObservationError if OpenCV wrote elsewhere, or the crop lies outside.
    """
    if framing is None:
        _into(pixels, code, pixelwise, _picture(slot, pixels.shape[0], pixels.shape[1], fit))
        return
    if framing.crop is not None:
        if code is not None and not pixelwise:  # a mosaic cut anywhere is another mosaic
            pixels, code = cv2.cvtColor(pixels, code), None
        top, bottom, left, right = framing.crop.box(*pixels.shape[:2])
        pixels = pixels[top:bottom, left:right]
    height, width = pixels.shape[:2]
    if not framing.turns:
        _into(pixels, code, pixelwise, _picture(slot, height, width, fit))
        return
    # Turned last, when there are fewer pixels: resizing does not mind which way up they are.
    shape = (width, height) if framing.on_its_side else (height, width)
    picture = _picture(slot, *shape, fit)
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
        _resize(cv2.cvtColor(pixels, code), picture)


def _picture(slot: Pixels, height: int, width: int, fit: str) -> Pixels:
    """The part of the slot that the picture fills; the bars around it are made black."""
    if fit == "stretch":
        return slot
    slot_height, slot_width = slot.shape[:2]
    scale = min(slot_height / height, slot_width / width)
    rows = min(slot_height, max(1, round(height * scale)))
    columns = min(slot_width, max(1, round(width * scale)))
    top, left = (slot_height - rows) // 2, (slot_width - columns) // 2
    # The slot still holds the picture of an earlier request, perhaps of another shape.
    slot[:top] = slot[top + rows :] = 0
    slot[:, :left] = slot[:, left + columns :] = 0
    return slot[top : top + rows, left : left + columns]


def _resize(source: Pixels, target: Pixels) -> None:
    """Area averaging where nothing grows (no aliasing), else bilinear."""
    shrinks = target.shape[0] <= source.shape[0] and target.shape[1] <= source.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    size = (target.shape[1], target.shape[0])
    _written(cv2.resize(source, size, dst=target, interpolation=interpolation), target)


def _convert(source: Pixels, code: int | None, target: Pixels) -> None:
    if code is None:
        np.copyto(target, source)
    else:
        _written(cv2.cvtColor(source, code, dst=target), target)


def _written(result: Pixels, target: Pixels) -> None:
    """OpenCV silently allocates where `dst` has another shape or dtype than its result."""
    if result is not target:
        raise ObservationError(
            f"OpenCV made {result.shape} {result.dtype} instead of writing into the slot of "
            f"{target.shape} {target.dtype}"
        )
