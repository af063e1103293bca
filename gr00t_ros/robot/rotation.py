"""Rotations in every form that the package uses, poses, and the forward kinematics of one chain.

Forms: matrix, quaternion, axis-angle, the six numbers of a GR00T eef_9d, never Euler angles.
Leading dimensions are kept: (4,) is one quaternion, (T, 4) are T quaternions. The checked
functions raise RotationError on bad input; `matrix_of_vector` and `vector_of_matrix` do not check,
because they run in inner loops on values that were checked before. Chains come from the embodiment
file or, by robot/urdf/chain.py, from a URDF.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gr00t_ros.errors import RotationError
from gr00t_ros.robot.field import Field
from gr00t_ros.robot.keys import LINK

Floats = NDArray[np.float64]

QUATERNION_TOLERANCE = 1e-2
"""Largest | |q| - 1 | of a quaternion; within it, it is normalised."""

MATRIX_TOLERANCE = 1e-3
"""Largest element of |R R^T - 1| of a rotation matrix."""

ROT6D_LENGTHS = (0.1, 10.0)
"""Lengths that a row of a rot6d may have. The first is also the least part of the second row, as a
fraction of its length, that must be perpendicular to the first row. Chosen: below it an error of
0.01 turns the result by 6 degrees and more: numbers without a usable direction would become a
motion."""

_LARGEST = 1e100
"""No number of a rotation is larger; its square is still finite."""

_SMALL_RAD = 1e-6
"""Below it sin(x) / x is 1 to the last digit of float64."""


def matrix_from_quaternion(quaternion_xyzw: ArrayLike) -> Floats:
    """(..., 3, 3) rotation matrices of (..., 4) quaternions x, y, z, w.

    Raises RotationError where one is not finite or not of unit length.
    """
    x, y, z, w = np.moveaxis(unit_quaternion(quaternion_xyzw), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_from_matrix(matrix: ArrayLike) -> Floats:
    """(..., 4) unit quaternions x, y, z, w with w >= 0 of (..., 3, 3) rotation matrices.

    4 q q^T is linear in R; its row of the largest diagonal element is q times at least 1, so no
    small difference is ever divided by (S. W. Shepperd 1978, Quaternion from Rotation Matrix).
    Raises RotationError where one is not finite, not orthonormal or mirrors.
    """
    r = np.moveaxis(rotation(matrix), (-2, -1), (0, 1))
    xx, yy, zz = r[0, 0], r[1, 1], r[2, 2]
    xy, xz, yz = r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1]
    xw, yw, zw = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    rows = [
        [1 + xx - yy - zz, xy, xz, xw],
        [xy, 1 - xx + yy - zz, yz, yw],
        [xz, yz, 1 - xx - yy + zz, zw],
        [xw, yw, zw, 1 + xx + yy + zz],
    ]
    square = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    largest = np.argmax(np.diagonal(square, axis1=-2, axis2=-1), axis=-1)
    row = np.take_along_axis(square, largest[..., None, None], axis=-2)[..., 0, :]
    return _w_positive(row / np.linalg.norm(row, axis=-1, keepdims=True))


def axis_angle_from_quaternion(quaternion_xyzw: ArrayLike) -> Floats:
    """(..., 3) rotation vectors, rad, of length 0 to pi, of (..., 4) quaternions x, y, z, w.

    Raises RotationError where one is not finite or not of unit length.
    """
    quaternion = _w_positive(unit_quaternion(quaternion_xyzw))
    vector, w = quaternion[..., :3], quaternion[..., 3:]
    sine = np.linalg.norm(vector, axis=-1, keepdims=True)
    small = sine < _SMALL_RAD
    factor = np.where(small, 2.0, 2.0 * np.arctan2(sine, w) / np.where(small, 1.0, sine))
    return vector * factor


def quaternion_from_axis_angle(rotation_vector_rad: ArrayLike) -> Floats:
    """(..., 4) unit quaternions x, y, z, w with w >= 0 of (..., 3) rotation vectors, rad.

    Raises RotationError where one is not finite.
    """
    vector = _finite(rotation_vector_rad, 3, "a rotation vector")
    half = np.linalg.norm(vector, axis=-1, keepdims=True) / 2.0
    factor = np.sinc(half / np.pi) / 2.0  # sin(half) / (2 half), 1/2 at 0
    return _w_positive(np.concatenate([vector * factor, np.cos(half)], axis=-1))


def matrix_from_axis_angle(rotation_vector_rad: ArrayLike) -> Floats:
    """(..., 3, 3) rotation matrices of (..., 3) rotation vectors; RotationError: not finite."""
    return matrix_from_quaternion(quaternion_from_axis_angle(rotation_vector_rad))


def axis_angle_from_matrix(matrix: ArrayLike) -> Floats:
    """(..., 3) rotation vectors, rad, of (..., 3, 3) rotation matrices.

    Raises RotationError where one is no rotation.
    """
    return axis_angle_from_quaternion(quaternion_from_matrix(matrix))


def axis_angle_near(rotation_vector_rad: Floats, near_rad: ArrayLike) -> Floats:
    """(..., 3) rotation vectors of the same rotations, of up to 2 pi, nearest to `near_rad` (3,).

    A rotation by angle a about an axis equals one by 2 pi - a about the opposite axis. Close to pi,
    noise changes the sign of the shorter of the two vectors, but not of the nearer one.
    """
    angle = np.linalg.norm(rotation_vector_rad, axis=-1, keepdims=True)
    small = angle < _SMALL_RAD  # no axis to go around the other way
    other = rotation_vector_rad * (1.0 - 2.0 * np.pi / np.where(small, 1.0, angle))
    away = np.linalg.norm(rotation_vector_rad - np.asarray(near_rad), axis=-1, keepdims=True)
    other_away = np.linalg.norm(other - np.asarray(near_rad), axis=-1, keepdims=True)
    return np.asarray(np.where((other_away < away) & ~small, other, rotation_vector_rad))


def quaternion_near(quaternion_xyzw: Floats, near_xyzw: ArrayLike) -> Floats:
    """(..., 4) the one of q and -q, which are one rotation, that is nearer to `near_xyzw` (4,)."""
    along = quaternion_xyzw @ np.asarray(near_xyzw)
    return np.asarray(np.where(along[..., None] < 0.0, -quaternion_xyzw, quaternion_xyzw))


def rot6d_rows_from_matrix(matrix: ArrayLike, rotate: ArrayLike | None = None) -> Floats:
    """(..., 6): the first two rows, row-major, of R x rotate, of (..., 3, 3) matrices R.

    `rotate` is the (3, 3) fixed rotation of the data set: DROID's is
    [[0, 0, -1], [-1, 0, 0], [0, 1, 0]] (Isaac-GR00T N1.7 23ace64, examples/DROID).
    Raises RotationError where one is no rotation.
    """
    turned = rotation(matrix)
    if rotate is not None:
        turned = turned @ rotation(rotate)
    return turned[..., :2, :].reshape(*turned.shape[:-2], 6)


def matrix_from_rot6d_rows(rot6d: ArrayLike, rotate: ArrayLike | None = None) -> Floats:
    """(..., 3, 3) rotation matrices R of which (..., 6) are the first two rows of R x rotate.

    The rows are made orthonormal by Gram-Schmidt (Y. Zhou 2019, On the Continuity of Rotation
    Representations). Raises RotationError where they are not finite or give no rotation: a row of
    a length outside ROT6D_LENGTHS, or two rows (nearly) along one line.
    """
    six = _finite(rot6d, 6, "a rot6d")
    first = _direction(six[..., :3], "first row")
    second = _direction(six[..., 3:], "second row")
    across = second - np.sum(first * second, axis=-1, keepdims=True) * first
    across = _direction(across, "its second row lies along the first but for a part")
    turned = np.stack([first, across, np.cross(first, across)], axis=-2)
    if rotate is not None:
        turned = turned @ rotation(rotate).T
    return turned


def unit_quaternion(quaternion_xyzw: ArrayLike) -> Floats:
    """(..., 4) float64 of length 1, same sign; RotationError if a length is not close to 1."""
    quaternion = _finite(quaternion_xyzw, 4, "a quaternion")
    norm = np.linalg.norm(quaternion, axis=-1, keepdims=True)
    worst = float(norm.flat[np.argmax(np.abs(norm - 1.0))])
    if not abs(worst - 1.0) <= QUATERNION_TOLERANCE:
        raise RotationError(
            f"quaternion of norm {worst:.4g}, expected 1 within {QUATERNION_TOLERANCE:g}"
        )
    return np.asarray(quaternion / norm)


def rotation(matrix: ArrayLike) -> Floats:
    """(..., 3, 3) float64, unchanged; RotationError if one is not a rotation matrix."""
    rows = np.asarray(matrix, dtype=np.float64)
    if rows.shape[-2:] != (3, 3) or not rows.size or not np.isfinite(rows).all():
        raise RotationError(f"got {_shown(rows)}, expected finite 3x3 rotation matrices")
    off = float(np.abs(rows @ np.swapaxes(rows, -1, -2) - np.eye(3)).max())
    if not off <= MATRIX_TOLERANCE or np.linalg.det(rows).min() < 0.0:
        raise RotationError(
            f"got {_shown(rows)}, expected an orthonormal 3x3 matrix of determinant 1"
        )
    return rows


def _direction(vector: Floats, what: str) -> Floats:
    """`vector` of unit length; RotationError where its length is outside ROT6D_LENGTHS."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    low, high = ROT6D_LENGTHS
    if not (length.min() >= low and length.max() <= high):
        worst = float(length.min() if length.min() < low else length.max())
        raise RotationError(f"rot6d: {what} of length {worst:.3g}, expected {low:g} to {high:g}")
    return np.asarray(vector / length)


