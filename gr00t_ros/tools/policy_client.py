"""The clients of one policy node: services, status, parameters; a limit on every wait.

It creates service clients and one subscription, and publishes no command. rclpy is imported when a
client is made. A parameter's range is compared here, before the node is asked: rclpy's own refusal
has no unit.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from gr00t_ros.command_line import nearest
from gr00t_ros.errors import NodeError, SettingsError
from gr00t_ros.ros.asked import AskedOnce, AskedService, IntroducedClient
from gr00t_ros.ros.join import join_as_client
from gr00t_ros.ros.policy_node import STATUS_TYPE
from gr00t_ros.text_table import printable

if TYPE_CHECKING:
    from gr00t_ros.msg import PolicyStatus
    from gr00t_ros.tools.operator_screen import NodeView

_OWN = "gr00t_operator_"
_SPIN_S = 0.02
_AGAIN_S = 0.25
"""A request that may be carried out twice is repeated after this time, then after twice it."""
_JOIN_AGAIN_S = 0.4
_MOST_CLIENTS = 4
_UNIT = re.compile(r"\[([^\]]+)\]$")
"""The end of a description: its unit (ros/parameters.py)."""


class PolicyClient:
    """The clients of one policy node; its name is a full name such as /gr00t_policy."""

    def __init__(
        self, name: str, timeout_s: float, ros_arguments: Sequence[str], stop: threading.Event
    ) -> None:
        """Join the ROS graph; `close` leaves it. Raises SettingsError for wrong ROS arguments.

        stop: every wait then ends by KeyboardInterrupt; one that a signal handler raises inside a
        callback of rclpy may be lost.
        """
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.parameter import Parameter

        self.name, self.timeout_s, self._stop = name, timeout_s, stop
        self._context = rclpy.Context()
        join_as_client(ros_arguments, self._context)
        self.node = rclpy.create_node(
            f"{_OWN}{os.getpid()}",
            context=self._context,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._clients: dict[str, IntroducedClient] = {}
        self.sent_s = 0.0
        """When the request that was answered last was sent, steady time, s."""
        self.status: PolicyStatus | None = None
        self.received = 0
        self._received_s = 0.0

    def close(self) -> None:
        """Leave the ROS graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    @property
    def domain(self) -> int:
        """The ROS_DOMAIN_ID that is in use."""
        return int(self._context.get_domain_id())

    def call(self, kind: Any, service: str, request: Any, until_s: float = math.inf) -> Any:
        """The answer of the node's service, which is asked once, when the node knows the client.

        until_s: it is not asked after this, steady time, s.
        Raises NodeError if the service does not appear or does not answer within the timeout.
        """
        client = self._clients.get(service)
        if client is None:  # kept: a request that is made again is sent at once
            client = IntroducedClient(self.node, kind, f"{self.name}/{service}")
            self._clients[service] = client
        return self._answer(client.ask(request, until_s))

    def call_at_once(self, kind: Any, service: str, request: Any) -> Any:
        """As `call`, for a request that may be carried out twice: sent at once, and repeated."""
        return self._answer(self.ask(kind, service, request))

    def _answer(self, asked: AskedService | AskedOnce) -> Any:
        end_s = time.monotonic() + self.timeout_s
        while time.monotonic() < end_s:
            if (answer := asked.answer()) is not None:
                self.sent_s = asked.sent_s
                return answer
            self.spin(_SPIN_S)
        raise self.without_answer(asked)

    def ask(self, kind: Any, service: str, request: Any) -> AskedService:
        """A request that is sent as soon as the service is there, and repeated: AskedService."""
        client = self.node.create_client(kind, f"{self.name}/{service}")
        return AskedService(client, f"{self.name}/{service}", request, _AGAIN_S)

    def spin(self, limit_s: float) -> None:
        """Take what arrives next, and wait for it at most this long."""
        if self._stop.is_set():
            raise KeyboardInterrupt
        self._executor.spin_once(timeout_sec=limit_s)

    def without_answer(self, asked: AskedService | AskedOnce) -> NodeError:
        """The error for a service that did not appear or did not answer."""
        client = asked.client if isinstance(asked, AskedOnce) else asked
        if asked.sent:
            return NodeError(
                f"{client.service}: no answer within {self.timeout_s:g} s; the request may still "
                "be carried out: see gr00t operator status"
            )
        if isinstance(client, IntroducedClient) and client.is_there:
            return NodeError(
                f"{client.service}: the node answers nothing within {self.timeout_s:g} s, and was "
                "not asked for this; look at its log"
            )
        return self._missing(f"no service {client.service}")

    def follow(self) -> None:
        """Subscribe to the node's status, and wait for the first one; raises NodeError without."""
        from gr00t_ros.msg import PolicyStatus
        from gr00t_ros.ros.qos import STATUS

        topic = f"{self.name}/status"
        self.node.create_subscription(PolicyStatus, topic, self._take, STATUS)
        if not self.wait_for_status(self.timeout_s):
            raise self._missing(f"no status on {topic}")

    def wait_for_status(self, limit_s: float) -> bool:
        """Whether another status arrives within the time."""
        before, end_s = self.received, time.monotonic() + limit_s
        while self.received == before and time.monotonic() < end_s:
            self.spin(_SPIN_S)
        return self.received > before

    def view(self) -> NodeView:
        """What is known now; only after `follow`."""
        from gr00t_ros.tools.operator_screen import NodeView

        assert self.status is not None
        age_s = time.monotonic() - self._received_s
        return NodeView(self.name, self.domain, self.status, age_s, tuple(self._warnings()))

    def _take(self, status: PolicyStatus) -> None:
        self.status, self._received_s = status, time.monotonic()
        self.received += 1

    def _warnings(self) -> Iterator[str]:
        publishers = self.node.count_publishers(f"{self.name}/status")
        if publishers == 0:
            yield f"nobody publishes {self.name}/status any more: the node has ended"
        if publishers > 1:
            yield (
                f"{publishers} nodes publish {self.name}/status: give each robot its own "
                "ROS_DOMAIN_ID, or each node its own name"
            )
        if self.node.count_publishers(f"{self.name}/estop"):
            yield (
                f"a publisher on topic {self.name}/estop, which is the name of a service and is "
                f"not received: let the button publish on topic {self.name}/e_stop"
            )

    def _missing(self, what: str) -> NodeError:
        """The error for a node that is not seen, with the nodes that are."""
        policies = sorted(
            topic.removesuffix("/status")
            for topic, types in self.node.get_topic_names_and_types()
            if STATUS_TYPE in types and topic != f"{self.name}/status"
        )
        names = (
            f"{space.rstrip('/')}/{name}"
            for name, space in self.node.get_node_names_and_namespaces()
            if name.startswith("gr00t_") and not name.startswith(_OWN)
        )
        others = sorted({*names} - {*policies})
        seen = [f"policy node {name} (choose it with --node)" for name in policies]
        seen += [f"node {name}" for name in others]
        instead = ", ".join(seen) or "no other gr00t node"
        return NodeError(
            f"{what} within {self.timeout_s:g} s in ROS_DOMAIN_ID {self.domain}; seen: {instead}. "
            "Is the node started, with this ROS_DOMAIN_ID and RMW_IMPLEMENTATION?"
        )


