"""A gripper's goals to its action: on change alone, one at a time, and never taken back by a stop.

The streaming thread leaves the newest value; all that is asked of the action is asked on the
executor's thread. Nothing is sent before the first value, and silence, a fault or the end of this
process change nothing: the gripper keeps its last goal, since letting go and closing are both worse
than what was decided with good inputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from gr00t_ros.core.embodiment import CommandOutput, Embodiment
from gr00t_ros.core.gripper import GoalPicker, GripperGoals
from gr00t_ros.ros.gripper_goals import Goals

_LOOK_S = 0.02
# A driver that has not answered for so long is asked again.
_ANSWER_S = 2.0
_AGAIN_S = 1.0
_ABORTED = 6  # action_msgs/msg/GoalStatus.STATUS_ABORTED


class GripperSender:
    """One gripper; `send` may be called from any thread."""

    def __init__(
        self,
        make: Callable[[Node, CommandOutput, GripperGoals], Goals],
        node: Node,
        output: CommandOutput,
        robot: Embodiment,
    ) -> None:
        """Raises SettingsError where the action's package is not installed."""
        assert output.goals is not None
        self._log, self.topic = node.get_logger(), output.topic
        self._goals = make(node, output, output.goals)
        column, limits = robot.command_limits.names.index(output.names[0]), robot.command_limits
        lower, upper = float(limits.lower[column]), float(limits.upper[column])
        self._picker = GoalPicker(output.goals, lower, upper)
        self._value: float | None = None
        self._running: Any = None
        self._ending: Any = None
        self._not_before_s = 0.0
        self.problem = ""
        node.create_timer(_LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def send(self, values: NDArray[np.float64], stamp: Time) -> None:
        """Ask for the goal of this value, if it is another than the last one."""
        self._value = float(values[0])

    def _look(self) -> None:
        if self._value is None or time.monotonic() < self._not_before_s:
            return
        position = self._picker.wanted(self._value)
        if position is None:
            return
        client, goal = self._goals.of(position)
        if not client.server_is_ready():
            self._wrong(f"no server of action {self.topic}: is the gripper's driver running?")
        elif self._running is not None and self._goals.cancels_first:
            self._end_running()
        else:
            self._ending, self._not_before_s = None, time.monotonic() + _ANSWER_S
            asked = client.send_goal_async(goal)
            asked.add_done_callback(lambda future: self._answered(future, position))

    def _end_running(self) -> None:
        """Have the running goal end; its result, or a driver that is too slow, clears the way."""
        self._ending, self._running = self._running, None
        self._not_before_s = time.monotonic() + _ANSWER_S
        self._ending.cancel_goal_async()

    def _answered(self, future: Any, position: float) -> None:
        self._not_before_s = 0.0
        handle = None if future.exception() else future.result()
        if handle is None or not handle.accepted:
            self._wrong(f"the gripper refused position {position:g}")
            return
        self._picker.last, self._running, self.problem = position, handle, ""
        handle.get_result_async().add_done_callback(
            lambda done: self._ended(done, handle, position)
        )

    def _ended(self, future: Any, handle: Any, position: float) -> None:
        """What has ended is not asked again: a grasp that met no object has closed all the same."""
        if self._running is handle:
            self._running = None
        elif self._ending is handle:
            self._ending, self._not_before_s = None, 0.0
        failed = future.exception() or future.result().status == _ABORTED
        if failed:
            self.problem = f"the gripper gave up position {position:g}"
            self._log.warning(self.problem)

    def _wrong(self, problem: str) -> None:
        self.problem = problem
        self._not_before_s = time.monotonic() + _AGAIN_S
        self._log.error(problem, throttle_duration_sec=5.0)
