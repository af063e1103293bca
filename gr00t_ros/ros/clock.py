"""The plan clock of the node and its offset to ROS time.

Plans use steady time, because a step of the system clock must not move an arm (control.md 1, item
2). With use_sim_time they use ROS time; ages of what arrived stay on steady time. Each call
measures the offset to ROS time. All methods may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.time_source import CLOCK_TOPIC

from gr00t_ros.motion.clocks import ClockOffset

USE_SIM_TIME = "use_sim_time"

# A reading that took at most this long was not interrupted; a longer one is repeated _TRIES times.
_QUICK_NS = 20_000
_TRIES = 4
# Later readings are compared with the first one, so that is the narrowest of this many (0.06 ms).
_FIRST_TRIES = 100
# Longest time between the two readings of a pair: the thread may be preempted between them.
_ONE_INSTANT_NS = 10_000_000


class PlanClock:
    """Reads plan time, and turns plan times into ROS stamps and back; all in ns."""

    def __init__(self, node: Node) -> None:
        """Use the clock of `node`; use_sim_time is read once and cannot change until `destroy`.

        rclpy's own clock would follow a change of the parameter while the plans stay in the old
        time, and stamps would become negative.
        """
        self._node = node
        self._ros = node.get_clock()
        self._lock = threading.Lock()
        self._offset = ClockOffset()
        self.simulated: bool = bool(node.get_parameter(USE_SIM_TIME).value)
        self._offset.update(*min((self._reading() for _ in range(_FIRST_TRIES)), key=_width_ns))
        # rclpy calls the callback that was added last first: ours runs before rclpy's own, which
        # would accept the change.
        node.add_on_set_parameters_callback(self._refuse)

    def destroy(self) -> None:
        """Allow changes of use_sim_time again."""
        self._node.remove_on_set_parameters_callback(self._refuse)

    def _refuse(self, changes: Sequence[Parameter]) -> SetParametersResult:
        for change in changes:
            if change.name == USE_SIM_TIME and change.value is not self.simulated:
                reason = (
                    f"parameter {USE_SIM_TIME}: got {change.value}, expected {self.simulated} as "
                    "at the start: the clock of a plan cannot be changed; set it before the node "
                    "is configured"
                )
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    def ros_now_ns(self) -> int:
        """ROS time now; where it is not simulated it is the system's, and rclpy is slow to ask."""
        return int(self._ros.now().nanoseconds) if self.simulated else time.time_ns()

    def now_ns(self) -> int:
        """Plan time now."""
        return self.ros_now_ns() if self.simulated else time.monotonic_ns()

    def take(self) -> None:
        """Take the newest simulated time now; only for the executor's thread, while it is busy.

        rclpy receives /clock by the node's executor. So simulated time would stand still during a
        transition, and a stop that the transition waits for would not go on.
        """
        if not self.simulated:
            return
        topic = self._node.resolve_topic_name(CLOCK_TOPIC)
        for subscription in self._node.subscriptions:
            if subscription.topic_name == topic:
                with subscription.handle:
                    taken = subscription.handle.take_message(subscription.msg_type, False)
                if taken is not None:
                    subscription.callback(taken[0])

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

    def ros_minus_steady_ns(self) -> int:
        """ROS time minus steady time, measured now, also with use_sim_time."""
        if not self.simulated:
            return self.offset_ns()
        before_ns, ros_ns, after_ns = self._reading()
        return ros_ns - (before_ns + after_ns) // 2

    def pair(self) -> tuple[int, int] | None:
        """ROS time and steady time of one instant, ns; None if they were read over 10 ms apart.

        A thread that is preempted between the two readings tries again.
        """
        for _ in range(_TRIES):
            before_ns, ros_ns, after_ns = self._reading()
            if after_ns - before_ns <= _ONE_INSTANT_NS:
                return ros_ns, after_ns
        return None

    def _reading(self) -> tuple[int, int, int]:
        return time.monotonic_ns(), self.ros_now_ns(), time.monotonic_ns()


def _width_ns(reading: tuple[int, int, int]) -> int:
    return reading[2] - reading[0]
