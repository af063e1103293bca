"""Joint, pose and Imu readings as the numbers of a state key.

Does not depend on messages or topics; never fills in a joint that was not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ObservationError, RotationError
from gr00t_ros.robot.described import not_described
from gr00t_ros.robot.rotation import (
    Chain,
    axis_angle_from_matrix,
    axis_angle_near,
    matrix_from_quaternion,
    quaternion_from_matrix,
    quaternion_near,
    rot6d_rows_from_matrix,
)
from gr00t_ros.robot.streams import POSES, StateStream

SCALE_TOLERANCE = 0.05
"""Scaled values up to this far outside [0, 1] are sensor noise and calibration: clipped.

Beyond it the scale or the joint is wrong; a clip would hide that, so such values are refused.
"""

_FLOAT32_MAX = float(np.finfo(np.float32).max)

_ORDERS = 128
"""Pairs of asked and read names whose order is kept; a robot has some ten, which repeat."""


@dataclass(frozen=True, slots=True, eq=False)
class JointReading:
    """One JointState: N names, (N,) float64 position and velocity in the topic's units."""

    names: Sequence[str]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PoseReading:
    """One pose: (3,) float64 position, m, and (4,) float64 quaternion x, y, z, w of R_base_eef."""

    position_m: NDArray[np.float64]
    quaternion_xyzw: NDArray[np.float64]
    frame_id: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ImuReading:
    """One Imu: (4,) float64 quaternion x, y, z, w of R_world_sensor, the world's z upwards."""

    quaternion_xyzw: NDArray[np.float64]
    frame_id: str = ""


def refuse_uneven(reading: JointReading) -> None:
    """Raise ObservationError if the reading does not have one position for each name."""
    if len(reading.names) != len(reading.position):
        raise ObservationError(
            f"got {len(reading.names)} joint names and {len(reading.position)} positions, "
            "expected as many"
        )


def select(names: Sequence[str], reading: JointReading) -> NDArray[np.float64]:
    """(N,) float64 positions of `names` in this order, whatever the reading's order is.

    Raises ObservationError naming joints that are missing, twice in the reading, or not finite.
    """
    refuse_uneven(reading)
    position = reading.position[_order(tuple(names), tuple(reading.names))]
    if not all(map(isfinite, position.tolist())):  # for so few numbers faster than numpy
        _refuse("not finite", [n for n, q in zip(names, position, strict=True) if not isfinite(q)])
    return position


@lru_cache(maxsize=_ORDERS)
def _order(names: tuple[str, ...], read: tuple[str, ...]) -> NDArray[np.intp]:
    """(N,) indices of `names` in the names that were `read`; raises as `select` does."""
    index = {name: i for i, name in enumerate(read)}
    _refuse("missing", [n for n in names if n not in index], read)
    if len(index) != len(read):
        _refuse("twice", [n for n in names if read.count(n) > 1], read)
    return np.array([index[n] for n in names], dtype=np.intp)


def merge(readings: Sequence[object]) -> JointReading:
    """All joints of several JointStates as one reading; a joint may be in two of them.

    Raises ObservationError if one of them does not have one position for each name.
    """
    joints = [reading for reading in readings if isinstance(reading, JointReading)]
    for reading in joints:
        select((), reading)
    velocities = [reading.velocity for reading in joints if reading.velocity is not None]
    return JointReading(
        tuple(name for reading in joints for name in reading.names),
        np.concatenate([reading.position for reading in joints]),
        np.concatenate(velocities) if len(velocities) == len(joints) else None,
    )


def encode(stream: StateStream, reading: object) -> NDArray[np.float32]:
    """(D,) float32 as the server expects the key, D = stream.width; a constant has no reading.

    Raises ObservationError naming what cannot be sent: a missing, doubled or non-finite joint, a
    value more than SCALE_TOLERANCE outside its scale, a pose or an Imu that is not finite, not of
    unit quaternion or in another frame, a reading that is not the stream's kind.
    """
    if isinstance(reading, JointReading) and stream.source == "joints":
        values = _scaled(stream, select(stream.names, reading))
    elif isinstance(reading, PoseReading) and stream.source in POSES:
        values = _measured_pose(stream, reading)
    elif isinstance(reading, JointReading) and stream.source == "kinematics":
        values = _pose(stream, *_computed_pose(stream, reading))
    elif isinstance(reading, ImuReading) and stream.source == "imu":
        values = _gravity(stream, reading)
    elif reading is None and stream.source == "constant":
        values = np.array(stream.values)
    else:
        raise ObservationError(
            f"state {stream.key}: got a {type(reading).__name__}, expected {stream.source}"
        )
    if np.abs(values).max() > _FLOAT32_MAX:
        raise ObservationError(f"state {stream.key}: {values} is more than float32 holds")
    return values.astype(np.float32)


