"""A gripper's position as the goal of each kind of action; where it is installed.

The packages are imported here when an output needs them: control_msgs 5 (ros-controls/control_msgs,
jazzy), franka_msgs (frankarobotics/franka_ros2). Nothing here was ever run against a real gripper.
"""

from __future__ import annotations

from typing import Any, Protocol

from rclpy.action import ActionClient
from rclpy.node import Node
from sensor_msgs.msg import JointState

from gr00t_ros.core.command import CommandOutput
from gr00t_ros.core.gripper import GripperGoals
from gr00t_ros.ros.interfaces import message_class

_CONTROL = "ros-controls/control_msgs (ros-jazzy-control-msgs)"
_FRANKA = "frankarobotics/franka_ros2"


class Goals(Protocol):
    """The actions of one gripper; on the executor's thread."""

    cancels_first: bool
    """Whether a running goal is to be ended before the next: the driver does not preempt it."""

    def of(self, position: float) -> tuple[ActionClient, Any]:
        """The action to ask, and the goal."""


class GripperCommandGoals:
    """control_msgs/action/GripperCommand: position and effort."""

    cancels_first = False

    def __init__(self, node: Node, output: CommandOutput, goals: GripperGoals) -> None:
        """Raises SettingsError without control_msgs."""
        self._action = message_class("control_msgs", "GripperCommand", _CONTROL, "action")
        self._client = ActionClient(node, self._action, output.topic)
        self._goals = goals

    def of(self, position: float) -> tuple[ActionClient, Any]:
        """Effort 0 leaves it to the gripper."""
        goal = self._action.Goal()
        goal.command.position = position
        goal.command.max_effort = self._goals.effort or 0.0
        return self._client, goal


class ParallelGoals:
    """control_msgs/action/ParallelGripperCommand: a JointState, with an effort if there is one."""

    cancels_first = False

    def __init__(self, node: Node, output: CommandOutput, goals: GripperGoals) -> None:
        """Raises SettingsError without control_msgs."""
        self._action = message_class("control_msgs", "ParallelGripperCommand", _CONTROL, "action")
        self._client = ActionClient(node, self._action, output.topic)
        self._joint, self._goals = output.names[0], goals

    def of(self, position: float) -> tuple[ActionClient, Any]:
        """One joint, by its name."""
        effort = [] if self._goals.effort is None else [self._goals.effort]
        command = JointState(name=[self._joint], position=[position], effort=effort)
        return self._client, self._action.Goal(command=command)


class FrankaGoals:
    """franka_msgs: Grasp to close, Move to open; positions are widths between the fingers, m."""

    # Its server runs each goal in a thread of its own; a cancel stops the fingers.
    cancels_first = True

    def __init__(self, node: Node, output: CommandOutput, goals: GripperGoals) -> None:
        """Raises SettingsError without franka_msgs."""
        self._move = message_class("franka_msgs", "Move", _FRANKA, "action")
        self._grasp = message_class("franka_msgs", "Grasp", _FRANKA, "action")
        move, grasp = output.actions
        self._mover = ActionClient(node, self._move, move)
        self._grasper = ActionClient(node, self._grasp, grasp)
        self._goals = goals

    def of(self, position: float) -> tuple[ActionClient, Any]:
        """A goal is an end of the range: the one below the switch grasps."""
        assert self._goals.switch is not None
        if position > self._goals.switch[0]:
            return self._mover, self._move.Goal(width=position, speed=self._goals.speed)
        goal = self._grasp.Goal(width=position, speed=self._goals.speed, force=self._goals.force)
        goal.epsilon.inner, goal.epsilon.outer = self._goals.epsilon
        return self._grasper, goal
