"""How the command streamer plays and sends each output type: one row a type.

What a type carries and what a stop makes of it: gr00t_ros/core/output_types.py, its row there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Float64

from gr00t_ros.core.embodiment import CommandOutput, Embodiment, PoseOutput
from gr00t_ros.ros.command_messages import (
    MessageSender,
    float64,
    pose_stamped,
    twist,
    twist_stamped,
)
from gr00t_ros.ros.command_player import CommandPlayer
from gr00t_ros.ros.gripper_goals import FrankaGoals, GripperCommandGoals, ParallelGoals
from gr00t_ros.ros.gripper_sender import GripperSender
from gr00t_ros.ros.pose_player import PosePlayer
from gr00t_ros.ros.trajectory import TrajectoryMessage


class Player(Protocol):
    """Windows in, values out; times are those of the plan and steady time."""

    accepted: int

    def accept(
        self, message: TrajectoryMessage, ros_offset_ns: int, now_ns: int, steady_ns: int
    ) -> str | None:
        """Play a window from now on, or return why it is refused."""

    def sample(self, now_ns: int, steady_ns: int) -> NDArray[np.float64] | None:
        """The values to send now, None for silence."""

    def stop(self, now_ns: int, steady_ns: int) -> None:
        """The streamer leaves: come to rest as the type's row in OUTPUT_TYPES says."""

    def moves(self, now_ns: int, steady_ns: int) -> bool:
        """Whether there is something left to be played before the streamer may leave."""


class Sender(Protocol):
    """Owns what sends values to the robot; `send` is called from the streaming thread."""

    topic: str

    def send(self, values: NDArray[np.float64], stamp: Time) -> None:
        """Command `values` from now on."""

    @property
    def problem(self) -> str:
        """Why nothing arrives, as far as this end knows; empty when all is well."""


@dataclass(frozen=True, slots=True)
class CommandType:
    """A row: what plays the windows of an output of this type, and what sends its values."""

    player: Callable[[Any, Embodiment], Player]
    sender: Callable[[Node, Any, Embodiment], Sender]


def _values(output: CommandOutput, robot: Embodiment) -> Player:
    return CommandPlayer(output, robot.command_limits)


def _poses(output: PoseOutput, robot: Embodiment) -> Player:
    return PosePlayer(output.limits)


COMMAND_TYPES: Mapping[str, CommandType] = {
    "twist": CommandType(_values, partial(MessageSender, Twist, twist)),
    "twist_stamped": CommandType(_values, partial(MessageSender, TwistStamped, twist_stamped)),
    "float64": CommandType(_values, partial(MessageSender, Float64, float64)),
    "pose_stamped": CommandType(_poses, partial(MessageSender, PoseStamped, pose_stamped)),
    "gripper_command": CommandType(_values, partial(GripperSender, GripperCommandGoals)),
    "parallel_gripper_command": CommandType(_values, partial(GripperSender, ParallelGoals)),
    "franka_gripper": CommandType(_values, partial(GripperSender, FrankaGoals)),
}
"""Every type of core/output_types.py whose sender is gr00t_command_streamer."""
