"""What the streamer sends: positions as the messages of each kind of receiver.

Each owns its publisher. One that takes a robot's arms over says when it has them: until then the
streamer holds them where they are.
"""

from __future__ import annotations

import array
import time
from typing import Protocol

import numpy as np
from geometry_msgs.msg import Twist
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import ByteMultiArray, Float64, Float64MultiArray

from gr00t_ros.core.errors import Gr00tError
from gr00t_ros.core.low_cmd import ArmCommand, ArmWeight, Gains
from gr00t_ros.core.wbc_goal import another_clock, goal
from gr00t_ros.ros import qos
from gr00t_ros.ros.interfaces import message_class
from gr00t_ros.ros.pulled import PulledSubscription
from gr00t_ros.ros.streamer_settings import StreamerSettings
from gr00t_ros.sidecar.codec import decode, encode

Positions = NDArray[np.float64]

WBC_STATUS = "/ControlPolicy/lower_body_policy_status"
"""Where GR00T-WholeBodyControl's loop tells its monotonic time, at 50 Hz."""
_STATUS_NS = 500_000_000  # an older status says nothing of who reads the goals now
_MAX_STATUS_BYTES = 4096
_WALK_NS = 200_000_000  # a base is not walked on by an older velocity
_STANDS = (0.0, 0.0, 0.0)


class Points(Protocol):
    """Sends positions (J,) rad from the streaming thread."""

    topic: str
    holds_first: bool
    """Whether the measured position is sent before the first window."""

    def send(self, position: Positions, steady_ns: int) -> None:
        """Send what is due now."""

    def refuses(self, steady_ns: int) -> str:
        """Why no window may be played yet, empty when one may."""

    def release(self, steady_ns: int) -> None:
        """Give back what was taken; `send` is called on until `released`."""

    @property
    def released(self) -> bool:
        """Whether there is nothing to give back."""


class ForwardPoints:
    """A forward command controller: it holds its last point itself."""

    holds_first = False
    released = True

    def __init__(self, node: Node, settings: StreamerSettings) -> None:
        """Create the publisher."""
        self._points = node.create_publisher(Float64MultiArray, settings.command_topic, qos.COMMAND)
        self.topic = self._points.topic_name

    def send(self, position: Positions, steady_ns: int) -> None:
        """One point."""
        self._points.publish(Float64MultiArray(data=array.array("d", position)))

    def refuses(self, steady_ns: int) -> str:
        """Nothing: the controller has the arm."""
        return ""

    def release(self, steady_ns: int) -> None:
        """Nothing was taken."""


class LowCmdPoints:
    """Unitree's arm_sdk: the weight rises while the arms are held, and falls at an orderly end.

    Windows that stop coming change nothing: the last position is sent on with full weight.
    """

    holds_first = True

    def __init__(self, node: Node, settings: StreamerSettings) -> None:
        """Raises SettingsError without unitree_hg, for foreign joints and gains that do not fit."""
        gains = Gains(np.array(settings.stiffness), np.array(settings.damping))
        self._command = ArmCommand(settings.joints, gains)
        self._weight = ArmWeight(settings.start_weight)
        self._message = message_class("unitree_hg", "LowCmd", "unitreerobotics/unitree_ros2")()
        self._commands = node.create_publisher(
            type(self._message), settings.command_topic, qos.COMMAND
        )
        self.topic = self._commands.topic_name

    def send(self, position: Positions, steady_ns: int) -> None:
        """One LowCmd; the first takes the arms."""
        self._weight.take(steady_ns)
        fields, crc = self._command.fields(position, self._weight.at(steady_ns))
        for motor, values in zip(self._message.motor_cmd, fields["motor_cmd"], strict=True):
            motor.q = float(values["q"])
            motor.kp, motor.kd = float(values["kp"]), float(values["kd"])
        self._message.crc = crc
        self._commands.publish(self._message)

    def refuses(self, steady_ns: int) -> str:
        """Everything until the robot follows these commands alone."""
        return "" if self._weight.full else "weight: the arms are not taken over yet"

    def release(self, steady_ns: int) -> None:
        """Lower the weight from now on."""
        self._weight.release(steady_ns)

    @property
    def released(self) -> bool:
        """Whether the weight is 0."""
        return self._weight.released


