"""A pinhole camera: rays of pixels, and pixels of points; knows no robot and no scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


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
        ValueError where the ray does not come down to that height.
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
