"""The joint curves of a bag: predicted, commanded and measured, in blocks of a few seconds.

A block is computed from its own messages and those of a fixed time before it. So the curves at a
time do not depend on how that time was reached. Only a few blocks are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message

from gr00t_ros.bags.bag import Bag, BagMessage
from gr00t_ros.convert.commanded import Commanded
from gr00t_ros.errors import ChunkError, ObservationError
from gr00t_ros.inputs import cdr
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.msg import ActionChunk
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.ros.policy_node import CHUNK_TYPE

Floats = NDArray[np.float64]

SPAN_NS: Final = 10_000_000_000
"""What the page shows: the last ten seconds."""

STEP_NS: Final = 50_000_000
_BLOCK_STEPS: Final = 60
_BLOCK_NS: Final = _BLOCK_STEPS * STEP_NS
_BEFORE_NS: Final = 2_000_000_000  # windows, chunks and states that a block begins with
_KEPT_BLOCKS: Final = 6  # those of SPAN_NS, and one more
_FRESH_NS: Final = 500_000_000  # an older measured position is unknown
_SECOND_NS: Final = 1_000_000_000
_JOINT_STATE: Final = "sensor_msgs/msg/JointState"


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """(N,) int64 times from the bag's start, ns; (N, J) rad or m, NaN where unknown."""

    times_ns: NDArray[np.int64]
    predicted: Floats
    commanded: Floats
    measured: Floats


class BagCurves:
    """The curves of one bag; the bag must not be read by others in the meantime."""

    def __init__(self, bag: Bag, robot: Embodiment, node: str) -> None:
        """`node`: the full name of the policy node."""
        self._bag, self._robot, self._node = bag, robot, node
        types = {one.name: one.type_name for one in bag.topics if not one.problem}
        self._states = {
            topic
            for stream in robot.state
            for topic in stream.topics
            if types.get(topic) == _JOINT_STATE
        }
        chunks = f"{node}/action_chunk"
        self._chunks = {chunks} if types.get(chunks) == CHUNK_TYPE else set()
        self._blocks: OrderedDict[int, _Block] = OrderedDict()

    def at(self, position_ns: int) -> dict[str, Any]:
        """The curves of the last ten seconds before that position in the bag, for the page.

        Raises BagError where the bag cannot be read.
        """
        first_ns = max(0, position_ns - SPAN_NS)
        blocks = [
            self._block(n) for n in range(first_ns // _BLOCK_NS, position_ns // _BLOCK_NS + 1)
        ]
        times_ns = np.concatenate([one.times_ns for one in blocks])
        shown = (times_ns > position_ns - SPAN_NS) & (times_ns <= position_ns)
        seconds = (times_ns[shown] - position_ns) * 1e-9
        return {
            "names": list(self._robot.joint_names),
            "t": [round(float(one), 3) for one in seconds],
            **{
                name: _columns(np.concatenate([getattr(one, name) for one in blocks])[shown])
                for name in ("predicted", "commanded", "measured")
            },
        }

    def _block(self, number: int) -> _Block:
        if number not in self._blocks:
            self._blocks[number] = self._read(number)
        self._blocks.move_to_end(number)
        while len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]

    def _read(self, number: int) -> _Block:
        """Compute a block: each row is sampled when all messages up to its time were taken."""
        begin_ns = self._bag.start_ns + number * _BLOCK_NS
        times_ns = begin_ns + STEP_NS * np.arange(_BLOCK_STEPS, dtype=np.int64)
        times_ns = times_ns[times_ns <= self._bag.end_ns]
        commanded = Commanded(self._bag, self._robot, self._node)
        measured = _Measured(self._robot.joint_names)
        predicted = _Predicted(self._robot)
        rows: list[tuple[Floats, Floats, Floats]] = []

        def sample_before(limit_ns: int) -> None:
            while len(rows) < len(times_ns) and times_ns[len(rows)] < limit_ns:
                now_ns = int(times_ns[len(rows)])
                joints = commanded.at(now_ns).joints
                rows.append((predicted.at(now_ns), joints, measured.at(now_ns)))

        for message in self._messages(begin_ns - _BEFORE_NS, commanded.topics):
            sample_before(message.time_ns)
            if len(rows) == len(times_ns):
                break
            if message.topic in self._states:
                measured.put(message)
            if message.topic in self._chunks:
                predicted.put(message)
            if message.topic in commanded.topics:
                commanded.put(message.topic, message.time_ns, message.data)
        sample_before(self._bag.end_ns + 1)
        width = len(self._robot.joint_names)
        columns = [np.array([row[i] for row in rows]).reshape(len(rows), width) for i in range(3)]
        return _Block(times_ns - self._bag.start_ns, *columns)

    def _messages(self, from_ns: int, commanded: frozenset[str]) -> Iterator[BagMessage]:
        topics = self._states | self._chunks | commanded
        return self._bag.messages(topics, max(0, from_ns)) if topics else iter(())


class _Measured:
    """The newest position of each joint, whatever message it came in."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._columns = {name: column for column, name in enumerate(names)}
        self._values = np.full(len(names), np.nan)
        self._times_ns = np.full(len(names), -_FRESH_NS, np.int64)

    def put(self, message: BagMessage) -> None:
        try:
            view = cdr.joint_state(message.data)
        except ObservationError:
            return
        for name, value in zip(view.names, view.position, strict=False):
            column = self._columns.get(name)
            if column is not None:
                self._values[column], self._times_ns[column] = value, message.time_ns

    def at(self, now_ns: int) -> Floats:
        return np.where(now_ns - self._times_ns <= _FRESH_NS, self._values, np.nan)


class _Predicted:
    """The newest accepted chunk, as joint positions."""

    def __init__(self, robot: Embodiment) -> None:
        self._robot = robot
        self._widths = {key.key: key.width for key in robot.action}
        self._joints: Floats | None = None
        self._stamp_ns, self._step_ns = 0, 1

    def put(self, message: BagMessage) -> None:
        chunk = deserialize_message(message.data, ActionChunk)
        if not chunk.accepted:
            return
        stamp, step = chunk.header.stamp, chunk.step_duration
        try:
            reply = {
                one.action_key: np.array(one.data, np.float32).reshape(one.rows, -1)
                for one in chunk.groups
                if one.action_key in self._widths
            }
            joints = from_reply(self._robot, reply, 0, 0, 0).joints
        except (ChunkError, ValueError):  # of another embodiment file: nothing is shown
            self._joints = None
            return
        self._joints = joints
        self._stamp_ns = stamp.sec * _SECOND_NS + stamp.nanosec
        self._step_ns = max(1, step.sec * _SECOND_NS + step.nanosec)

    def at(self, now_ns: int) -> Floats:
        """(J,) positions; NaN before the first row, after the last, and without a chunk."""
        unknown = np.full(len(self._robot.joint_names), np.nan)
        if self._joints is None:
            return unknown
        row = round((now_ns - self._stamp_ns) / self._step_ns)
        return self._joints[row] if 0 <= row < len(self._joints) else unknown


def _columns(rows: Floats) -> list[list[float | None]]:
    """(N, J) as J lists of N numbers for JSON; null where unknown."""
    return [
        [round(float(one), 5) if np.isfinite(one) else None for one in column] for column in rows.T
    ]
