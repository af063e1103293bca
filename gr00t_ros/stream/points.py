"""What the streamer of joints sends: positions as messages, one class for each kind of receiver.

Each class owns its publisher. LowCmdPoints has to take over the robot's arms first: until it has
them, the streamer holds them where they are. The parameters of gr00t_streamer are declared here.
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
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import ParameterUninitializedException
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import ByteMultiArray, Float64, Float64MultiArray

from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.graph.controllers import ControllerJoints
from gr00t_ros.ros import qos
from gr00t_ros.ros.process import checked_topic, declared, ranged, refuse_unknown
from gr00t_ros.ros.pulled import PulledSubscription
from gr00t_ros.stream.unitree import ArmCommand, ArmWeight, Gains, another_clock, goal
from gr00t_ros.wire.codec import decode, encode

Floats = NDArray[np.float64]

WBC_STATUS = "/ControlPolicy/lower_body_policy_status"
"""Topic on which GR00T-WholeBodyControl's loop publishes its monotonic time, at 50 Hz."""
_STATUS_NS = 500_000_000  # an older status does not show which computer reads the goals now
_MAX_STATUS_BYTES = 4096
PLANAR = [0, 1, 5]
"""Of a twist on the ground: indices in x, y, z, about x, about y, about z."""
_WALK_NS = 200_000_000  # with an older velocity the base stands
_STANDS = (0.0, 0.0, 0.0)
_REQUIRED = {
    "joints": (Parameter.Type.STRING_ARRAY, "Joints in the controller's order; no more, no fewer"),
    "window_topic": (Parameter.Type.STRING, "Where the policy node publishes its windows"),
    "command_topic": (Parameter.Type.STRING, "The forward command controller's commands topic"),
}
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


def message_class(package: str, name: str, origin: str, kind: str = "msg") -> Any:
    """Import `package`.`kind`.`name`; the SettingsError names the package and its origin."""
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


def twist_values(twist: Any, width: int) -> tuple[float, ...]:
    """The velocities of a Twist: all six, or the three of PLANAR."""
    move, turn = twist.linear, twist.angular
    six = (move.x, move.y, move.z, turn.x, turn.y, turn.z)
    return six if width == len(six) else tuple(six[column] for column in PLANAR)


@dataclass(frozen=True, slots=True)
class StreamerSettings:
    """The read-only parameters of gr00t_streamer; `joints` are in the controller's order."""

    joints: tuple[str, ...]
    window_topic: str
    command_topic: str
    command_type: str  # a key of POINTS
    stiffness: tuple[float, ...]
    damping: tuple[float, ...]
    walk_topic: str
    height_topic: str
    rate_hz: int
    max_jump_rad: float
    start_weight: float
    realtime_priority: int


NAMES = tuple(field.name for field in fields(StreamerSettings))


def declare_settings(node: Node) -> StreamerSettings:
    """Declare the parameters and return their values; the SettingsError names what is missing."""
    for name, (kind, meaning) in _REQUIRED.items():
        declared(node, name, kind, ParameterDescriptor(description=meaning, read_only=True))
    name, first, meaning = _command_type()
    descriptor = ParameterDescriptor(description=meaning, read_only=True)
    declared(node, name, first, descriptor)
    for name, meaning in _GAINS.items():
        descriptor = ParameterDescriptor(description=meaning, read_only=True)
        declared(node, name, Parameter.Type.DOUBLE_ARRAY, descriptor)
    for name, meaning in _TOPICS.items():
        descriptor = ParameterDescriptor(description=meaning, read_only=True)
        declared(node, name, "", descriptor)
    for name, (default, low, high, meaning) in _OPTIONAL.items():
        declared(node, name, default, ranged(default, low, high, meaning))
    refuse_unknown(node)  # first, so that a misspelt name is not reported as a missing one
    names = [name for name in NAMES if name not in _GAINS]
    values = {name: _value(node, name) for name in names if name not in _TOPICS}
    values |= {name: str(node.get_parameter(name).value) for name in _TOPICS}
    for name in ("window_topic", "command_topic", *_TOPICS):
        if values[name]:
            checked_topic(f"parameter {name}", values[name])
    joints = tuple(values.pop("joints"))
    if values["command_type"] not in POINTS:
        got = values["command_type"]
        raise SettingsError(f"command_type: got {got!r}, expected one of {tuple(POINTS)}")
    if len(set(joints)) != len(joints):
        raise SettingsError(f"joints: got {list(joints)}, expected each name once")
    values |= {name: _array(node, name) for name in _GAINS}
    return StreamerSettings(joints=joints, **values)


def _command_type() -> tuple[str, str, str]:
    kinds = f"What the points are sent as: {', '.join(POINTS)}"
    return "command_type", next(iter(POINTS)), kinds


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


class Points(Protocol):
    """Sends positions (J,) rad from the streaming thread."""

    topic: str
    holds_first: bool
    """Whether the measured position is sent before the first window."""

    def send(self, position: Floats, steady_ns: int) -> bool:
        """Send the message that is due now; position: (J,) rad. False: it was not sent."""

    def refuses(self, steady_ns: int) -> str:
        """Why no window may be played yet; empty when one may."""

    def release(self, steady_ns: int) -> None:
        """Begin to give the arms back; `send` is still called until `released`."""

    @property
    def released(self) -> bool:
        """Whether there is nothing left to give back."""


