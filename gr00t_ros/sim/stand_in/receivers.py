"""What receives the stand-in robot's commands beside trajectories, and keeps each with its time.

A value takes effect at once. Rows are kept by the topic, or by the name of the action.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from rclpy.action import ActionServer
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Float64MultiArray

from gr00t_ros.msg import ControllerState
from gr00t_ros.robot.actions import Output
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.outputs import CommandOutput, PoseOutput
from gr00t_ros.ros import qos
from gr00t_ros.sim.record import TimedRows
from gr00t_ros.stream.command_types import COMMAND_TYPES
from gr00t_ros.stream.points import message_class

KEPT_ROWS = 100_000
_CONTROL, _FRANKA = "ros-controls/control_msgs", "frankarobotics/franka_ros2"

ValueRow = tuple[float, ...]
ValueOf = Callable[[Any], float]

ACTIONS: Mapping[str, tuple[tuple[str, str, str, ValueOf], ...]] = {
    "gripper_command": (
        ("control_msgs", "GripperCommand", _CONTROL, lambda goal: goal.command.position),
    ),
    "parallel_gripper_command": (
        ("control_msgs", "ParallelGripperCommand", _CONTROL, lambda g: g.command.position[0]),
    ),
    "franka_gripper": (
        ("franka_msgs", "Move", _FRANKA, lambda goal: goal.width),
        ("franka_msgs", "Grasp", _FRANKA, lambda goal: goal.width),
    ),
}
"""Output type -> for each of its actions: package, name, origin, and the value of a goal."""


class Receivers:
    """All outputs that take no trajectories; `moved` gets joint names and values."""

    def __init__(
        self,
        node: Node,
        robot: Embodiment,
        moved: Callable[[tuple[str, ...], ValueRow], None],
        posed: Callable[[str, ValueRow], None],
    ) -> None:
        """posed: gets a state key and the pose that was commanded for it, 7 numbers.

        Raises SettingsError where a gripper's action is not installed.
        """
        self._node, self._moved = node, moved
        self._rows: dict[str, deque[tuple[int, ValueRow]]] = {}
        for output in robot.outputs:
            if output.type == "forward_command":
                self._forward(output)
        for command in robot.commands:
            self._command(command)
        for pose in robot.poses:
            self._values(pose, partial(posed, pose.pose))

    def rows(self) -> dict[str, TimedRows]:
        """A copy of everything received; times are steady time."""
        return {topic: _timed(list(rows)) for topic, rows in self._rows.items() if rows}

    def _forward(self, output: Output) -> None:
        """A forward command controller, and the state that its streamer publishes."""

        def apply(row: ValueRow) -> None:
            if len(row) == len(output.names):  # a real one refuses others
                self._moved(output.names, row)

        self._topic(Float64MultiArray, output.topic, lambda message: tuple(message.data), apply)
        self._topic(ControllerState, output.state_topic, _reference, lambda row: None, qos.READINGS)

    def _command(self, output: CommandOutput) -> None:
        if output.goals is not None:
            for action, kind in zip(output.actions, ACTIONS[output.type], strict=True):
                self._action(output, action, *kind)
            return
        self._values(output, lambda row: None)

    def _values(
        self, output: CommandOutput | PoseOutput, apply: Callable[[ValueRow], None]
    ) -> None:
        message, width = COMMAND_TYPES[output.type].message, len(output.names)
        if message is not None:
            values = message.values
            self._topic(message.kind, output.topic, lambda one: values(one, width), apply)

    def _topic(
        self,
        kind: type,
        topic: str,
        row_of: Callable[[Any], ValueRow],
        apply: Callable[[ValueRow], None],
        profile: QoSProfile = qos.COMMAND,
    ) -> None:
        rows = self._rows.setdefault(topic, deque(maxlen=KEPT_ROWS))

        def receive(message: Any) -> None:
            row = row_of(message)
            rows.append((time.monotonic_ns(), row))
            apply(row)

        self._node.create_subscription(kind, topic, receive, profile)

    def _action(
        self, output: CommandOutput, action: str, package: str, name: str, origin: str, of: ValueOf
    ) -> None:
        kind = message_class(package, name, origin, "action")
        rows = self._rows.setdefault(output.topic, deque(maxlen=KEPT_ROWS))

        def execute(handle: Any) -> Any:
            value = float(of(handle.request))
            rows.append((time.monotonic_ns(), (value,)))
            self._moved(output.names, (value,))
            handle.succeed()
            return kind.Result()

        ActionServer(self._node, kind, action, execute)


def _reference(message: ControllerState) -> ValueRow:
    """Position, velocity and acceleration that the streamer plays, one after the other."""
    reference = message.reference
    return (*reference.positions, *reference.velocities, *reference.accelerations)


def _timed(rows: list[tuple[int, ValueRow]]) -> TimedRows:
    width = len(rows[-1][1])
    even = [(time_ns, row) for time_ns, row in rows if len(row) == width]
    times = np.array([time_ns for time_ns, _ in even], dtype=np.int64)
    return TimedRows(times, np.array([row for _, row in even], dtype=np.float64))
