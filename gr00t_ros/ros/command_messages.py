"""Values of commands -> the messages that robots take; one function for each output type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist, TwistStamped
from numpy.typing import NDArray
from std_msgs.msg import Float64

from gr00t_ros.core.command import CommandOutput

Floats = NDArray[np.float64]

_PLANAR = [0, 1, 5]  # of x, y, z, about x, about y, about z


def _twist_of(values: Floats) -> Twist:
    six = np.zeros(6)
    six[_PLANAR if len(values) == len(_PLANAR) else slice(None)] = values
    twist = Twist()
    twist.linear.x, twist.linear.y, twist.linear.z = six[:3].tolist()
    twist.angular.x, twist.angular.y, twist.angular.z = six[3:].tolist()
    return twist


def _twist(output: CommandOutput, values: Floats, stamp: Time) -> Twist:
    return _twist_of(values)


def _twist_stamped(output: CommandOutput, values: Floats, stamp: Time) -> TwistStamped:
    message = TwistStamped(twist=_twist_of(values))
    message.header.stamp, message.header.frame_id = stamp, output.frame
    return message


def _float64(output: CommandOutput, values: Floats, stamp: Time) -> Float64:
    return Float64(data=float(values[0]))


Build = Callable[[CommandOutput, Floats, Time], Any]

MESSAGES: Mapping[str, tuple[type, Build]] = {
    "twist": (Twist, _twist),
    "twist_stamped": (TwistStamped, _twist_stamped),
    "float64": (Float64, _float64),
}
"""Output type -> message type, and how (C,) values become one, stamped where it has a header."""
