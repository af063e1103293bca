"""What the streamer of joints sends: positions as the messages of each kind of receiver.

Each receiver owns its publisher. A receiver that takes a robot's arms over says when it has them;
until then the streamer holds them where they are. The parameters of gr00t_streamer stand here.
"""

from __future__ import annotations

import array
import importlib
import time
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import Twist
from numpy.typing import NDArray
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterUninitializedException
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import ByteMultiArray, Float64, Float64MultiArray

from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.ros import qos
from gr00t_ros.ros.process import refuse_unknown
from gr00t_ros.ros.pulled import PulledSubscription
from gr00t_ros.stream.unitree import ArmCommand, ArmWeight, Gains, another_clock, goal
from gr00t_ros.wire.codec import decode, encode


def message_class(package: str, name: str, origin: str, kind: str = "msg") -> Any:
    """`package`.`kind`.`name`; raises SettingsError that names the package and its origin."""
    try:
        module = importlib.import_module(f"{package}.{kind}")
    except ImportError as error:
        raise SettingsError(
            f"{package}: not installed here ({error}), expected the ROS 2 package of {origin}, "
            "built and sourced before this node"
        ) from error
    found = getattr(module, name, None)
    if found is None:
        raise SettingsError(f"{package}.{kind}: has no {name}, expected that of {origin}")
    return found


@dataclass(frozen=True, slots=True)
class StreamerSettings:
    """Read once at the start; all read-only. `joints` in the order of the controller."""

    joints: tuple[str, ...]
    window_topic: str
    command_topic: str
    command_type: str  # a key of points.POINTS
    stiffness: tuple[float, ...]
    damping: tuple[float, ...]
    walk_topic: str
    height_topic: str
    rate_hz: int
    max_jump_rad: float
    start_weight: float
    realtime_priority: int


_REQUIRED = {
    "joints": (Parameter.Type.STRING_ARRAY, "Joints in the controller's order; no more, no fewer"),
    "window_topic": (Parameter.Type.STRING, "Where the policy node publishes its windows"),
    "command_topic": (Parameter.Type.STRING, "The forward command controller's commands topic"),
}
COMMAND_TYPES = ("float64_multi_array", "unitree_low_cmd", "wbc_upper_body")
_GAINS = {
    "stiffness": "unitree_low_cmd: stiffness of each joint, N m/rad",
    "damping": "unitree_low_cmd: damping of each joint, N m s/rad",
}
_TOPICS = {
    "walk_topic": "wbc_upper_body: the base's Twist that goes along in each goal; empty: none does",
    "height_topic": "wbc_upper_body: the base's height, a Float64, as walk_topic",
}
_OPTIONAL: dict[str, tuple[int | float, int | float, int | float, str]] = {
    # name: default, least, most, meaning
    "rate_hz": (200, 50, 1000, "Points a second, Hz"),
    "max_jump_rad": (0.02, 0.001, 0.1, "Most that a window may jump when it takes over, rad"),
    "start_weight": (0.0, 0.0, 1.0, "unitree_low_cmd: arm_sdk's weight that a killed sender left"),
    "realtime_priority": (0, 0, 90, "SCHED_FIFO priority asked for; 0: ordinary scheduling"),
}


NAMES = tuple(field.name for field in fields(StreamerSettings))


def declare_settings(node: Node) -> StreamerSettings:
    """Declare the parameters and return them; raises SettingsError naming what is missing."""
    for name, (kind, meaning) in _REQUIRED.items():
        node.declare_parameter(name, kind, ParameterDescriptor(description=meaning, read_only=True))
    kinds = f"What the points are sent as: {', '.join(COMMAND_TYPES)}"
    descriptor = ParameterDescriptor(description=kinds, read_only=True)
    node.declare_parameter("command_type", COMMAND_TYPES[0], descriptor)
    for name, meaning in _GAINS.items():
        descriptor = ParameterDescriptor(description=meaning, read_only=True)
        node.declare_parameter(name, Parameter.Type.DOUBLE_ARRAY, descriptor)
    for name, meaning in _TOPICS.items():
        descriptor = ParameterDescriptor(description=meaning, read_only=True)
        node.declare_parameter(name, "", descriptor)
    for name, (default, low, high, meaning) in _OPTIONAL.items():
        node.declare_parameter(name, default, _ranged(default, low, high, meaning))
    refuse_unknown(node)  # first: a misspelt name would be told as one that is missing
    names = [name for name in NAMES if name not in _GAINS]
    values = {name: _value(node, name) for name in names if name not in _TOPICS}
    values |= {name: str(node.get_parameter(name).value) for name in _TOPICS}
    joints = tuple(values.pop("joints"))
    if values["command_type"] not in COMMAND_TYPES:
        got = values["command_type"]
        raise SettingsError(f"command_type: got {got!r}, expected one of {COMMAND_TYPES}")
    if len(set(joints)) != len(joints):
        raise SettingsError(f"joints: got {list(joints)}, expected each name once")
    gains = {name: _array(node, name) for name in _GAINS}
    return StreamerSettings(joints=joints, **gains, **values)


def _ranged(default: float, low: float, high: float, meaning: str) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=meaning, read_only=True)
    if isinstance(default, int):
        limits = IntegerRange(from_value=int(low), to_value=int(high), step=0)
        descriptor.integer_range = [limits]
    else:
        limits = FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
        descriptor.floating_point_range = [limits]
    return descriptor


def _array(node: Node, name: str) -> tuple[float, ...]:
    try:
        return tuple(node.get_parameter(name).value or ())
    except ParameterUninitializedException:
        return ()


def _value(node: Node, name: str) -> Any:
    try:
        value = node.get_parameter(name).value
    except ParameterUninitializedException:
        value = None
    if value is None or value == "" or value == []:
        raise SettingsError(f"{name}: got nothing, expected {_REQUIRED[name][1].lower()}")
    return value


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
