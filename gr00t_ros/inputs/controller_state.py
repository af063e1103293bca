"""A controller's state -> what it plays and what it measures.

Read from control_msgs if it is installed, and from this package's own ControllerState, which has
the fields of it that are needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs.cdr import (
    BODY,
    F64,
    PLAIN_LITTLE_ENDIAN,
    SECOND_NS,
    STAMP,
    Reader,
)
from gr00t_ros.msg import ControllerState
from gr00t_ros.observe.readings import JointReading
from gr00t_ros.ros.pulled import graph_name

CONTROL_MSGS_STATE = "control_msgs/msg/JointTrajectoryControllerState"
OWN_STATE = "gr00t_ros/msg/ControllerState"

STATE_TYPES: tuple[Any, ...] = (ControllerState,)
with contextlib.suppress(ImportError):  # in no package index: only real ROS installs have it
    from control_msgs.msg import JointTrajectoryControllerState

    STATE_TYPES = (JointTrajectoryControllerState, ControllerState)

STATE_TYPE_NAMES = tuple(graph_name(kind) for kind in STATE_TYPES)
"""The types of a controller's state that can be read, as named in the ROS graph."""


@dataclass(frozen=True, slots=True, eq=False)
class ControllerReading:
    """`reference`: what the controller holds or plays; `feedback`: what it measures.

    `speed_scaling` is 1.0 for controllers that are too old to report one.
    """

    reference: JointReading
    feedback: JointReading
    speed_scaling: float


def controller_state(message: Any) -> tuple[int, ControllerReading]:
    """Stamp (ns) and reading of a message of one of STATE_TYPES.

    Raises ObservationError if a point has another number of positions than there are joints.
    """
    reading = ControllerReading(
        reference=_reading(message.joint_names, message.reference, "reference"),
        feedback=_reading(message.joint_names, message.feedback, "feedback"),
        speed_scaling=float(getattr(message, "speed_scaling_factor", 1.0)),
    )
    stamp = message.header.stamp
    return int(stamp.sec) * SECOND_NS + int(stamp.nanosec), reading


def _reading(names: list[str], point: Any, field: str) -> JointReading:
    position, velocity = np.array(point.positions), np.array(point.velocities)
    if len(position) != len(names):
        raise ObservationError(
            f"controller state: {field} has {len(position)} positions for {len(names)} joints"
        )
    return JointReading(tuple(names), position, velocity if len(velocity) == len(names) else None)


class StateSubscription(Protocol):
    """What PulledSubscription has for its readers."""

    message_type: type[Any]  # of the serialised message, one of STATE_TYPES

    def parse(self, serialised: bytes) -> Any:
        """The message of the bytes; raises ObservationError if they are none."""


class ControllerStateReader:
    """Reads the serialised states of one controller.

    A layout that repeats is parsed only once: building rclpy's message takes ten times as long as
    reading the numbers.
    """

    def __init__(self, subscription: StateSubscription) -> None:
        """Read what `subscription` takes, in its present type."""
        self._subscription = subscription
        self._kind: type[Any] | None = None
        self._layout: _Layout | None = None

    def __call__(self, raw: bytes) -> tuple[int, ControllerReading]:
        """Stamp (ns) and reading; raises ObservationError as `parse` and `controller_state` do."""
        kind = self._subscription.message_type
        if self._layout is not None and kind is self._kind and self._layout.fits(raw):
            return self._layout.read(raw)
        message = self._subscription.parse(raw)
        found = controller_state(message)
        self._kind, self._layout = kind, None
        with contextlib.suppress(ObservationError):  # rclpy is laxer about texts
            layout = _layout(raw, message.get_fields_and_field_types())
            if layout is not None and _numbers(layout.read(raw)) == _numbers(found):
                self._layout = layout
        return found


def _numbers(found: tuple[int, ControllerReading]) -> object:
    """All that a reading has, to compare it bit by bit."""
    stamp_ns, reading = found
    arrays = [(one.position, one.velocity) for one in (reading.reference, reading.feedback)]
    return (
        stamp_ns,
        reading.reference.names,
        [None if field is None else field.tobytes() for pair in arrays for field in pair],
        np.float64(reading.speed_scaling).tobytes(),
    )


