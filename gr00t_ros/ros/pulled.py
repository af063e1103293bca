"""A subscription that is taken from when its reader wants, and never calls back.

The executor does not wait for it, so messages that nobody looks at cost nothing: depth 1 keeps
the newest in the middleware until it is taken (performance.md, camera path). Refuses to know
what the messages hold.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile

from gr00t_ros.core.errors import ObservationError
from gr00t_ros.ros import qos

InvalidHandle: type[Exception] = _rclpy.InvalidHandle
"""What rclpy raises for a subscription or node that was destroyed."""


class _Never(CallbackGroup):
    """Keeps its entities out of every executor's wait set."""

    def can_execute(self, entity: object) -> bool:
        return False

    def beginning_execution(self, entity: object) -> bool:
        return False

    def ending_execution(self, entity: object) -> None:
        """Nothing begins, so nothing ends."""


class PulledSubscription:
    """One sensor subscription of `node`; its owner serialises `take`, `follow` and `destroy`."""

    def __init__(
        self,
        node: Node,
        types: Sequence[Any],
        topic: str,
        raw: bool = True,
        profile: QoSProfile = qos.SENSOR,
    ) -> None:
        """Subscribe to `topic` as the first of `types`; `raw`: take bytes, else messages."""
        self._node, self._types, self._raw, self._profile = node, types, raw, profile
        self._subscribe(types[0], topic)
        self.topic: str = self._subscription.topic_name  # as remapped

    @property
    def type_names(self) -> tuple[str, ...]:
        """The types that can be read as the graph names them, such as sensor_msgs/msg/Image."""
        return tuple(_graph_name(each) for each in self._types)

    def follow(self, published: Collection[str]) -> None:
        """Subscribe as another of `types` where only that one is published.

        One at a time: Fast DDS refuses a topic that has two types in one process.
        """
        if _graph_name(self._type) in published:
            return
        for other in self._types:
            if _graph_name(other) in published:
                self.destroy()
                self._subscribe(other, self.topic)
                return

    def take(self) -> Any | None:
        """The newest message not taken yet, None if there is none or the node is gone.

        Raises ObservationError for a message that the middleware cannot hand over.
        """
        try:
            with self._subscription.handle:
                taken = self._subscription.handle.take_message(self._type, self._raw)
        except InvalidHandle:  # destroyed between two pulls: a shutdown, not a fault
            return None
        except _rclpy.RCLError as error:
            raise ObservationError(f"{self.topic}: cannot take a message: {error}") from None
        return None if taken is None else taken[0]

    def destroy(self) -> None:
        """Unsubscribe; `take` returns None from then on."""
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self, message_type: Any, topic: str) -> None:
        self._type = message_type
        self._subscription = self._node.create_subscription(
            message_type, topic, _unused, self._profile, callback_group=_Never(), raw=self._raw
        )


def _graph_name(message_type: Any) -> str:
    package, _, _ = message_type.__module__.partition(".")
    return f"{package}/msg/{message_type.__name__}"


def _unused(message: object) -> None:
    """Stand where rclpy demands a callback; the group never lets it run."""
