"""Windows of the plan to the robot's controllers: one message an output, one stamp for all.

An output without a tail of its own gets its windows through gr00t_streamer, on ~/windows/<name>.

Owns the command publishers. A window that raises here is not sent at all: the controllers play
the tail of the one before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.core.embodiment import Embodiment, Output
from gr00t_ros.core.replay import Window
from gr00t_ros.ros import qos

_NS = 1_000_000_000


class Outputs:
    """The publishers of an embodiment's outputs; silent until the node is active."""

    def __init__(self, node: LifecycleNode, embodiment: Embodiment, shadow: bool = False) -> None:
        """Create a lifecycle publisher for each output of `embodiment`.

        In shadow no publisher of a command topic exists: windows go to ~/shadow/OUTPUT.
        """
        order = {name: column for column, name in enumerate(embodiment.joint_names)}
        self._outputs: Sequence[tuple[Output, list[int]]] = [
            (output, [order[name] for name in output.names]) for output in embodiment.outputs
        ]
        self._publishers = {
            output.name: node.create_lifecycle_publisher(
                JointTrajectory,
                f"~/shadow/{output.name}" if shadow else window_topic(output),
                qos.COMMAND,
            )
            for output in embodiment.outputs
        }
        self._node = node

    def publish(self, window: Window, offset_ns: int) -> None:
        """Send `window` to all outputs, stamped by the present plan-to-ROS offset.

        All messages are made before the first is sent: a joint without its fellows is worse
        than a window that is missing.
        """
        stamp = to_time(window.stamp_ns + offset_ns)
        messages = [(o.name, _message(o, columns, window, stamp)) for o, columns in self._outputs]
        for name, message in messages:
            self._publishers[name].publish(message)

    def topics(self) -> tuple[str, ...]:
        """The command topics as remapped."""
        return tuple(publisher.topic_name for publisher in self._publishers.values())

    def destroy(self) -> None:
        """Remove the publishers from the node."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)


def command_readers(node: Node, embodiment: Embodiment) -> dict[str, str]:
    """Each command topic, as `node` has it remapped, and what to ask where nobody reads it."""
    return {
        node.resolve_topic_name(window_topic(output)): (
            "is gr00t_streamer running for it?"
            if output.type == "forward_command"
            else "is the controller loaded and active?"
        )
        for output in embodiment.outputs
    }


def window_topic(output: Output) -> str:
    """Where the windows of `output` go: to its controller, or to the streamer before it."""
    return f"~/windows/{output.name}" if output.type == "forward_command" else output.topic


def to_time(stamp_ns: int) -> Time:
    """A ROS Time from ns."""
    return Time(sec=stamp_ns // _NS, nanosec=stamp_ns % _NS)


def to_duration(duration_ns: int) -> Duration:
    """A ROS Duration from ns."""
    return Duration(sec=duration_ns // _NS, nanosec=duration_ns % _NS)


def _message(output: Output, columns: list[int], window: Window, stamp: Time) -> JointTrajectory:
    message = JointTrajectory(joint_names=list(output.names))
    message.header.stamp = stamp
    rows = (
        np.ascontiguousarray(matrix[:, columns])
        for matrix in (window.positions, window.velocities, window.accelerations)
    )
    message.points = [
        JointTrajectoryPoint(
            positions=position.tolist(),
            velocities=velocity.tolist(),
            accelerations=acceleration.tolist(),
            time_from_start=to_duration(int(time_ns)),
        )
        for time_ns, position, velocity, acceleration in zip(window.times_ns, *rows, strict=True)
    ]
    return message
