"""The exterior camera's calibration and the things' sizes: all that scene and policy share.

On a real robot these numbers come from a calibration and a ruler. Plain numpy: no simulator, no
image, no task. The frame is fr3_link0, whose origin lies on the table's surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

CUBE_EDGE_M = 0.04
PLATE_RADIUS_M = 0.075
PLATE_HEIGHT_M = 0.008


@dataclass(frozen=True, slots=True)
class PinholeCamera:
    """A camera without distortion at `position_m`, looking at `target_m`, upright.

    `vertical_fov_rad` spans the picture's height; pixels are square.
    """

    position_m: tuple[float, float, float]
    target_m: tuple[float, float, float]
    vertical_fov_rad: float

    @property
    def axes(self) -> Array:
        """(3, 3): columns right, up and backwards in the base (OpenGL's camera axes)."""
        back = np.subtract(self.position_m, self.target_m)
        back = back / np.linalg.norm(back)
        right = np.cross((0.0, 0.0, 1.0), back)
        right = right / np.linalg.norm(right)
        return np.column_stack([right, np.cross(back, right), back])

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
        position = np.array(self.position_m)
        return position + direction * ((height_m - position[2]) / direction[2])

    def project(self, points_m: ArrayLike, size_px: tuple[int, int]) -> Array:
        """Return the pixels (N, 2) as (row, column) of `points_m` (N, 3); any may lie outside."""
        seen = (np.asarray(points_m, dtype=np.float64) - self.position_m) @ self.axes
        focal_px = 0.5 * size_px[0] / np.tan(0.5 * self.vertical_fov_rad)
        rows = 0.5 * size_px[0] - 0.5 - focal_px * seen[:, 1] / -seen[:, 2]
        columns = 0.5 * size_px[1] - 0.5 + focal_px * seen[:, 0] / -seen[:, 2]
        return np.column_stack([rows, columns])


# Oblique from the front left, as DROID's left exterior camera sees the robot and its table.
EXTERIOR = PinholeCamera((1.04, 0.58, 0.70), (0.36, -0.02, 0.215), np.radians(54.0))
