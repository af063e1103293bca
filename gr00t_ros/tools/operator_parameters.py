"""What gr00t operator set needs: a parameter as the node declares it, and text as its value.

The range is compared here, before the node is asked: rclpy's own refusal has no unit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gr00t_ros.command_line import nearest
from gr00t_ros.errors import SettingsError
from gr00t_ros.text_table import printable

if TYPE_CHECKING:
    from gr00t_ros.tools.policy_client import PolicyClient

_UNIT = re.compile(r"\[([^\]]+)\]$")
"""The end of a description: its unit (ros/parameters.py)."""


def described(client: PolicyClient, name: str) -> Any:
    """The node's descriptor of parameter `name`; SettingsError if it has none of this name."""
    from rcl_interfaces.msg import ParameterType
    from rcl_interfaces.srv import DescribeParameters

    request = DescribeParameters.Request(names=[name])
    found = client.call(DescribeParameters, "describe_parameters", request).descriptors
    if not found or found[0].type == ParameterType.PARAMETER_NOT_SET:
        raise SettingsError(_unknown(client, name))
    return found[0]


def typed(descriptor: Any, text: str) -> object:
    """`text` as a value of the type that the node has declared; raises SettingsError."""
    from rcl_interfaces.msg import ParameterType

    readers: Mapping[int, tuple[str, Callable[[str], object]]] = {
        ParameterType.PARAMETER_BOOL: ("true or false", _bool),
        ParameterType.PARAMETER_INTEGER: ("a whole number", _integer),
        ParameterType.PARAMETER_DOUBLE: ("a finite number", _double),
        ParameterType.PARAMETER_STRING: ("text", str),
    }
    if descriptor.type not in readers:
        raise SettingsError(f"parameter {descriptor.name}: lists cannot be set by this command")
    expected, read = readers[descriptor.type]
    try:
        return read(text)
    except ValueError:
        message = f"parameter {descriptor.name}: got {printable(text)!r}, expected {expected}"
        raise SettingsError(message) from None


def outside(descriptor: Any, value: object) -> str:
    """Why the node would refuse this value: set at start only, or out of range; empty if not."""
    if descriptor.read_only:
        return (
            f"parameter {descriptor.name}: it can be set at start only: end the node and start it "
            f"with --ros-args -p {descriptor.name}:={value}"
        )
    unit = _UNIT.search(descriptor.description)
    for span in (*descriptor.floating_point_range, *descriptor.integer_range):
        if isinstance(value, (int, float)) and not span.from_value <= value <= span.to_value:
            text = f"{span.from_value:g} to {span.to_value:g} {unit[1] if unit else ''}".rstrip()
            return f"parameter {descriptor.name}: got {value:g}, expected {text}"
    return ""


def set_value(client: PolicyClient, name: str, value: object) -> str:
    """Set the parameter; returns the node's reason if it refuses, empty if it is set."""
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    message = Parameter(name, value=value).to_parameter_msg()
    request = SetParameters.Request(parameters=[message])
    result = client.call(SetParameters, "set_parameters", request).results[0]
    return "" if result.successful else result.reason or "the node gave no reason"


def _unknown(client: PolicyClient, name: str) -> str:
    from rcl_interfaces.srv import ListParameters

    names = client.call(ListParameters, "list_parameters", ListParameters.Request()).result.names
    hint = nearest(name, names) or f"it has: {', '.join(sorted(names))}"
    return f"parameter {printable(name)}: {client.name} has none of this name; {hint}"


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def _integer(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _double(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value