class WbcPoints:
    """GR00T-WholeBodyControl: goals by the monotonic clock of the robot's own computer.

    Nothing is sent while the robot's status does not prove that this is that computer. Velocities
    and height of the base go along as gr00t_command_streamer sends them; without a fresh velocity
    the base stands.
    """

    holds_first = False
    released = True

    def __init__(self, node: Node, settings: StreamerSettings) -> None:
        """Create the publisher, and read the robot's status."""
        self._goals = node.create_publisher(ByteMultiArray, settings.command_topic, qos.COMMAND)
        self._status = PulledSubscription(node, (ByteMultiArray,), WBC_STATUS, raw=False)
        self._refused, self._told_ns = f"host: nothing on {WBC_STATUS} yet", 0
        self._walks = _pulled(node, Twist, settings.walk_topic)
        self._heights = _pulled(node, Float64, settings.height_topic)
        self._walk, self._walked_ns, self._height_m = _STANDS, 0, None
        self.topic = self._goals.topic_name

    def send(self, position: Positions, steady_ns: int) -> None:
        """One goal, unless another host's clock would read its time."""
        if self.refuses(steady_ns):
            return
        walk, height_m = self._base(steady_ns)
        content = encode(goal(position, time.monotonic_ns(), walk, height_m), "msgpack_numpy")
        self._goals.publish(ByteMultiArray(data=[bytes([byte]) for byte in content]))

    def refuses(self, steady_ns: int) -> str:
        """Why this is not the robot's computer, as its newest status has it."""
        try:
            message = self._status.take()
        except Gr00tError as error:
            return str(error)
        if message is not None:
            self._refused, self._told_ns = _judged(message), steady_ns
        elif self._told_ns and steady_ns - self._told_ns > _STATUS_NS:
            return f"host: {WBC_STATUS} fell silent, expected the robot's status"
        return self._refused

    def release(self, steady_ns: int) -> None:
        """Nothing was taken: the receiver holds its last goal."""

    def _base(self, steady_ns: int) -> tuple[tuple[float, ...] | None, float | None]:
        """What goes along: velocities, zero where the newest are old, and the height told last."""
        message = self._walks.take() if self._walks else None
        if message is not None:
            self._walk = (message.linear.x, message.linear.y, message.angular.z)
            self._walked_ns = steady_ns
        message = self._heights.take() if self._heights else None
        if message is not None:
            self._height_m = message.data
        fresh = steady_ns - self._walked_ns < _WALK_NS
        walk = (self._walk if fresh else _STANDS) if self._walks else None
        return walk, self._height_m


def _pulled(node: Node, kind: type, topic: str) -> PulledSubscription | None:
    if not topic:
        return None
    return PulledSubscription(node, (kind,), topic, raw=False, profiles=(qos.COMMAND,))


def _judged(message: ByteMultiArray) -> str:
    """Whether the sender of this status goes by this host's clock, or why not."""
    try:
        status = decode(b"".join(message.data), _MAX_STATUS_BYTES)
    except Gr00tError as error:
        return f"{WBC_STATUS}: {error}"
    if not isinstance(status, dict):
        return f"{WBC_STATUS}: got {type(status).__name__}, expected a map"
    return another_clock(status, time.monotonic_ns())


POINTS: dict[str, type[ForwardPoints] | type[LowCmdPoints] | type[WbcPoints]] = {
    "float64_multi_array": ForwardPoints,
    "unitree_low_cmd": LowCmdPoints,
    "wbc_upper_body": WbcPoints,
}
"""The streamer's parameter command_type -> what sends its points."""
