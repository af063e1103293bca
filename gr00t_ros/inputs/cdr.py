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

PLAIN_LITTLE_ENDIAN = b"\x00\x01"
"""The first bytes of a message in DDSI-RTPS 10.2's CDR_LE; the next two count padding."""
BODY = 4
"""Where the message's fields begin; their alignment is relative to this offset."""
_AFTER_STAMP = BODY + 8
STAMP = struct.Struct("<iI")
"""Seconds and nanoseconds of a header."""
F64 = np.dtype("<f8")
SECOND_NS = 1_000_000_000
_U32 = struct.Struct("<I")

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


class Reader:
    """A cursor over CDR bytes that checks every length against the end of the message."""

    __slots__ = ("_at", "_what", "raw")

    def __init__(self, raw: bytes, what: str) -> None:
        """Begin at the message's first field; errors begin with `what`."""
        self.raw, self._what, self._at = raw, what, BODY

    @property
    def at(self) -> int:
        """Offset of the next field before alignment."""
        return self._at

    @property
    def next_word(self) -> int:
        """Offset of the next field if it is a word of four bytes."""
        return self._at + (BODY - self._at) % 4

    def take(self, count: int, field: str, align: int = 1) -> int:
        """Offset of the next `count` bytes of `field`; ObservationError if they do not exist."""
        at = self._at + (BODY - self._at) % align
        if at + count > len(self.raw):
            raise ObservationError(
                f"{self._what}: {field} needs {count} bytes at byte {at}, "
                f"the message has {len(self.raw)}"
            )
        self._at = at + count
        return at

    def u32(self, field: str) -> int:
        """The next number of four bytes."""
        number: int = _U32.unpack_from(self.raw, self.take(4, field, 4))[0]
        return number

    def stamp_ns(self) -> int:
        """A header's stamp in ns."""
        seconds, nanoseconds = STAMP.unpack_from(self.raw, self.take(8, "header.stamp", 4))
        return stamp_ns_of(seconds, nanoseconds, self._what)

    def string(self, field: str) -> str:
        """The next text."""
        length = self.u32(field)
        at = self.take(length, field)
        try:
            # The length counts the closing NUL; some writers send an empty string as length 0.
            return self.raw[at : at + max(length - 1, 0)].decode()
        except UnicodeDecodeError as error:
            raise ObservationError(f"{self._what}: {field} is not UTF-8: {error}") from None

    def strings(self, field: str) -> tuple[str, ...]:
        """The next sequence of texts."""
        count = self.u32(field)
        return tuple([self.string(field) for _ in range(count)])

    def octets(self, field: str) -> NDArray[np.uint8]:
        """A view of the next sequence of bytes, (N,)."""
        count = self.u32(field)
        return np.frombuffer(self.raw, np.uint8, count, self.take(count, field))

    def doubles(self, field: str) -> NDArray[np.float64]:
        """A view of the next sequence of doubles, (N,)."""
        at, count = self.doubles_at(field)
        return np.frombuffer(self.raw, F64, count, at) if count else np.empty(0)

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
            and raw[:2] == PLAIN_LITTLE_ENDIAN
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
        seconds, nanoseconds = STAMP.unpack_from(raw, BODY)
        stamp_ns = stamp_ns_of(seconds, nanoseconds, "sensor message JointState")
        position, velocity = (
            np.frombuffer(raw, F64, count, at) if count else np.empty(0)
            for at, count in (layout.position, layout.velocity)
        )
        return JointStateView(stamp_ns, layout.names, position, velocity)


def pose_stamped(raw: bytes) -> PoseView:
    """Read a geometry_msgs/PoseStamped; ObservationError if the bytes are not one."""
    return _read(raw, PoseStamped, _pose_stamped, _pose_stamped_of)


def imu(raw: bytes) -> ImuView:
    """Read a sensor_msgs/Imu's orientation; ObservationError if the bytes are not an Imu."""
    return _read(raw, Imu, _imu, _imu_of)


def _read(
    raw: bytes, kind: Any, plain: Callable[[Reader], _View], of: Callable[[Any], _View]
) -> _View:
    """Read plain little-endian bytes with `plain`; others as a `kind` message with `of`."""
    what = f"sensor message {kind.__name__}"
    if raw[:2] == PLAIN_LITTLE_ENDIAN:
        return plain(Reader(raw, what))
    try:
        message = deserialize_message(raw, kind)
    except Exception as error:  # rclpy raises RCLError, RuntimeError or MemoryError
        raise ObservationError(
            f"{what}: {len(raw)} bytes with encapsulation {raw[:4].hex() or 'none'} "
            f"cannot be deserialised: {error}"
        ) from None
    return of(message)


def stamp_ns_of(seconds: int, nanoseconds: int, what: str) -> int:
    """A header's stamp in ns; ObservationError, which begins with `what`, if it is none."""
    if nanoseconds >= SECOND_NS:
        raise ObservationError(
            f"{what}: header.stamp has {nanoseconds} nanoseconds, expected below {SECOND_NS}"
        )
    return seconds * SECOND_NS + nanoseconds


def _header_of(message: Any) -> int:
    stamp = message.header.stamp
    return stamp_ns_of(stamp.sec, stamp.nanosec, type(message).__name__)


def _image(reader: Reader) -> ImageView:
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


def _compressed_image(reader: Reader) -> CompressedView:
    stamp_ns = reader.stamp_ns()
    reader.string("header.frame_id")
    return CompressedView(stamp_ns, reader.string("format"), reader.octets("data"))


def _compressed_image_of(message: CompressedImage) -> CompressedView:
    data = np.frombuffer(message.data, np.uint8)
    return CompressedView(_header_of(message), message.format, data)


def _joint_state(reader: Reader) -> JointStateView:
    stamp_ns = reader.stamp_ns()
    reader.string("header.frame_id")
    names = reader.strings("name")
    return JointStateView(stamp_ns, names, reader.doubles("position"), reader.doubles("velocity"))


def _joint_layout(raw: bytes) -> _JointLayout | None:
    """The layout of a JointState that `_joint_state` has read; None for another encapsulation."""
    if raw[:2] != PLAIN_LITTLE_ENDIAN:
        return None
    reader = Reader(raw, "")
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


def _pose_stamped(reader: Reader) -> PoseView:
    stamp_ns = reader.stamp_ns()
    frame_id = reader.string("header.frame_id")
    numbers = np.frombuffer(reader.raw, F64, 7, reader.take(56, "pose", 8))
    return PoseView(stamp_ns, frame_id, numbers[:3], numbers[3:])


def _pose_stamped_of(message: PoseStamped) -> PoseView:
    position, turn = message.pose.position, message.pose.orientation
    return PoseView(
        _header_of(message),
        message.header.frame_id,
        np.array([position.x, position.y, position.z]),
        np.array([turn.x, turn.y, turn.z, turn.w]),
    )


def _imu(reader: Reader) -> ImuView:
    stamp_ns = reader.stamp_ns()
    frame_id = reader.string("header.frame_id")
    numbers = np.frombuffer(reader.raw, F64, 13, reader.take(104, "orientation", 8))
    return ImuView(stamp_ns, frame_id, numbers[:4], float(numbers[4]))


def _imu_of(message: Imu) -> ImuView:
    turn = message.orientation
    return ImuView(
        _header_of(message),
        message.header.frame_id,
        np.array([turn.x, turn.y, turn.z, turn.w]),
        float(message.orientation_covariance[0]),
    )
