"""The clients of one policy node: its services and its status, with a limit on every wait.

It creates service clients and one subscription, and publishes no command. rclpy is imported when a
client is made.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gr00t_ros.errors import NodeError, SettingsError

if TYPE_CHECKING:
    from gr00t_ros.msg import PolicyStatus
    from gr00t_ros.tools.operator_screen import View

_NOTICE_S = 1.0
_SPIN_S = 0.02
_POLICY_STATUS = "gr00t_ros/msg/PolicyStatus"


class PolicyClient:
    """The clients of one policy node; its name is a full name such as /gr00t_policy."""

    def __init__(self, name: str, timeout_s: float, ros_arguments: Sequence[str]) -> None:
        """Join the ROS graph; `close` leaves it. Raises SettingsError for wrong ROS arguments."""
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.parameter import Parameter
        from rclpy.signals import SignalHandlerOptions

        self.name, self._timeout_s = name, timeout_s
        self._context = rclpy.Context()
        try:
            rclpy.init(
                args=list(ros_arguments),
                context=self._context,
                signal_handler_options=SignalHandlerOptions.NO,
            )
        except RuntimeError as error:  # UnknownROSArgsError, RCLError
            raise SettingsError(f"ROS arguments: not understood: {error}") from error
        self.node = rclpy.create_node(
            f"gr00t_operator_{os.getpid()}",
            context=self._context,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
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

    def call(
        self,
        kind: Any,
        service: str,
        request: Any,
        repeat_s: float = math.inf,
        notice: Callable[[], None] | None = None,
    ) -> Any:
        """The answer of the node's service; asks again after `repeat_s` without an answer.

        notice: called once if there is no answer after _NOTICE_S. Raises NodeError if the service
        does not appear or does not answer within the timeout.
        """
        client = self.node.create_client(kind, f"{self.name}/{service}")
        begin_s = time.monotonic()
        asked_s, futures = -math.inf, list[Any]()
        while (now_s := time.monotonic()) < begin_s + self._timeout_s:
            due = not futures or now_s >= asked_s + repeat_s
            if due and client.service_is_ready():
                futures.append(client.call_async(request))
                asked_s = now_s
            self._executor.spin_once(timeout_sec=_SPIN_S)
            for future in futures:
                if future.done():
                    return future.result()
            if notice is not None and now_s >= begin_s + _NOTICE_S:
                notice()
                notice = None
        if not futures:
            raise self._missing(f"no service {self.name}/{service}")
        raise NodeError(
            f"{self.name}/{service}: no answer within {self._timeout_s:g} s; the request may still "
            "be carried out: see gr00t operator status"
        )

    def follow(self) -> None:
        """Subscribe to the node's status, and wait for the first one; raises NodeError without."""
        from gr00t_ros.msg import PolicyStatus
        from gr00t_ros.ros.qos import STATUS

        topic = f"{self.name}/status"
        self.node.create_subscription(PolicyStatus, topic, self._take, STATUS)
        if not self.wait_for_status(self._timeout_s):
            raise self._missing(f"no status on {topic}")

    def wait_for_status(self, limit_s: float) -> bool:
        """Whether another status arrives within the time."""
        before, end_s = self.received, time.monotonic() + limit_s
        while self.received == before and time.monotonic() < end_s:
            self._executor.spin_once(timeout_sec=_SPIN_S)
        return self.received > before

    def view(self) -> View:
        """What is known now; only after `follow`."""
        from gr00t_ros.tools.operator_screen import View

        assert self.status is not None
        age_s = time.monotonic() - self._received_s
        return View(self.name, self.domain, self.status, age_s, tuple(self._warnings()))

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
            if _POLICY_STATUS in types and topic != f"{self.name}/status"
        )
        names = (
            f"{space.rstrip('/')}/{name}"
            for name, space in self.node.get_node_names_and_namespaces()
            if name.startswith("gr00t_") and name != self.node.get_name()
        )
        others = sorted({*names} - {*policies})
        seen = [f"policy node {name} (choose it with --node)" for name in policies]
        seen += [f"node {name}" for name in others]
        instead = ", ".join(seen) or "no other gr00t node"
        return NodeError(
            f"{what} within {self._timeout_s:g} s in ROS_DOMAIN_ID {self.domain}; seen: {instead}. "
            "Is the node started, with this ROS_DOMAIN_ID and RMW_IMPLEMENTATION?"
        )
