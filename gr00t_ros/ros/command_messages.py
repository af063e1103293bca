"""Values of commands as the messages that robots take; a function for each output type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Float64

from gr00t_ros.core.embodiment import CommandOutput, Embodiment, PoseOutput
from gr00t_ros.ros import qos

Floats = NDArray[np.float64]
Build = Callable[[Any, Floats, Time], Any]

_PLANAR = [0, 1, 5]  # of x, y, z, about x, about y, about z


class MessageSender:
    """Publishes each value as one message on the output's topic."""

    problem = ""

    def __init__(
        self,
        kind: type,
        build: Build,
        node: Node,
        output: CommandOutput | PoseOutput,
        robot: Embodiment,
    ) -> None:
        """`build` makes a `kind` of values, stamped where it has a header."""
        self._build, self._output = build, output
        self._publisher = node.create_publisher(kind, output.topic, qos.COMMAND)
        self.topic: str = self._publisher.topic_name

    def send(self, values: Floats, stamp: Time) -> None:
        """One message."""
        self._publisher.publish(self._build(self._output, values, stamp))


def twist(output: CommandOutput, values: Floats, stamp: Time) -> Twist:
    """Three values are planar, six are all of a twist."""
    six = np.zeros(6)
    six[_PLANAR if len(values) == len(_PLANAR) else slice(None)] = values
    message = Twist()
    message.linear.x, message.linear.y, message.linear.z = six[:3].tolist()
    message.angular.x, message.angular.y, message.angular.z = six[3:].tolist()
    return message


def twist_stamped(output: CommandOutput, values: Floats, stamp: Time) -> TwistStamped:
    """As `twist`, in the output's frame."""
    message = TwistStamped(twist=twist(output, values, stamp))
    message.header.stamp, message.header.frame_id = stamp, output.frame
    return message


def float64(output: CommandOutput, values: Floats, stamp: Time) -> Float64:
    """The one value."""
    return Float64(data=float(values[0]))


def pose_stamped(output: PoseOutput, values: Floats, stamp: Time) -> PoseStamped:
    """Of x, y, z and a quaternion x, y, z, w."""
    message = PoseStamped()
    message.header.stamp, message.header.frame_id = stamp, output.frame
    at, turned = message.pose.position, message.pose.orientation
    at.x, at.y, at.z = values[:3].tolist()
    turned.x, turned.y, turned.z, turned.w = values[3:].tolist()
    return message
