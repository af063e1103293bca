"""A JointTrajectory message -> the trajectory of the controller's model, or why it is rejected.

The checks are those of ros2_controllers 4.42.1 (`validate_trajectory_msg`), in the same order. One
check is our own: duplicate joint names. The real controller accepts them, and then plays values of
another point or message for the missing joint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from builtin_interfaces.msg import Duration, Time
from numpy.typing import NDArray

from gr00t_ros.errors import StampError
from gr00t_ros.motion.sampler import Trajectory
from gr00t_ros.robot.actions import Output
from gr00t_ros.robot.outputs import OUTPUT_TYPES, CommandOutput, PoseOutput

if TYPE_CHECKING:
    from std_msgs.msg import Header

_NS = 1_000_000_000

POSE_NAMES = ("x", "y", "z", "qx", "qy", "qz", "qw")
"""The columns of a window of poses: position in m, then a unit quaternion."""


Floats = NDArray[np.float64]


class PointMessage(Protocol):
    """The fields of trajectory_msgs/JointTrajectoryPoint that are read here."""

    positions: list[float]
    velocities: list[float]
    accelerations: list[float]
    effort: list[float]
    time_from_start: object


class TrajectoryMessage(Protocol):
    """The fields of trajectory_msgs/JointTrajectory that are read here."""

    header: Header
    joint_names: list[str]
    points: list[PointMessage]


def parse_trajectory(
    message: TrajectoryMessage, joint_names: tuple[str, ...], ros_offset_ns: int
) -> Trajectory | str:
    """Return the message in the controller's joint order, or the reason to reject it.

    The stamp is converted to the controllers' clock; a zero stamp ("at the next cycle") stays zero.
    Values and limits are not checked: NaN passes, as in the real controller. A point without
    velocities or accelerations gets a row of NaN if other points have them.
    """
    reason = _name_mismatch(message, joint_names) or _size_mismatch(message)
    if reason:
        return reason
    order = [message.joint_names.index(name) for name in joint_names]

    def field(name: str) -> Floats | None:
        rows = [getattr(point, name) for point in message.points]
        if not any(len(row) for row in rows):
            return None
        missing = [np.nan] * len(order)
        filled = [row if len(row) else missing for row in rows]
        return np.array(filled, dtype=np.float64)[:, order]

    stamp_ns = _nanoseconds(message.header.stamp)
    positions = field("positions")
    assert positions is not None
    return Trajectory(
        stamp_ns=stamp_ns - ros_offset_ns if stamp_ns else 0,
        times_ns=np.array([_nanoseconds(p.time_from_start) for p in message.points], np.int64),
        positions=positions,
        velocities=field("velocities"),
        accelerations=field("accelerations"),
    )


def _name_mismatch(message: TrajectoryMessage, expected: tuple[str, ...]) -> str | None:
    got = message.joint_names
    if len(got) != len(expected):
        return (
            "joints on the incoming trajectory don't match the controller's joints: "
            f"got {len(got)}, expected {len(expected)}"
        )
    if not message.points:
        return "empty trajectory received: it has no points"
    for name in got:
        if name not in expected:
            return f"incoming joint {name!r} doesn't match the controller's joints {list(expected)}"
        if got.count(name) > 1:
            return f"joint {name!r} appears {got.count(name)} times on the incoming trajectory"
    return None


def _size_mismatch(message: TrajectoryMessage) -> str | None:
    count = len(message.joint_names)
    for index, point in enumerate(message.points):
        if len(point.effort):
            return f"point {index} has effort, which is not supported"
        for name in ("positions", "velocities", "accelerations"):
            size = len(getattr(point, name))
            if size != count and (size or name == "positions"):
                return f"mismatch of {name} at point {index}: got {size}, expected {count}"
    return None


def _nanoseconds(time: Time | Duration) -> int:
    return int(time.sec) * 1_000_000_000 + int(time.nanosec)


def window_topic(output: Output | CommandOutput | PoseOutput) -> str:
    """The topic for the windows of `output`: its controller's, or its streamer's."""
    return f"~/windows/{output.name}" if OUTPUT_TYPES[output.type].sender else output.topic


def to_time(stamp_ns: int) -> Time:
    """A ROS Time from ns."""
    return Time(sec=stamp_ns // _NS, nanosec=stamp_ns % _NS)


def to_duration(duration_ns: int) -> Duration:
    """A ROS Duration from ns."""
    return Duration(sec=duration_ns // _NS, nanosec=duration_ns % _NS)


def command_stamp(stamp_ns: int) -> Time:
    """A ROS Time for a message that moves a robot.

    Raises StampError for a stamp that is not positive: 0 means "now" to a controller, and rclcpp's
    Time throws on a negative stamp.
    """
    if stamp_ns <= 0:
        raise StampError(
            f"stamp of a command: got {stamp_ns / 1e9:.3f} s, expected one after 0; is the clock "
            "set, and use_sim_time the same as at the start?"
        )
    return to_time(stamp_ns)
