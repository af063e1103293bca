"""Which part of a camera's picture is sent, and which way up: crop, then rotate, then flip.

The resize to the sent size comes after them (inputs/images.py). Does not depend on colours,
messages or topics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ObservationError
from gr00t_ros.robot.field import Field
from gr00t_ros.robot.keys import CROP

QUARTER_TURNS = (0, 90, 180, 270)
CROP_UNITS = ("pixels", "fraction")

_MAX_PX = 16384


@dataclass(frozen=True, slots=True)
class Crop:
    """The part of the incoming picture that is kept, in pixels or in fractions of its sides."""

    unit: str  # "pixels" | "fraction"
    top: float
    left: float
    height: float
    width: float

    def box(self, height_px: int, width_px: int) -> tuple[int, int, int, int]:
        """First row, row after the last, first column, column after the last; at least one of each.

        Fractions are rounded to the nearest edge between pixels. Raises ObservationError where
        a picture of this size does not have that part.
        """
        top, bottom = self._span(self.top, self.height, height_px)
        left, right = self._span(self.left, self.width, width_px)
        if bottom > height_px or right > width_px:
            raise ObservationError(
                f"picture of {height_px}x{width_px} has no rows {top} to {bottom} and columns "
                f"{left} to {right}, which crop wants"
            )
        return top, bottom, left, right

    def _span(self, start: float, length: float, side_px: int) -> tuple[int, int]:
        """The first pixel along one side, and the one after the last."""
        if self.unit == "pixels":
            return round(start), round(start + length)
        first = min(round(start * side_px), side_px - 1)
        return first, max(first + 1, round((start + length) * side_px))


@dataclass(frozen=True, slots=True)
class Framing:
    """Crop, then rotate clockwise by `rotate_deg`, then flip left-right and top-bottom."""

    crop: Crop | None = None
    rotate_deg: int = 0  # 0 | 90 | 180 | 270
    flip_horizontal: bool = False
    flip_vertical: bool = False

    @property
    def turns(self) -> bool:
        """Whether anything but a crop is to be done."""
        return bool(self.rotate_deg) or self.flip_horizontal or self.flip_vertical

    @property
    def on_its_side(self) -> bool:
        """Whether rows become columns."""
        return self.rotate_deg in (90, 270)

    def size(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Height and width after crop and rotation; raises ObservationError as Crop.box."""
        if self.crop is not None:
            top, bottom, left, right = self.crop.box(height_px, width_px)
            height_px, width_px = bottom - top, right - left
        return (width_px, height_px) if self.on_its_side else (height_px, width_px)

    def turned(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A view of (h, w, C), rotated and flipped."""
        view = np.rot90(picture, -self.rotate_deg // 90)
        if self.flip_horizontal:
            view = view[:, ::-1]
        return view[::-1] if self.flip_vertical else view


def read_framing(at: Mapping[str, Field]) -> Framing | None:
    """The framing fields of a camera; None if the picture is sent whole and upright.

    Raises EmbodimentError for a part outside any picture, another angle, and a flag that is not
    true or false.
    """
    framing = Framing(
        crop=_crop(at["crop"]) if "crop" in at else None,
        rotate_deg=_angle(at["rotate"]) if "rotate" in at else 0,
        flip_horizontal=_flag(at, "flip_horizontal"),
        flip_vertical=_flag(at, "flip_vertical"),
    )
    return None if framing == Framing() else framing


def _crop(field: Field) -> Crop:
    at = field.keys(CROP)
    if at["unit"].choice(*CROP_UNITS) == "pixels":
        top, left = (float(at[name].integer(0, _MAX_PX)) for name in ("top", "left"))
        height, width = (float(at[name].integer(1, _MAX_PX)) for name in ("height", "width"))
        return Crop("pixels", top, left, height, width)
    top, left = (at[name].number(0.0, 1.0) for name in ("top", "left"))
    height, width = (at[name].number(0.01, 1.0) for name in ("height", "width"))
    if top + height > 1.0 + 1e-9 or left + width > 1.0 + 1e-9:
        raise field.error("top + height and left + width of 1 at most")
    return Crop("fraction", top, left, height, width)


def _angle(field: Field) -> int:
    degrees = field.integer(0, 270)
    if degrees not in QUARTER_TURNS:
        raise field.error("0, 90, 180 or 270 degrees, clockwise")
    return degrees


def _flag(at: Mapping[str, Field], name: str) -> bool:
    if name not in at:
        return False
    if not isinstance(at[name].value, bool):
        raise at[name].error("true or false")
    return at[name].value is True