def _w_positive(quaternion: Floats) -> Floats:
    """The one of q and -q, which are one rotation, whose w is not negative."""
    return np.asarray(np.where(quaternion[..., 3:] < 0.0, -quaternion, quaternion))


def _finite(values: ArrayLike, width: int, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != width or not array.size:
        raise RotationError(f"got an array {array.shape}, expected {what}: (..., {width})")
    if not (np.abs(array) <= _LARGEST).all():
        raise RotationError(
            f"got {_shown(array)}, expected {what}: finite, at most {_LARGEST:g} each"
        )
    return array


def _shown(array: Floats) -> str:
    return np.array2string(array, precision=4, threshold=16, separator=",").replace("\n", "")


# Below this sine the axis comes from the symmetric part of the matrix, which has no small numbers.


def matrix_of_vector(vector: Floats) -> Floats:
    """(3, 3) of the rotation by |vector| rad about vector (3,)."""
    x, y, z = vector.tolist()
    angle = math.sqrt(x * x + y * y + z * z)
    return turn(vector / angle, angle) if angle > 0.0 else np.eye(3)


def vector_of_matrix(matrix: Floats) -> Floats:
    """(3,) rad of length 0 to pi of a rotation matrix (3, 3); at half a turn either sign."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    axis = np.array([h - f, c - g, d - b]) / 2.0
    sine, cosine = math.sqrt(float(axis @ axis)), (a + e + i - 1.0) / 2.0
    if sine > _SMALL_RAD:
        return axis * (math.atan2(sine, cosine) / sine)
    if cosine > 0.0:
        return axis
    symmetric = matrix + matrix.T + np.eye(3) * (1.0 - a - e - i)  # 2 (1 - cos) axis axis^T
    column = symmetric[:, int(np.argmax(np.diagonal(symmetric)))]
    vector: Floats = column * (math.atan2(sine, cosine) / math.sqrt(float(column @ column)))
    return vector


_AXIS_TOLERANCE = 1e-3  # allowed error of a typed axis' length; it is then normalised
MOST_M = 10.0
"""Largest distance from joint to joint: more is a typing error, or in millimetres."""


@dataclass(frozen=True, slots=True, eq=False)
class ChainLink:
    """A fixed transform, `xyz_m` (3,) and `rotation` (3, 3), and the motion after it.

    `joint` turns about `axis`, or moves along it if `slides` (a prismatic joint). The axis is (3,)
    of length 1, in the frame after the transform. A link without a joint is fixed: a flange or a
    tool.
    """

    xyz_m: Floats
    rotation: Floats
    joint: str | None = None
    axis: Floats | None = None
    slides: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """The links from the base to the end effector.

    `columns`: for each link's joint, its index in the values that `pose` takes.
    """

    links: tuple[ChainLink, ...]
    columns: tuple[int, ...]

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The joints that move the chain, in order from the base."""
        return tuple(link.joint for link in self.links if link.joint is not None)

    def among(self, names: Sequence[str]) -> Chain:
        """The same links for values in the order of `names`, which have all joints of the chain."""
        return Chain(self.links, tuple(list(names).index(name) for name in self.joint_names))

    def pose(self, joints: Floats) -> tuple[Floats, Floats]:
        """(..., 3) m and (..., 3, 3) of the end effector in the base, from (..., J) rad or m.

        `joints` has the order that `columns` refers to; for a workspace that is the plan's order.
        The pose is the product over the links of Trans(xyz) Rot(rpy) Rot(axis, q); a prismatic
        joint has Trans(axis q) as the last factor. Source: the URDF specification
        (wiki.ros.org/urdf/XML/joint). If a joint of the chain is not finite, the pose is not
        finite either.
        """
        shape = joints.shape[:-1]
        position, rotation = np.zeros((*shape, 3)), np.broadcast_to(np.eye(3), (*shape, 3, 3))
        columns = iter(self.columns)
        for link in self.links:
            position = position + rotation @ link.xyz_m
            rotation = rotation @ link.rotation
            if link.axis is None:
                continue
            moved = joints[..., next(columns)]
            if link.slides:
                position = position + rotation @ link.axis * moved[..., None]
            else:
                rotation = rotation @ turn(link.axis, moved)
        return position, rotation


def turn(axis: Floats, angle: float | Floats) -> Floats:
    """(..., 3, 3) rotation by `angle` (...) rad about `axis`, (3,) or (..., 3) of length 1.

    Rodrigues' formula: I + sin(q) K + (1 - cos(q)) K^2, K the cross product matrix of the axis.
    """
    if np.ndim(angle) == 0:  # the same, written out: a tenth of the time
        x, y, z = axis.tolist()
        s, c = float(np.sin(angle)), float(np.cos(angle))
        t = 1.0 - c
        return np.array(
            [
                [c + t * x * x, t * x * y - s * z, t * x * z + s * y],
                [t * x * y + s * z, c + t * y * y, t * y * z - s * x],
                [t * x * z - s * y, t * y * z + s * x, c + t * z * z],
            ]
        )
    cross = np.zeros((*axis.shape, 3))
    cross[..., [2, 0, 1], [1, 2, 0]] = axis
    cross[..., [1, 2, 0], [2, 0, 1]] = -axis
    angle = np.asarray(angle)[..., None, None]
    rotation: Floats = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return rotation


def from_rpy(roll: float, pitch: float, yaw: float) -> Floats:
    """(3, 3) of fixed-axis angles, rad: Rz(yaw) Ry(pitch) Rx(roll), as URDF's rpy."""
    x, y, z = np.eye(3)
    rotation: Floats = turn(z, np.array(yaw)) @ turn(y, np.array(pitch)) @ turn(x, np.array(roll))
    return rotation


def read_chain(field: Field, joint_names: Sequence[str] | None) -> Chain:
    """The chain of the file, whose joints are among `joint_names`; None: any, in its own order.

    Raises EmbodimentError for joints that are not among them, named twice, or none at all, for a
    joint without an axis and an axis that has not length 1.
    """
    links = tuple(_link(item, joint_names) for item in field.items())
    names = [link.joint for link in links if link.joint is not None]
    if not names:
        raise field.problem("got fixed links only, expected at least one with a joint")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise field.problem(f"{', '.join(twice)} named twice, expected each joint once")
    return Chain(links, ()).among(names if joint_names is None else joint_names)


def _link(field: Field, joint_names: Sequence[str] | None) -> ChainLink:
    at = field.keys(LINK)
    if ("joint" in at) != ("axis" in at):
        raise field.problem("got one of joint and axis, expected both, or none of a fixed link")
    xyz_m = _frozen(_vector(at["xyz"], MOST_M))
    rpy = _vector(at["rpy"], 2 * np.pi) if "rpy" in at else np.zeros(3)
    rotation = _frozen(from_rpy(*rpy.tolist()))
    if "joint" not in at:
        return ChainLink(xyz_m, rotation)
    axis = _vector(at["axis"], 1.0 + _AXIS_TOLERANCE)
    length = float(np.linalg.norm(axis))
    if abs(length - 1.0) > _AXIS_TOLERANCE:
        raise at["axis"].error("an axis of length 1")
    joint = at["joint"].text() if joint_names is None else at["joint"].choice(*joint_names)
    return ChainLink(xyz_m, rotation, joint, _frozen(axis / length))


def _vector(field: Field, most: float) -> Floats:
    numbers = [item.number(-most, most) for item in field.items()]
    if len(numbers) != 3:
        raise field.error("three numbers")
    return np.array(numbers)


def _frozen(values: Floats) -> Floats:
    values.setflags(write=False)
    return values


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """position (3,) float64 m and rotation (3, 3) float64 of the end effector in one frame."""

    position: Floats
    rotation: Floats

    def towards(self, other: Pose, part: float) -> Pose:
        """The pose at `part` (0 to 1) of the way: on a line, and the shorter way about one axis."""
        turn = vector_of_matrix(other.rotation @ self.rotation.T)
        position = self.position + part * (other.position - self.position)
        return Pose(position, matrix_of_vector(part * turn) @ self.rotation)

    def away_from(self, other: Pose) -> tuple[float, float]:
        """Distance in m and angle in rad between the two."""
        turn = vector_of_matrix(self.rotation @ other.rotation.T)
        return vector_length(self.position - other.position), vector_length(turn)


def vector_length(vector: Floats) -> float:
    """Length of one vector (3,); takes a fraction of the time of numpy's norm."""
    return math.sqrt(float(vector @ vector))
