"""JointTrajectory messages <-> arrays, without building message objects.

A layout that repeats is found once; then only its numbers are read or written. For a window of 26
points and 7 joints that takes a tenth of the time of a message's points, their conversion by rclpy
and their serialisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.inputs.cdr import (
    BODY,
    F64,
    PLAIN_LITTLE_ENDIAN,
    SECOND_NS,
    STAMP,
    Reader,
    stamp_ns_of,
)

_FIELDS = "positions", "velocities", "accelerations", "effort"
_WORD = np.dtype("<u4")
_EACH = -1
_POINTS = 64  # that a writer lays out at once; windows of the defaults have up to 31
_MOST_NS = 2**31 * SECOND_NS

Floats = NDArray[np.float64]


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


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the words of a JointTrajectory lie, N points of J joints.

    end: offset behind the last field; some writers append bytes of any value. texts: offset and
    bytes of each text; the bytes between them align numbers, and have any value. counts: indices of
    the words that count values, and what they are. times: (N, 2) of the seconds and nanoseconds of
    each point. doubles: for positions, velocities and accelerations (V, J, 2), of the first V
    points, which have the field; all points have positions.
    """

    end: int
    names: tuple[str, ...]
    texts: tuple[tuple[int, bytes], ...]
    counts: tuple[NDArray[np.int64], NDArray[np.uint32]]
    times: NDArray[np.int64]
    doubles: tuple[NDArray[np.int64], ...]

    def fits(self, raw: bytes, words: NDArray[np.uint32]) -> bool:
        """Whether `raw` differs from the message of this layout only in its stamp and numbers."""
        where, expected = self.counts
        return (
            len(raw) >= self.end
            and all(raw.startswith(text, at) for at, text in self.texts)
            and bool((words[where] == expected).all())
        )

    def blank(self, encapsulation: bytes) -> bytes:
        """A message of this layout in which the stamp, all numbers and all padding are 0."""
        raw = bytearray(self.end)
        raw[:BODY] = encapsulation
        for at, text in self.texts:
            raw[at : at + len(text)] = text
        where, expected = self.counts
        _words(raw)[where] = expected
        return bytes(raw)

    def end_of(self, count: int) -> int:
        """Offset behind that many points: a point ends with its time."""
        return BODY + _WORD.itemsize * (int(self.times[count - 1, 1]) + 1)

    @property
    def points(self) -> int:
        """Index of the word that counts the points, which follows that of the names."""
        return int(self.counts[0][1])

    @property
    def even(self) -> bool:
        """Whether all points have the same fields."""
        return all(len(at) in (0, len(self.times)) for at in self.doubles)


class TrajectoryReader:
    """Reads the JointTrajectories of one topic."""

    def __init__(self) -> None:
        """Start without a known layout."""
        self._layout: _Layout | None = None

    def __call__(self, raw: bytes) -> TrajectoryView | None:
        """Read a message; None if its points differ in their fields, or have an effort.

        ObservationError if the bytes are not a JointTrajectory in plain little-endian CDR.
        """
        if not _is_plain(raw):
            return None
        words = _words(raw)
        if self._layout is None or not self._layout.fits(raw, words):
            self._layout = _layout(raw)
        layout = self._layout
        if layout is None or not layout.even:
            return None
        times = words[layout.times].astype(np.int64)
        positions, velocities, accelerations = (
            words[at].view(F64)[..., 0].copy() for at in layout.doubles
        )
        seconds, nanoseconds = STAMP.unpack_from(raw, BODY)
        return TrajectoryView(
            stamp_ns_of(seconds, nanoseconds, "message JointTrajectory"),
            layout.names,
            times[:, 0].astype(np.int32) * SECOND_NS + times[:, 1],
            positions,
            velocities if len(velocities) else None,
            accelerations if len(accelerations) else None,
        )