def refuse_unusable(stream: StateStream, reading: object) -> None:
    """Raise ObservationError as `encode` does.

    It leaves out the pose of a stream `from: kinematics`: of finite joints it is always finite.
    """
    if isinstance(reading, JointReading) and stream.source == "kinematics":
        _chain_of(stream)
        select(stream.names, reading)
    else:
        encode(stream, reading)


def encode_computed(stream: StateStream, positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """(T, D) float32 of a stream `from: kinematics`, from (T, J) positions of its joints.

    Raises ObservationError if its chain is not known, or a position is not finite.
    """
    return _pose(stream, *_chain_of(stream).pose(positions)).astype(np.float32)


def pose_of(stream: StateStream, reading: object) -> PoseReading | None:
    """The pose in a reading of a pose stream; None for another kind of stream or reading.

    For a stream `from: kinematics` it is computed from the joint states. Raises ObservationError if
    joints are missing, doubled or not finite, or if the chain is not known.
    """
    if isinstance(reading, PoseReading):
        return reading if stream.source in POSES else None
    if not isinstance(reading, JointReading) or stream.source != "kinematics":
        return None
    position_m, rotation = _computed_pose(stream, reading)
    return PoseReading(position_m, quaternion_from_matrix(rotation), stream.frame or "")


def _computed_pose(
    stream: StateStream, reading: JointReading
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(3,) m and (3, 3) of a stream's link in its base frame."""
    return _chain_of(stream).pose(select(stream.names, reading))


def _chain_of(stream: StateStream) -> Chain:
    """The chain of a stream `from: kinematics`; raises ObservationError if it is not known."""
    if stream.chain is None:
        why = stream.chain_problem or not_described(stream.frame or "", stream.link)
        raise ObservationError(f"state {stream.key}: {why}")
    return stream.chain


def _scaled(stream: StateStream, position: NDArray[np.float64]) -> NDArray[np.float64]:
    if stream.scale is None:
        return position
    fractions = stream.scale.fraction(position)
    for name, q, s, ends in zip(stream.names, position, fractions, stream.scale.joint, strict=True):
        if not -SCALE_TOLERANCE <= s <= 1.0 + SCALE_TOLERANCE:
            raise ObservationError(
                f"state {stream.key}: {name} at {q:.4g} is {s:.3g} of scale [{ends[0]:g}, "
                f"{ends[1]:g}], expected 0 to 1 within {SCALE_TOLERANCE:g}: wrong unit, joint or "
                "scale"
            )
    return stream.scale.to_policy(np.clip(fractions, 0.0, 1.0))


def _measured_pose(stream: StateStream, reading: PoseReading) -> NDArray[np.float64]:
    """A pose as it was published, encoded."""
    where = _where(stream, "pose", reading.frame_id)
    position = np.asarray(reading.position_m, dtype=np.float64)
    if not np.isfinite(position).all():
        raise ObservationError(f"{where}: position {position} is not finite")
    try:
        turn = matrix_from_quaternion(reading.quaternion_xyzw)
    except RotationError as error:
        raise ObservationError(f"{where}: {error}") from None
    return _pose(stream, position, turn)


def _pose(
    stream: StateStream, position: NDArray[np.float64], turn: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(..., D): the stream's columns of x, y, z and R_base_eef x rotate, as it is encoded."""
    try:
        turn = turn if stream.rotate is None else turn @ np.array(stream.rotate)
        numbers = _TURN[stream.encode or ""](turn)
    except RotationError as error:
        raise ObservationError(f"state {stream.key}: pose: {error}") from None
    if stream.near:
        nearest = axis_angle_near if stream.encode == "xyz_axis_angle" else quaternion_near
        numbers = nearest(numbers, stream.near)
    values = np.concatenate([position, numbers], axis=-1)
    return values[..., list(stream.columns)] if stream.columns else values


_TURN: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "xyz_axis_angle": axis_angle_from_matrix,
    "xyz_quaternion": quaternion_from_matrix,
    "xyz_rot6d_rows": rot6d_rows_from_matrix,
}


def _gravity(stream: StateStream, reading: ImuReading) -> NDArray[np.float64]:
    """R_world_sensor^T x (0, 0, -1): the direction down, in the frame of the sensor."""
    where = _where(stream, "orientation", reading.frame_id)
    try:
        return np.asarray(-matrix_from_quaternion(reading.quaternion_xyzw)[2])
    except RotationError as error:
        raise ObservationError(f"{where}: {error}") from None


def _where(stream: StateStream, what: str, frame_id: str) -> str:
    """The beginning of a message; ObservationError where the frame is another one."""
    where = f"state {stream.key}: {what}"
    if stream.frame is not None and frame_id != stream.frame:
        raise ObservationError(f"{where} in frame {frame_id!r}, expected {stream.frame!r}")
    return where


def _refuse(what: str, names: list[str], read: Sequence[str] | None = None) -> None:
    if names:
        listed = "" if read is None else f"; the message has: {', '.join(read)}"
        raise ObservationError(f"joints {what}: {', '.join(names)}{listed}")
