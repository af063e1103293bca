"""A subscription that is taken from when its reader wants, and never calls back.

The executor does not wait for it, so messages that nobody looks at cost nothing: the newest
stay in the middleware until they are taken (performance.md, camera path). It asks for reliable
delivery where its profile may and every publisher offers it, and changes over as they change: the
old subscription is taken from until the new one has delivered. Refuses to know what the messages
hold.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from gr00t_ros.errors import ObservationError
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
        profiles: Sequence[QoSProfile] = (qos.READINGS,),
    ) -> None:
        """Subscribe to `topic` as the first of `types`; `raw`: take bytes, else messages.

        profiles: best effort, and reliable where that may be asked of publishers that all offer it.
        """
        self._node, self._types, self._raw, self._profiles = node, types, raw, profiles
        self.number: int | None = None
        """The publisher's own count of the message taken last; None where nobody tells it."""
        self._sent_ns = 0  # when that was published, by its publisher's clock
        self._next: Subscription[Any] | None = None
        self.depth: int = profiles[0].depth
        self._type = types[0]
        try:
            publishers = node.get_publishers_info_by_topic(node.resolve_topic_name(topic))
        except InvalidHandle:
            publishers = []
        self._profile = self._wanted(publishers, profiles[0])
        self._subscription = self._subscribe(topic)
        self.topic: str = self._subscription.topic_name  # as remapped

    @property
    def type_names(self) -> tuple[str, ...]:
        """The types that can be read as the graph names them, such as sensor_msgs/msg/Image."""
        return tuple(_graph_name(each) for each in self._types)

    def follow(self, publishers: Sequence[TopicEndpointInfo]) -> None:
        """Subscribe as these publish: another of the types, reliable or best effort.

        One type at a time: Fast DDS refuses a topic that has two types in one process.
        """
        published = {info.topic_type for info in publishers}
        profile, wanted = self._wanted(publishers, self._profile), self._wanted_type(published)
        if wanted is not self._type:
            self.destroy()
            self._type, self._profile, self._next = wanted, profile, None
            self._subscription = self._subscribe(self.topic)
        elif profile is not self._profile:
            self._profile = profile
            if self._next is not None:  # back again before the change was over
                self._node.destroy_subscription(self._next)
                self._next = None
            else:
                self._next = self._subscribe(self.topic)

    def take(self) -> Any | None:
        """The newest message not taken yet, None if there is none or the node is gone.

        Raises ObservationError for a message that the middleware cannot hand over.
        """
        try:
            taken = self._taken()
        except InvalidHandle:  # destroyed between two pulls: a shutdown, not a fault
            return None
        except _rclpy.RCLError as error:
            raise ObservationError(f"{self.topic}: cannot take a message: {error}") from None
        if taken is None:
            return None
        message, info = taken
        self.number, self._sent_ns = info["publication_sequence_number"], info["source_timestamp"]
        return message

    def destroy(self) -> None:
        """Unsubscribe; `take` returns None from then on."""
        for one in (self._subscription, self._next):
            if one is not None:
                self._node.destroy_subscription(one)

    def _taken(self) -> tuple[Any, Any] | None:
        """A message and what is known of it; from the next subscription as soon as it has one."""
        while self._next is not None:
            taken = self._take_from(self._next)
            if taken is None:
                break
            if taken[1]["source_timestamp"] > self._sent_ns:
                self._node.destroy_subscription(self._subscription)
                self._subscription, self._next = self._next, None
                return taken
            # else the old one brought it already
        return self._take_from(self._subscription)

    def _take_from(self, subscription: Subscription[Any]) -> tuple[Any, Any] | None:
        with subscription.handle:
            taken: tuple[Any, Any] | None = subscription.handle.take_message(self._type, self._raw)
        return taken

    def _wanted_type(self, published: Collection[str]) -> Any:
        """The present type, or the first that is published where only others are."""
        if _graph_name(self._type) in published:
            return self._type
        others = (other for other in self._types if _graph_name(other) in published)
        return next(others, self._type)

    def _wanted(self, publishers: Sequence[TopicEndpointInfo], present: QoSProfile) -> QoSProfile:
        """The profile for these publishers; without any the present one."""
        if not publishers:
            return present
        return self._profiles[-1 if qos.all_reliable(publishers) else 0]

    def _subscribe(self, topic: str) -> Subscription[Any]:
        return self._node.create_subscription(
            self._type, topic, _unused, self._profile, callback_group=_Never(), raw=self._raw
        )


def _graph_name(message_type: Any) -> str:
    package, _, _ = message_type.__module__.partition(".")
    return f"{package}/msg/{message_type.__name__}"


def _unused(message: object) -> None:
    """Stand where rclpy demands a callback; the group never lets it run."""