class TrajectoryWriter:
    """Writes the JointTrajectories of one topic, as bytes that a publisher sends as they are.

    The layout is found once, in a message that rclpy serialises: one of fewer points is the
    beginning of one of more points. That message itself is not sent: behind its fields and between
    them it has bytes of this process's memory.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """names: of the J joints or values."""
        self._names = list(names)
        self._known: dict[tuple[int, ...], tuple[bytes, _Layout] | None] = {}

    def __call__(
        self,
        stamp: Time,
        times_ns: NDArray[np.int64],
        positions: Floats,
        velocities: Floats | None = None,
        accelerations: Floats | None = None,
    ) -> bytes | JointTrajectory:
        """The message with N points at `times_ns`, (N,) from the stamp, and (N, J) positions.

        velocities, accelerations: (V, J) of the first V points; None: of no point. Not serialised
        where the middleware does not write plain little-endian CDR. Raises ValueError for no point,
        arrays of other shapes and times that a Duration does not hold. The first message with a
        field takes milliseconds.
        """
        fields = tuple(
            np.empty((0, len(self._names))) if field is None else np.ascontiguousarray(field, F64)
            for field in (positions, velocities, accelerations)
        )
        count = len(positions)
        self._check(times_ns, fields)
        having = tuple(_EACH if len(field) == count else len(field) for field in fields)
        known = self._known.get(having)
        if having not in self._known or (known is not None and len(known[1].times) < count):
            known = self._known[having] = self._lay_out(having, count)
        if known is None:
            return self._message(stamp, times_ns, fields)
        blank, layout = known
        raw = bytearray(blank[: layout.end_of(count)])
        words = _words(raw)
        STAMP.pack_into(raw, BODY, stamp.sec, stamp.nanosec)
        words[layout.points] = count
        words[layout.times[:count]] = np.stack(np.divmod(times_ns, SECOND_NS), axis=-1)
        for at, field in zip(layout.doubles, fields, strict=True):
            words[at[: len(field)]] = field.view(_WORD).reshape(*field.shape, 2)
        return bytes(raw)

    def _check(self, times_ns: NDArray[np.int64], fields: Sequence[Floats]) -> None:
        shapes = [field.shape for field in fields]
        count = shapes[0][0]
        wide = all(shape[1:] == (len(self._names),) and shape[0] <= count for shape in shapes)
        if not wide or not count or times_ns.shape != (count,):
            raise ValueError(
                f"trajectory of {', '.join(self._names)}: got {times_ns.shape} times and rows of "
                f"{shapes}"
            )
        if not -_MOST_NS <= times_ns.min() <= times_ns.max() < _MOST_NS:
            raise ValueError(f"trajectory: got times {times_ns} ns, expected int32 seconds")

    def _lay_out(self, having: tuple[int, ...], count: int) -> tuple[bytes, _Layout] | None:
        """A blank message of at least `count` points, and its layout; None if it is not plain.

        having: how many of the first points have each field, or _EACH.
        """
        most = max(_POINTS, 2 * count)
        zeros = [np.zeros((most if n == _EACH else n, len(self._names))) for n in having]
        times_ns = np.zeros(most, dtype=np.int64)
        raw: bytes = serialize_message(self._message(Time(), times_ns, zeros))
        layout = _layout(raw) if _is_plain(raw) else None
        return None if layout is None else (layout.blank(raw[:BODY]), layout)

    def _message(
        self, stamp: Time, times_ns: NDArray[np.int64], fields: Sequence[Floats]
    ) -> JointTrajectory:
        """The message as rclpy has it."""
        message = JointTrajectory(joint_names=self._names)
        message.header.stamp = stamp
        for number, time_ns in enumerate(times_ns.tolist()):
            point = JointTrajectoryPoint()
            point.positions, point.velocities, point.accelerations = (
                field[number].tolist() if number < len(field) else [] for field in fields
            )
            span = point.time_from_start
            span.sec, span.nanosec = divmod(time_ns, SECOND_NS)
            message.points.append(point)
        return message


def _is_plain(raw: bytes) -> bool:
    """Whether it begins as plain little-endian CDR."""
    return len(raw) >= BODY and raw.startswith(PLAIN_LITTLE_ENDIAN)


def _words(raw: bytes | bytearray) -> NDArray[np.uint32]:
    """(N,) words of a message's body, a view of it."""
    return np.frombuffer(raw, _WORD, (len(raw) - BODY) // 4, BODY)


def _layout(raw: bytes) -> _Layout | None:
    """The layout of a JointTrajectory; None if it has an effort, or fields of other lengths.

    ObservationError if the bytes are none.
    """
    reader = Reader(raw, "message JointTrajectory")
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
    fields: dict[str, list[tuple[int, int]]] = {field: [] for field in _FIELDS}
    times = []
    for _ in range(counts[1][1]):
        for field, places in fields.items():
            word = reader.next_word
            places.append(reader.doubles_at(field))
            counts.append((word, places[-1][1]))
        times.append(reader.take(8, "time_from_start", 4))
    efforts = fields.pop(_FIELDS[-1])
    found = (_doubles(one, len(names)) for one in fields.values())
    doubles = tuple(at for at in found if at is not None)
    if not times or any(count for _, count in efforts):
        return None
    if len(doubles) < len(fields) or len(doubles[0]) != len(times):
        return None
    where, expected = np.array(counts, np.int64).T
    seconds = (np.array(times)[:, None] - BODY) // 4
    return _Layout(
        reader.at,
        tuple(names),
        tuple(texts),
        ((where - BODY) // 4, expected.astype(np.uint32)),
        np.hstack([seconds, seconds + 1]),
        doubles,
    )


def _doubles(places: Sequence[tuple[int, int]], width: int) -> NDArray[np.int64] | None:
    """(V, width, 2) indices of the words of a field that the first V points have.

    places: offset and number of values at each point. None if another point has some, or if the
    first V do not have `width` each.
    """
    having = sum(count > 0 for _, count in places)
    if any(count != (width if number < having else 0) for number, (_, count) in enumerate(places)):
        return None
    begin = (np.array([at for at, _ in places[:having]], np.int64) - BODY) // 4
    return begin[:, None, None] + np.arange(2 * width).reshape(width, 2)
