"""The plan clock of the node and its offset to ROS time.

Plans, ages and watches run on steady time, since a step of the system clock must not move an
arm (control.md 1, item 2); with use_sim_time they run on ROS time. The offset to ROS time is
measured at each call. Any thread may call.
"""

from __future__ import annotations

import threading
import time

from rclpy.node import Node

from gr00t_ros.core.offset import ClockOffset

# A reading within this span was not interrupted; else it is repeated, a few times.
_QUICK_NS = 20_000
_TRIES = 4
# The first is what all later ones are held against: the narrowest of so many, in 0.2 ms.
_FIRST_TRIES = 100
# Between the two readings of a pair the thread may have been put aside for this long.
_ONE_INSTANT_NS = 10_000_000


class PlanClock:
    """Reads plan time, and turns plan times into ROS stamps and back; all in ns."""

    def __init__(self, node: Node) -> None:
        """Follow the clock of `node`, whose use_sim_time is read once."""
        self._ros = node.get_clock()
        self._lock = threading.Lock()
        self._offset = ClockOffset()
        self._offset.update(*min((self._reading() for _ in range(_FIRST_TRIES)), key=_width_ns))
        self.simulated: bool = bool(node.get_parameter("use_sim_time").value)

    def ros_now_ns(self) -> int:
        """ROS time now."""
        return int(self._ros.now().nanoseconds)

    def now_ns(self) -> int:
        """Plan time now."""
        return self.ros_now_ns() if self.simulated else time.monotonic_ns()

    def offset_ns(self) -> int:
        """ROS time minus plan time, measured now: 0 with use_sim_time."""
        if self.simulated:
            return 0
        reading = self._reading()
        for _ in range(_TRIES - 1):
            if reading[2] - reading[0] <= _QUICK_NS:
                break
            reading = min(reading, self._reading(), key=_width_ns)
        with self._lock:
            return self._offset.update(*reading)

    def pair(self) -> tuple[int, int] | None:
        """ROS time and steady time of one instant, ns; None where it cannot be told to 10 ms."""
        before_ns, ros_ns, after_ns = self._reading()
        return (ros_ns, after_ns) if after_ns - before_ns <= _ONE_INSTANT_NS else None

    def _reading(self) -> tuple[int, int, int]:
        return time.monotonic_ns(), self.ros_now_ns(), time.monotonic_ns()


def _width_ns(reading: tuple[int, int, int]) -> int:
    return reading[2] - reading[0]
