"""The one table of output types: what each carries, who sends it, what becomes of it at a stop.

Another type is a row here, and one in gr00t_ros/ros/command_types.py where the command streamer
sends it. Knows no message and no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

STREAMER = "gr00t_streamer"
COMMAND_STREAMER = "gr00t_command_streamer"
"""Processes that play windows for receivers which have no tail of their own."""


@dataclass(frozen=True, slots=True)
class OutputType:
    """One row.

    carries: joints have a place in the plan; commands have a range and a rate, poses speeds and a
    box. sender: the process that plays the windows, empty where the robot's controller does it
    itself, tail included.
    widths: how many names an output has, empty for any number. velocities: zero at each stop and
    at each window's end; all else stays where it is. goals: sent to an action, on change alone;
    the last goal stands whatever happens.
    """

    carries: Literal["joints", "commands", "poses"]
    sender: str = ""
    widths: tuple[int, ...] = ()
    velocities: bool = False
    goals: bool = False


OUTPUT_TYPES: Mapping[str, OutputType] = {
    "joint_trajectory": OutputType("joints"),
    "forward_command": OutputType("joints", STREAMER),
    "unitree_low_cmd": OutputType("joints", STREAMER),
    "wbc_upper_body": OutputType("joints", STREAMER),
    # x, y (m/s) and about z (rad/s); or x, y, z (m/s) and about x, y, z (rad/s)
    "twist": OutputType("commands", COMMAND_STREAMER, (3, 6), velocities=True),
    "twist_stamped": OutputType("commands", COMMAND_STREAMER, (3, 6), velocities=True),
    "float64": OutputType("commands", COMMAND_STREAMER, (1,)),
    "pose_stamped": OutputType("poses", COMMAND_STREAMER, (6, 7, 9)),
    # control_msgs actions, in the gripper's unit; Franka's move and grasp, m between the fingers
    "gripper_command": OutputType("commands", COMMAND_STREAMER, (1,), goals=True),
    "parallel_gripper_command": OutputType("commands", COMMAND_STREAMER, (1,), goals=True),
    "franka_gripper": OutputType("commands", COMMAND_STREAMER, (1,), goals=True),
}
"""Output type, as the file has it -> its row."""
