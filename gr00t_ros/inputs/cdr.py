"""Serialised sensor messages -> stamps, numbers and views, without building message objects.

Reads plain little-endian CDR, the encapsulation that every ROS 2 middleware writes on x86 and Arm.
Messages with another encapsulation go through rclpy's own deserialisation. All lengths are checked:
truncated data or a wrong length raises ObservationError. Does not depend on topics, clocks or the
meaning of pixels (inputs/images.py).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image, Imu, JointState

from gr00t_ros.errors import ObservationError

_PLAIN_LITTLE_ENDIAN = b"\x00\x01"  # DDSI-RTPS 10.2, CDR_LE; the two option bytes that follow
_BODY = 4  # are padding counts; alignment is relative to this offset
_AFTER_STAMP = _BODY + 8
_U32 = struct.Struct("<I")
_STAMP = struct.Struct("<iI")
_F64 = np.dtype("<f8")
_SECOND_NS = 1_000_000_000

_View = TypeVar("_View")


@dataclass(frozen=True, slots=True)
class ImageView:
    """A sensor_msgs/Image: `data` (N,) uint8 is a view into the message's bytes."""

    stamp_ns: int
    height_px: int
    width_px: int
    encoding: str
    step: int
    data: NDArray[np.uint8]
    big_endian: bool = False  # byte order of 16 bit samples


@dataclass(frozen=True, slots=True)
class CompressedView:
    """A sensor_msgs/CompressedImage: `data` (N,) uint8 is a view into the message's bytes."""

    stamp_ns: int
    format: str
    data: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class JointStateView:
    """A sensor_msgs/JointState without effort: (N,) float64 arrays; `velocity` may be empty."""

    stamp_ns: int
    names: tuple[str, ...]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PoseView:
    """A geometry_msgs/PoseStamped: `position_m` (3,), `quaternion_xyzw` (4,) float64."""

    stamp_ns: int
    frame_id: str
    position_m: NDArray[np.float64]
    quaternion_xyzw: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ImuView:
    """A sensor_msgs/Imu's orientation: `quaternion_xyzw` (4,) float64, and its covariance[0]."""

    stamp_ns: int
    frame_id: str
    quaternion_xyzw: NDArray[np.float64]
    orientation_variance: float


@dataclass(frozen=True, slots=True)
class TrajectoryView:
    """A trajectory_msgs/JointTrajectory of N points, J joints: times (N,) ns, other arrays (N, J).

    velocities, accelerations: None where no point has them.
    """

    stamp_ns: int
    names: tuple[str, ...]
    times_ns: NDArray[np.int64]
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64] | None
    accelerations: NDArray[np.float64] | None


class _Reader:
    """A cursor over CDR bytes that checks every length against the end of the message."""

    __slots__ = ("_at", "_what", "raw")

    def __init__(self, raw: bytes, what: str) -> None:
        self.raw, self._what, self._at = raw, what, _BODY

    @property
    def at(self) -> int:
        """Offset of the next field before alignment."""
        return self._at

    @property
    def next_word(self) -> int:
        """Offset of the next field if it is a word of four bytes."""
        return self._at + (_BODY - self._at) % 4

    def take(self, count: int, field: str, align: int = 1) -> int:
        """Offset of the next `count` bytes of `field`; ObservationError if they do not exist."""
        at = self._at + (_BODY - self._at) % align
        if at + count > len(self.raw):
            raise ObservationError(
                f"{self._what}: {field} needs {count} bytes at byte {at}, "
                f"the message has {len(self.raw)}"
            )
        self._at = at + count
        return at

    def u32(self, field: str) -> int:
        number: int = _U32.unpack_from(self.raw, self.take(4, field, 4))[0]
        return number

    def stamp_ns(self) -> int:
        seconds, nanoseconds = _STAMP.unpack_from(self.raw, self.take(8, "header.stamp", 4))
        return _nanoseconds(seconds, nanoseconds, self._what)

    def string(self, field: str) -> str:
        length = self.u32(field)
        at = self.take(length, field)
        try:
            # The length counts the closing NUL; some writers send an empty string as length 0.
            return self.raw[at : at + max(length - 1, 0)].decode()
        except UnicodeDecodeError as error:
            raise ObservationError(f"{self._what}: {field} is not UTF-8: {error}") from None

    def strings(self, field: str) -> tuple[str, ...]:
        count = self.u32(field)
        return tuple([self.string(field) for _ in range(count)])

    def octets(self, field: str) -> NDArray[np.uint8]:
        count = self.u32(field)
        return np.frombuffer(self.raw, np.uint8, count, self.take(count, field))

    def doubles(self, field: str) -> NDArray[np.float64]:
        at, count = self.doubles_at(field)
        return np.frombuffer(self.raw, _F64, count, at) if count else np.empty(0)

    def doubles_at(self, field: str) -> tuple[int, int]:
        """Offset and count of a sequence of doubles; ObservationError if it is truncated."""
        count = self.u32(field)
        if count == 0:  # an empty sequence has no alignment padding
            return self._at, 0
        return self.take(8 * count, field, 8), count