_Place = tuple[int, int]  # offset in bytes, number of doubles


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the numbers of a controller's state lie.

    same: offsets and bytes of the texts and of each number of values; a message of this layout has
    the same ones there. The bytes between them align numbers, and have any value.
    reference, feedback: of their positions and velocities. speed_scaling: None without the field.
    size: least number of bytes; some writers append more.
    """

    names: tuple[str, ...]
    same: tuple[tuple[int, bytes], ...]
    reference: tuple[_Place, _Place]
    feedback: tuple[_Place, _Place]
    speed_scaling: _Place | None
    size: int

    def fits(self, raw: bytes) -> bool:
        """Whether `raw` differs from the message of this layout only in its stamp and numbers."""
        return (
            len(raw) >= self.size
            and raw.startswith(PLAIN_LITTLE_ENDIAN)
            and all(raw.startswith(text, at) for at, text in self.same)
        )

    def read(self, raw: bytes) -> tuple[int, ControllerReading]:
        """Stamp (ns) and reading of bytes that fit."""
        seconds, nanoseconds = STAMP.unpack_from(raw, BODY)
        scaling = self.speed_scaling
        reading = ControllerReading(
            self._joints(raw, self.reference),
            self._joints(raw, self.feedback),
            1.0 if scaling is None else float(_doubles(raw, scaling)[0]),
        )
        return seconds * SECOND_NS + nanoseconds, reading

    def _joints(self, raw: bytes, places: tuple[_Place, _Place]) -> JointReading:
        position, velocity = (_doubles(raw, place) for place in places)
        known = len(velocity) == len(self.names)
        return JointReading(self.names, position, velocity if known else None)


def _doubles(raw: bytes, place: _Place) -> NDArray[np.float64]:
    at, count = place
    return np.frombuffer(raw, F64, count, at)


_HEADER, _NAMES, _NUMBER = "std_msgs/Header", "sequence<string>", "double"
_POINT = "trajectory_msgs/JointTrajectoryPoint"
_OTHER_POINT = "trajectory_msgs/MultiDOFJointTrajectoryPoint"


def _layout(raw: bytes, fields: Mapping[str, str]) -> _Layout | None:
    """The layout of a state that rclpy has read, by the fields of its type and their types.

    None for fields of unknown types, and for values of joints with several degrees of freedom.
    """
    if not raw.startswith(PLAIN_LITTLE_ENDIAN):
        return None
    reader, same = Reader(raw, "controller state"), []
    names: dict[str, tuple[str, ...]] = {}
    points: dict[str, tuple[_Place, _Place]] = {}
    numbers: dict[str, _Place] = {}
    for field, kind in fields.items():
        begin = reader.next_word
        if kind == _HEADER:
            begin = reader.take(STAMP.size, "stamp", 4) + STAMP.size
            reader.string("frame_id")
            same.append((begin, raw[begin : reader.at]))
        elif kind == _NAMES:
            count = reader.u32(field)
            same.append((begin, raw[begin : reader.at]))
            names[field] = ()
            for _ in range(count):
                begin = reader.next_word
                names[field] += (reader.string(field),)
                same.append((begin, raw[begin : reader.at]))
        elif kind == _POINT:
            places = []
            for _ in ("positions", "velocities", "accelerations", "effort"):
                word = reader.next_word
                places.append(reader.doubles_at(field))
                same.append((word, raw[word : word + 4]))
            reader.take(8, "time_from_start", 4)
            points[field] = places[0], places[1]
        elif kind == _OTHER_POINT:
            counts = [reader.u32(field) for _ in ("transforms", "velocities", "accelerations")]
            if any(counts):
                return None
            same.append((begin, raw[begin : reader.at]))
            reader.take(8, "time_from_start", 4)
        elif kind == _NUMBER:
            numbers[field] = reader.take(F64.itemsize, field, F64.itemsize), 1
        else:
            return None
    return _Layout(
        names["joint_names"],
        tuple(same),
        points["reference"],
        points["feedback"],
        numbers.get("speed_scaling_factor"),
        reader.at,
    )
