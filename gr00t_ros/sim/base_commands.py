"""What a simulated robot is told about its base: velocities and heights, recorded and not obeyed.

Its pelvis is fixed. One subscription a topic; the newest rows are kept, as in the 1 kHz record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from geometry_msgs.msg import Twist
from rclpy.node import Node
from std_msgs.msg import Float64

from gr00t_ros.ros import qos
from gr00t_ros.sim.description import RecordedTopic
from gr00t_ros.sim.record import TimedRows

KEPT_ROWS = 20_000  # 400 s at 50 Hz


def _twist(message: Twist) -> tuple[float, ...]:
    return message.linear.x, message.linear.y, message.angular.z


def _height(message: Float64) -> tuple[float, ...]:
    return (message.data,)


KINDS: Mapping[str, tuple[type, int, Callable[[Any], tuple[float, ...]]]] = {
    "twist": (Twist, 3, _twist),
    "height": (Float64, 1, _height),
}
"""RecordedTopic.kind -> message type, width of a row, and the row of a message."""


class BaseCommands:
    """Remembers what came on the topics; safe to read in any thread."""

    def __init__(
        self, node: Node, topics: tuple[RecordedTopic, ...], now_ns: Callable[[], int]
    ) -> None:
        """Listen from now on; ``now_ns`` is the controllers' clock."""
        self._now_ns = now_ns
        self._width = {one.topic: KINDS[one.kind][1] for one in topics}
        self._rows: dict[str, deque[tuple[int, tuple[float, ...]]]] = {
            one.topic: deque(maxlen=KEPT_ROWS) for one in topics
        }
        self._counts = dict.fromkeys(self._rows, 0)
        for one in topics:
            node.create_subscription(
                KINDS[one.kind][0], one.topic, self._receiver(one), qos.COMMAND
            )

    def _receiver(self, one: RecordedTopic) -> Callable[[Any], None]:
        row_of = KINDS[one.kind][2]

        def receive(message: Any) -> None:
            self._rows[one.topic].append((self._now_ns(), row_of(message)))
            self._counts[one.topic] += 1

        return receive

    def report(self) -> dict[str, object]:
        """Return count and newest values of each topic, as JSON can say it."""
        return {
            topic: {"count": self._counts[topic], "newest": list(rows[-1][1]) if rows else None}
            for topic, rows in self._rows.items()
        }

    def rows(self) -> dict[str, TimedRows]:
        """Return a copy of what is kept: for each topic the times and the values (M, D)."""
        return {topic: self._timed(topic) for topic in self._rows}

    def _timed(self, topic: str) -> TimedRows:
        rows = list(self._rows[topic])
        values = np.array([values for _, values in rows], dtype=np.float64)
        return TimedRows(
            np.array([time_ns for time_ns, _ in rows], dtype=np.int64),
            values.reshape(len(rows), self._width[topic]),
        )