def image(raw: bytes) -> ImageView:
    """Read a sensor_msgs/Image; ObservationError if the bytes are not one."""
    return _read(raw, Image, _image, _image_of)


def compressed_image(raw: bytes) -> CompressedView:
    """Read a sensor_msgs/CompressedImage; ObservationError if the bytes are not one."""
    return _read(raw, CompressedImage, _compressed_image, _compressed_image_of)


def joint_state(raw: bytes) -> JointStateView:
    """Read a sensor_msgs/JointState; ObservationError if the bytes are not one."""
    return _read(raw, JointState, _joint_state, _joint_state_of)


@dataclass(frozen=True, slots=True)
class _JointLayout:
    """Where the numbers of a JointState lie, and the bytes that must be equal for that."""

    names: tuple[str, ...]
    head: bytes  # frame, names, number of positions
    between: bytes  # number of velocities
    position: tuple[int, int]  # offset in bytes, number of values
    velocity: tuple[int, int]

    def fits(self, raw: bytes) -> bool:
        """Whether `raw` differs from the message of this layout only in its stamp and numbers."""
        at, count = self.position
        end = at + 8 * count
        return (
            raw[_AFTER_STAMP:at] == self.head
            and raw[end : end + len(self.between)] == self.between
            and len(raw) >= self.velocity[0] + 8 * self.velocity[1]
            and raw[:2] == _PLAIN_LITTLE_ENDIAN
        )


class JointStateMessage:
    """Reads the JointStates of one topic; a layout that repeats is parsed only once."""

    def __init__(self) -> None:
        """Start without a known layout."""
        self._layout: _JointLayout | None = None

    def __call__(self, raw: bytes) -> JointStateView:
        """Read a sensor_msgs/JointState; ObservationError if the bytes are not one."""
        layout = self._layout
        if layout is None or not layout.fits(raw):
            view = joint_state(raw)
            self._layout = _joint_layout(raw)
            return view
        seconds, nanoseconds = _STAMP.unpack_from(raw, _BODY)
        stamp_ns = _nanoseconds(seconds, nanoseconds, "sensor message JointState")
        position, velocity = (
            np.frombuffer(raw, _F64, count, at) if count else np.empty(0)
            for at, count in (layout.position, layout.velocity)
        )
        return JointStateView(stamp_ns, layout.names, position, velocity)


@dataclass(frozen=True, slots=True)
class _TrajectoryLayout:
    """Where the words of a JointTrajectory lie whose points all have the same fields.

    texts: offset and bytes of each text; the bytes between them align numbers, and have any value.
    counts: indices of the words that count values, and what they are. times: of the seconds of each
    point. doubles: for positions, velocities and accelerations (N, J, 2), None without the field.
    """

    size: int
    names: tuple[str, ...]
    texts: tuple[tuple[int, bytes], ...]
    counts: tuple[NDArray[np.int64], NDArray[np.uint32]]
    times: NDArray[np.int64]
    doubles: tuple[NDArray[np.int64] | None, ...]

    def fits(self, raw: bytes, words: NDArray[np.uint32]) -> bool:
        """Whether `raw` differs from the message of this layout only in its stamp and numbers."""
        where, expected = self.counts
        return (
            len(raw) == self.size
            and all(raw.startswith(text, at) for at, text in self.texts)
            and bool((words[where] == expected).all())
        )


