"""Coloured things on a table, found in a pinhole camera's picture.

Steps: pixels of a colour, connected blobs, the blob of the right size on the table, its position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Ranges = tuple[tuple[float, float], tuple[float, float]]
"""Ranges of x and y in which a thing can lie and be reached, m, in the base's frame."""

# Hue interval in degrees (from, to; red passes through 0) of each known colour.
HUES_DEG = {
    "red": (340.0, 20.0),
    "yellow": (40.0, 75.0),
    "green": (90.0, 160.0),
    "blue": (200.0, 260.0),
}
_LEAST_SATURATION = 0.5
_LEAST_VALUE = 30  # of 255; darker pixels have no reliable hue


@dataclass(frozen=True, slots=True, eq=False)
class PinholeCamera:
    """A camera without distortion at `position_m` (3,) in the base's frame.

    `axes` (3, 3): columns right, up and backwards in the base (OpenGL's camera axes).
    `vertical_fov_rad` spans the picture's height; pixels are square.
    """

    position_m: Array
    axes: Array
    vertical_fov_rad: float

    def point_at_height(
        self, pixel: tuple[float, float], size_px: tuple[int, int], height_m: float
    ) -> Array:
        """Return where the ray through `pixel` (row, column) meets z = `height_m`: (3,) m.

        `size_px` is (height, width). Pixel centres are at whole numbers plus a half. Raises
        ValueError if the ray does not go down to that height.
        """
        focal_px = 0.5 * size_px[0] / np.tan(0.5 * self.vertical_fov_rad)
        right = pixel[1] + 0.5 - 0.5 * size_px[1]
        up = 0.5 * size_px[0] - pixel[0] - 0.5
        direction = self.axes @ np.array([right, up, -focal_px])
        if direction[2] >= -1e-9 * focal_px:
            raise ValueError(f"the ray through pixel {pixel} does not meet height {height_m} m")
        fall_m = height_m - self.position_m[2]
        return np.asarray(self.position_m + direction * (fall_m / direction[2]))

    def project(self, points_m: ArrayLike, size_px: tuple[int, int]) -> Array:
        """Return the pixels (N, 2) as (row, column) of `points_m` (N, 3); any may lie outside."""
        seen = (np.asarray(points_m, dtype=np.float64) - self.position_m) @ self.axes
        focal_px = 0.5 * size_px[0] / np.tan(0.5 * self.vertical_fov_rad)
        rows = 0.5 * size_px[0] - 0.5 - focal_px * seen[:, 1] / -seen[:, 2]
        columns = 0.5 * size_px[1] - 0.5 + focal_px * seen[:, 0] / -seen[:, 2]
        return np.column_stack([rows, columns])


def looking_at(
    position_m: Sequence[float], target_m: Sequence[float], vertical_fov_rad: float
) -> PinholeCamera:
    """Return the camera at `position_m` that looks at `target_m`, upright."""
    back = np.subtract(position_m, target_m)
    back = back / np.linalg.norm(back)
    right = np.cross((0.0, 0.0, 1.0), back)
    right = right / np.linalg.norm(right)
    axes = np.column_stack([right, np.cross(back, right), back])
    return PinholeCamera(np.array(position_m, dtype=np.float64), axes, vertical_fov_rad)


@dataclass(frozen=True, slots=True)
class Kind:
    """The look of a thing: height of its middle (m), and its visible area (least, most; m^2).

    Visible area: number of pixels times a pixel's footprint on the table. The visible side wall
    adds to a cube's area.
    """

    middle_m: float
    area_m2: tuple[float, float]


def find(
    picture: NDArray[np.uint8], colour: str, kind: Kind, camera: PinholeCamera, table_m: Ranges
) -> Array | None:
    """Return the position of the thing of that `colour` and `kind`: (2,) m in the base, or None.

    `picture` is (H, W, 3) uint8 rgb of that camera. None if no thing of the right size lies on the
    table, or more than one: the robot must not move on a guess.
    """
    size_px = (picture.shape[0], picture.shape[1])
    mask = colour_mask(picture, colour)
    places = [_place(blob, size_px, kind, camera, table_m) for blob in blobs(mask)]
    found = [place for place in places if place is not None]
    return found[0] if len(found) == 1 else None


def colour_mask(picture: NDArray[np.uint8], colour: str) -> NDArray[np.bool_]:
    """Return (H, W) bool: saturated pixels of that colour's hue (the HSV hexcone's formula)."""
    planes = [np.ascontiguousarray(picture[..., channel]) for channel in range(3)]
    brightest = np.maximum(np.maximum(planes[0], planes[1]), planes[2])
    darkest = np.minimum(np.minimum(planes[0], planes[1]), planes[2])
    vivid = (brightest >= _LEAST_VALUE) & (darkest <= (1.0 - _LEAST_SATURATION) * brightest)
    mask = np.zeros(vivid.shape, dtype=np.bool_)
    red, green, blue = picture[vivid].T.astype(np.float32)
    high = brightest[vivid].astype(np.float32)
    spread = high - darkest[vivid]
    sector = np.where(
        high == red,
        (green - blue) / spread,
        np.where(high == green, 2.0 + (blue - red) / spread, 4.0 + (red - green) / spread),
    )
    start, end = HUES_DEG[colour]
    mask[vivid] = (60.0 * sector - start) % 360.0 <= (end - start) % 360.0
    return mask


def blobs(mask: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Return the 4-connected regions of `mask` (H, W): each (N, 2) pixels as (row, column).

    Runs of a row are joined to the runs they touch in the row above (union-find).
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    parents = list(range(len(rows)))

    def root(run: int) -> int:
        while parents[run] != run:
            run = parents[run]
        return run

    first = np.searchsorted(rows, np.arange(mask.shape[0] + 1)).tolist()
    for run, (row, start, end) in enumerate(zip(rows.tolist(), starts, ends, strict=True)):
        for above in range(first[row - 1], first[row]) if row else ():
            if starts[above] < end and start < ends[above]:
                parents[root(run)] = root(above)
    regions: dict[int, list[NDArray[np.intp]]] = {}
    for run in range(len(rows)):
        columns = np.arange(starts[run], ends[run])
        pixels = np.column_stack([np.full_like(columns, rows[run]), columns])
        regions.setdefault(root(run), []).append(pixels)
    return [np.concatenate(pieces) for pieces in regions.values()]


def _place(
    blob: NDArray[np.intp],
    size_px: tuple[int, int],
    kind: Kind,
    camera: PinholeCamera,
    table_m: Ranges,
) -> Array | None:
    row, column = blob.mean(axis=0)
    try:
        corners = [
            camera.point_at_height((row + down, column + right), size_px, kind.middle_m)
            for down, right in ((-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5), (0.0, 0.0))
        ]
    except ValueError:
        return None
    footprint = np.abs(np.cross(corners[1] - corners[0], corners[3] - corners[2])[2])
    place = corners[4][:2]
    on_table = all(low <= x <= high for x, (low, high) in zip(place, table_m, strict=True))
    area = len(blob) * footprint
    return place if on_table and kind.area_m2[0] <= area <= kind.area_m2[1] else None
