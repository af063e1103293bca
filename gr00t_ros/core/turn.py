"""One rotation as matrix and as vector (axis times angle), for loops that have no time to check.

Who takes numbers from outside checks them with core/rotation; these here come from there.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Below this sine the axis comes from the symmetric part of the matrix, which has no small numbers.
_SMALL = 1e-6


def matrix_of_vector(vector: Floats) -> Floats:
    """(3, 3) of the rotation by |vector| rad about vector (3,): Rodrigues' formula."""
    x, y, z = vector.tolist()
    angle = math.sqrt(x * x + y * y + z * z)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    if angle < _SMALL:
        first, second = 1.0, 0.5
    else:
        first, second = math.sin(angle) / angle, (1.0 - math.cos(angle)) / (angle * angle)
    matrix: Floats = np.eye(3) + first * cross + second * (cross @ cross)
    return matrix


def vector_of_matrix(matrix: Floats) -> Floats:
    """(3,) rad of length 0 to pi of a rotation matrix (3, 3); of half a turn, either sign."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    axis = np.array([h - f, c - g, d - b]) / 2.0
    sine, cosine = math.sqrt(float(axis @ axis)), (a + e + i - 1.0) / 2.0
    if sine > _SMALL:
        return axis * (math.atan2(sine, cosine) / sine)
    if cosine > 0.0:
        return axis
    symmetric = matrix + matrix.T + np.eye(3) * (1.0 - a - e - i)  # 2 (1 - cos) axis axis^T
    column = symmetric[:, int(np.argmax(np.diagonal(symmetric)))]
    vector: Floats = column * (math.atan2(sine, cosine) / math.sqrt(float(column @ column)))
    return vector
