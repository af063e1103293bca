"""The parameters of gr00t_streamer: names, defaults, ranges, and the frozen result."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterUninitializedException
from rclpy.node import Node
from rclpy.parameter import Parameter

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.ros.unknown import refuse_unknown


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