class ForwardPoints:
    """Sends to a forward command controller, which holds its last point itself.

    The controller's own list of joints must be that of the parameter `joints`, where it has one.
    Nothing is sent until that is known of a controller that was loaded again.
    """

    holds_first = False
    released = True

    def __init__(self, node: Node, settings: StreamerSettings) -> None:
        """Create the publisher, and ask the controller for its joints."""
        self._points = node.create_publisher(Float64MultiArray, settings.command_topic, qos.COMMAND)
        self.topic = self._points.topic_name
        self._controller = ControllerJoints(node, self.topic, settings.joints)

    def send(self, position: Floats, steady_ns: int) -> bool:
        """Publish one point, (J,) rad, unless its numbers might go to other joints."""
        if self._controller.problem:
            return False
        self._points.publish(Float64MultiArray(data=array.array("d", position)))
        return True

    def refuses(self, steady_ns: int) -> str:
        """Why the numbers might go to other joints."""
        return self._controller.problem

    def release(self, steady_ns: int) -> None:
        """Do nothing: nothing was taken over."""


class LowCmdPoints:
    """Sends to Unitree's arm_sdk; the weight rises at the start and falls at an orderly end.

    While the weight rises, the arms are held where they are. When no more windows arrive, the last
    position is still sent with full weight.
    """

    holds_first = True

    def __init__(self, node: Node, settings: StreamerSettings) -> None:
        """SettingsError: no unitree_hg, a joint that arm_sdk does not move, or wrong gains."""
        gains = Gains(np.array(settings.stiffness), np.array(settings.damping))
        self._command = ArmCommand(settings.joints, gains)
        self._weight = ArmWeight(settings.start_weight)
        self._message = message_class("unitree_hg", "LowCmd", "unitreerobotics/unitree_ros2")()
        self._commands = node.create_publisher(
            type(self._message), settings.command_topic, qos.COMMAND
        )
        self.topic = self._commands.topic_name

    def send(self, position: Floats, steady_ns: int) -> bool:
        """Publish one LowCmd of (J,) rad; the first call begins to take over the arms."""
        self._weight.take(steady_ns)
        fields, crc = self._command.fields(position, self._weight.at(steady_ns))
        for motor, values in zip(self._message.motor_cmd, fields["motor_cmd"], strict=True):
            motor.q = float(values["q"])
            motor.kp, motor.kd = float(values["kp"]), float(values["kd"])
        self._message.crc = crc
        self._commands.publish(self._message)
        return True

    def refuses(self, steady_ns: int) -> str:
        """Not empty until the weight is full: the robot then follows only these commands."""
        return "" if self._weight.full else "weight: the arms are not taken over yet"

    def release(self, steady_ns: int) -> None:
        """Begin to lower the weight."""
        self._weight.release(steady_ns)

    @property
    def released(self) -> bool:
        """Whether the weight is 0."""
        return self._weight.released


class WbcPoints:
    """Sends goals to GR00T-WholeBodyControl, with times of the robot computer's monotonic clock.

    It sends only while the robot's status proves that it runs on that computer. Each goal also
    carries the base's velocities and height, as gr00t_command_streamer publishes them. Without a
    recent velocity the base stands.
    """

    holds_first = False
    released = True

    def __init__(self, node: Node, settings: StreamerSettings) -> None:
        """Create the publisher, and subscribe to the robot's status."""
        self._goals = node.create_publisher(ByteMultiArray, settings.command_topic, qos.COMMAND)
        self._status = PulledSubscription(node, (ByteMultiArray,), WBC_STATUS, raw=False)
        self._refused, self._status_ns = f"host: nothing on {WBC_STATUS} yet", 0
        self._walks = _pulled(node, Twist, settings.walk_topic)
        self._heights = _pulled(node, Float64, settings.height_topic)
        self._walk: tuple[float, ...] = _STANDS
        self._walked_ns = 0
        self._height_m: float | None = None
        self.topic = self._goals.topic_name

    def send(self, position: Floats, steady_ns: int) -> bool:
        """Publish one goal, unless the receiver would read its time with another host's clock.

        position: (J,) rad.
        """
        if self.refuses(steady_ns):
            return False
        walk, height_m = self._base(steady_ns)
        content = encode(goal(position, time.monotonic_ns(), walk, height_m), "msgpack_numpy")
        self._goals.publish(ByteMultiArray(data=[bytes([byte]) for byte in content]))
        return True

    def refuses(self, steady_ns: int) -> str:
        """Why this is not the robot's computer, according to its newest status."""
        try:
            message = self._status.take()
        except Gr00tError as error:
            return str(error)
        if message is not None:
            self._refused, self._status_ns = _judged(message), steady_ns
        elif self._status_ns and steady_ns - self._status_ns > _STATUS_NS:
            return f"host: {WBC_STATUS} fell silent, expected the robot's status"
        return self._refused

    def release(self, steady_ns: int) -> None:
        """Do nothing: nothing was taken over, and the receiver holds its last goal."""

    def _base(self, steady_ns: int) -> tuple[tuple[float, ...] | None, float | None]:
        """Velocities (zero if the newest are too old) and the last height; None: not configured."""
        message = self._walks.take() if self._walks else None
        if message is not None:
            self._walk = twist_values(message, len(PLANAR))
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
    """Why the sender of this status does not use this host's clock; empty if it does."""
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
"""The value of the parameter command_type -> the class that sends the points."""

HELP_ROWS: tuple[tuple[str, object, str], ...] = (
    *((name, None, meaning) for name, (_, meaning) in _REQUIRED.items()),
    _command_type(),
    *((name, default, meaning) for name, (default, _, _, meaning) in _OPTIONAL.items()),
    *((name, "", meaning) for name, meaning in (*_GAINS.items(), *_TOPICS.items())),
)
"""All parameters for --help: name, default (None: required), meaning with unit."""