class TrajectoryReader:
    """Reads the JointTrajectories of one topic; a layout that repeats is parsed only once."""

    def __init__(self) -> None:
        """Start without a known layout."""
        self._layout: _TrajectoryLayout | None = None

    def __call__(self, raw: bytes) -> TrajectoryView | None:
        """Read a message; None if its points differ in their fields, or have an effort.

        ObservationError if the bytes are not a JointTrajectory in plain little-endian CDR.
        """
        if raw[:2] != _PLAIN_LITTLE_ENDIAN:
            return None
        words = np.frombuffer(raw, "<u4", (len(raw) - _BODY) // 4, _BODY)
        if self._layout is None or not self._layout.fits(raw, words):
            self._layout = _trajectory_layout(raw)
        layout = self._layout
        if layout is None:
            return None
        times = words[layout.times[:, None] + np.arange(2)].astype(np.int64)
        fields = [
            None if at is None else words[at].view(_F64)[..., 0].copy() for at in layout.doubles
        ]
        assert fields[0] is not None
        seconds, nanoseconds = _STAMP.unpack_from(raw, _BODY)
        return TrajectoryView(
            _nanoseconds(seconds, nanoseconds, "message JointTrajectory"),
            layout.names,
            times[:, 0].astype(np.int32) * _SECOND_NS + times[:, 1],
            fields[0],
            fields[1],
            fields[2],
        )


def _trajectory_layout(raw: bytes) -> _TrajectoryLayout | None:
    """The layout of a JointTrajectory; None if its points differ in their fields."""
    reader = _Reader(raw, "message JointTrajectory")
    reader.stamp_ns()
    frame_at = reader.at
    reader.string("header.frame_id")
    texts = [(frame_at, raw[frame_at : reader.at])]
    counts = [(reader.next_word, reader.u32("joint_names"))]
    names = []
    for _ in range(counts[0][1]):
        name_at = reader.next_word
        names.append(reader.string("joint_names"))
        texts.append((name_at, raw[name_at : reader.at]))
    counts.append((reader.next_word, reader.u32("points")))
    offsets: tuple[list[int], ...] = ([], [], [])
    times, widths = [], set()
    for _ in range(counts[1][1]):
        found = []
        for field in ("positions", "velocities", "accelerations", "effort"):
            word = reader.next_word
            at, count = reader.doubles_at(field)
            counts.append((word, count))
            found.append((at, count))
        for place, (at, _count) in zip(offsets, found, strict=False):
            place.append(at)
        widths.add(tuple(count for _, count in found))
        times.append(reader.take(8, "time_from_start", 4))
    if len(widths) != 1:
        return None
    *own, effort = widths.pop()
    if effort or own[0] != len(names) or any(count not in (0, len(names)) for count in own):
        return None
    doubles = tuple(
        (np.array(places)[:, None, None] - _BODY) // 4
        + np.arange(2 * count).reshape(count, 2)[None]
        if count
        else None
        for places, count in zip(offsets, own, strict=True)
    )
    where, expected = np.array(counts, np.int64).T
    return _TrajectoryLayout(
        len(raw),
        tuple(names),
        tuple(texts),
        ((where - _BODY) // 4, expected.astype(np.uint32)),
        (np.array(times) - _BODY) // 4,
        doubles,
    )


def pose_stamped(raw: bytes) -> PoseView:
    """Read a geometry_msgs/PoseStamped; ObservationError if the bytes are not one."""
    return _read(raw, PoseStamped, _pose_stamped, _pose_stamped_of)


def imu(raw: bytes) -> ImuView:
    """Read a sensor_msgs/Imu's orientation; ObservationError if the bytes are not an Imu."""
    return _read(raw, Imu, _imu, _imu_of)


def _read(
    raw: bytes, kind: Any, plain: Callable[[_Reader], _View], of: Callable[[Any], _View]
) -> _View:
    """Read plain little-endian bytes with `plain`; others as a `kind` message with `of`."""
    what = f"sensor message {kind.__name__}"
    if raw[:2] == _PLAIN_LITTLE_ENDIAN:
        return plain(_Reader(raw, what))
    try:
        message = deserialize_message(raw, kind)
    except Exception as error:  # rclpy raises RCLError, RuntimeError or MemoryError
        raise ObservationError(
            f"{what}: {len(raw)} bytes with encapsulation {raw[:4].hex() or 'none'} "
            f"cannot be deserialised: {error}"
        ) from None
    return of(message)


def _nanoseconds(seconds: int, nanoseconds: int, what: str) -> int:
    if nanoseconds >= _SECOND_NS:
        raise ObservationError(
            f"{what}: header.stamp has {nanoseconds} nanoseconds, expected below {_SECOND_NS}"
        )
    return seconds * _SECOND_NS + nanoseconds


def _header_of(message: Any) -> int:
    stamp = message.header.stamp
    return _nanoseconds(stamp.sec, stamp.nanosec, type(message).__name__)


def _image(reader: _Reader) -> ImageView:
    stamp_ns = reader.stamp_ns()
    reader.string("header.frame_id")
    height, width = reader.u32("height"), reader.u32("width")
    encoding = reader.string("encoding")
    big_endian = reader.raw[reader.take(1, "is_bigendian")] != 0
    step = reader.u32("step")
    return ImageView(stamp_ns, height, width, encoding, step, reader.octets("data"), big_endian)


def _image_of(message: Image) -> ImageView:
    data = np.frombuffer(message.data, np.uint8)
    return ImageView(
        _header_of(message),
        message.height,
        message.width,
        message.encoding,
        message.step,
        data,
        bool(message.is_bigendian),
    )


def _compressed_image(reader: _Reader) -> CompressedView:
    stamp_ns = reader.stamp_ns()
    reader.string("header.frame_id")
    return CompressedView(stamp_ns, reader.string("format"), reader.octets("data"))


def _compressed_image_of(message: CompressedImage) -> CompressedView:
    data = np.frombuffer(message.data, np.uint8)
    return CompressedView(_header_of(message), message.format, data)


def _joint_state(reader: _Reader) -> JointStateView:
    stamp_ns = reader.stamp_ns()
    reader.string("header.frame_id")
    names = reader.strings("name")
    return JointStateView(stamp_ns, names, reader.doubles("position"), reader.doubles("velocity"))


def _joint_layout(raw: bytes) -> _JointLayout | None:
    """The layout of a JointState that `_joint_state` has read; None for another encapsulation."""
    if raw[:2] != _PLAIN_LITTLE_ENDIAN:
        return None
    reader = _Reader(raw, "")
    reader.stamp_ns()
    reader.string("header.frame_id")
    names = reader.strings("name")
    position = reader.doubles_at("position")
    end = reader.at
    velocity = reader.doubles_at("velocity")
    head, between = raw[_AFTER_STAMP : position[0]], raw[end : velocity[0]]
    return _JointLayout(names, head, between, position, velocity)


def _joint_state_of(message: JointState) -> JointStateView:
    position, velocity = np.array(message.position), np.array(message.velocity)
    return JointStateView(_header_of(message), tuple(message.name), position, velocity)


def _pose_stamped(reader: _Reader) -> PoseView:
    stamp_ns = reader.stamp_ns()
    frame_id = reader.string("header.frame_id")
    numbers = np.frombuffer(reader.raw, _F64, 7, reader.take(56, "pose", 8))
    return PoseView(stamp_ns, frame_id, numbers[:3], numbers[3:])


def _pose_stamped_of(message: PoseStamped) -> PoseView:
    position, turn = message.pose.position, message.pose.orientation
    return PoseView(
        _header_of(message),
        message.header.frame_id,
        np.array([position.x, position.y, position.z]),
        np.array([turn.x, turn.y, turn.z, turn.w]),
    )


def _imu(reader: _Reader) -> ImuView:
    stamp_ns = reader.stamp_ns()
    frame_id = reader.string("header.frame_id")
    numbers = np.frombuffer(reader.raw, _F64, 13, reader.take(104, "orientation", 8))
    return ImuView(stamp_ns, frame_id, numbers[:4], float(numbers[4]))


def _imu_of(message: Imu) -> ImuView:
    turn = message.orientation
    return ImuView(
        _header_of(message),
        message.header.frame_id,
        np.array([turn.x, turn.y, turn.z, turn.w]),
        float(message.orientation_covariance[0]),
    )