def urgent_call(
    joined: ExitStack,
    make: Callable[[], PolicyClient],
    kind: Any,
    service: str,
    request: Any,
    notice: Callable[[float], None],
) -> Any:
    """The answer of a service, as early as possible: for a request that may be carried out twice.

    Discovery takes 0.2 s, or up to 3 s if its first messages are lost. A further client has its own
    first messages, so another one joins while there is no answer. `make` makes a client; `joined`
    closes them all. notice: called with the seconds since the begin. Raises NodeError as
    PolicyClient.call does.
    """
    begin_s = time.monotonic()
    pairs: list[tuple[PolicyClient, AskedService]] = []
    joins = 0
    while not pairs or time.monotonic() < begin_s + pairs[0][0].timeout_s:
        spent_s = time.monotonic() - begin_s
        if joins < _MOST_CLIENTS and spent_s >= joins * _JOIN_AGAIN_S:
            joins += 1
            with suppress(Exception) if pairs else nullcontext():  # the first one stays in any case
                client = make()
                joined.callback(client.close)
                pairs.append((client, client.ask(kind, service, request)))
        for client, asked in pairs:
            if (answer := asked.answer()) is not None:
                return answer
            client.spin(_SPIN_S / len(pairs))
        notice(spent_s)
    client, asked = next((pair for pair in pairs if pair[1].sent), pairs[0])
    raise client.without_answer(asked)


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
