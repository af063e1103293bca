"""A subscription without a callback: its reader takes messages when it needs them.

The executor does not wait for it, so messages that are not read cost no time: the newest ones stay
in the middleware until they are taken (performance.md, camera path). It requests reliable delivery
if its profiles include it and every publisher offers it, and changes the QoS when the publishers
change: messages come from the old subscription until the new one has delivered. Does not depend on
the content of the messages. A reader that has to act at once waits for Arrivals.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.context import Context
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from gr00t_ros.errors import ObservationError
from gr00t_ros.ros import qos

InvalidHandle: type[Exception] = _rclpy.InvalidHandle
"""What rclpy raises when a subscription or node has been destroyed."""


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
        """Subscribe to `topic` with the first of `types`; `raw`: take bytes instead of messages.

        profiles: the best effort profile, and optionally the reliable profile to use when all
        publishers offer it.
        """
        self._node, self._types, self._raw, self._profiles = node, types, raw, profiles
        self.number: int | None = None
        """Sequence number that the publisher gave the last taken message; None if unknown."""
        self.sent_ns = 0
        """When that message was published, by its publisher's clock, ns."""
        self.received_ns = 0
        """When the middleware received it, by this machine's clock, ns."""
        self._next: Subscription | None = None
        self.depth: int = profiles[0].depth
        self.message_type = types[0]
        """The type of the messages that `take` returns."""
        try:
            publishers = node.get_publishers_info_by_topic(node.resolve_topic_name(topic))
        except InvalidHandle:
            publishers = []
        self._profile = self._wanted(publishers, profiles[0])
        self._subscription = self._subscribe(topic)
        self.topic: str = self._subscription.topic_name  # as remapped

    @property
    def type_names(self) -> tuple[str, ...]:
        """The types that can be read, as in the ROS graph, such as sensor_msgs/msg/Image."""
        return tuple(graph_name(each) for each in self._types)

    def follow(self, publishers: Sequence[TopicEndpointInfo]) -> None:
        """Adapt the subscription to these publishers: their type, reliable or best effort.

        Only one type at a time: Fast DDS rejects a topic with two types in one process.
        """
        published = {info.topic_type for info in publishers}
        profile, wanted = self._wanted(publishers, self._profile), self._wanted_type(published)
        if wanted is not self.message_type:
            self.destroy()
            self.message_type, self._profile, self._next = wanted, profile, None
            self._subscription = self._subscribe(self.topic)
        elif profile is not self._profile:
            self._profile = profile
            if self._next is not None:  # changed back before the new subscription delivered
                self._node.destroy_subscription(self._next)
                self._next = None
            else:
                self._next = self._subscribe(self.topic)

    def take(self) -> Any | None:
        """The next message that waits, None if there is none or the node was destroyed.

        Raises ObservationError if the middleware cannot deliver a message.
        """
        try:
            taken = self._taken()
        except InvalidHandle:  # destroyed between two pulls: a normal shutdown
            return None
        except _rclpy.RCLError as error:
            raise ObservationError(f"{self.topic}: cannot take a message: {error}") from None
        if taken is None:
            return None
        message, info = taken
        self.number, self.sent_ns = info["publication_sequence_number"], info["source_timestamp"]
        self.received_ns = info["received_timestamp"]
        return message

    def parse(self, serialised: bytes) -> Any:
        """The message of the bytes that the last `take` returned.

        Raises ObservationError if they are no message of the type that is subscribed to.
        """
        try:
            return deserialize_message(serialised, self.message_type)
        except _rclpy.RMWError as error:
            raise ObservationError(f"{self.topic}: cannot read a message: {error}") from None

    @property
    def handles(self) -> tuple[Any, ...]:
        """The subscriptions that messages come from, as rclpy's handles for a wait set."""
        both = (self._subscription, self._next)
        return tuple(one.handle for one in both if one is not None)

    def destroy(self) -> None:
        """Unsubscribe; `take` returns None from then on."""
        for one in (self._subscription, self._next):
            if one is not None:
                self._node.destroy_subscription(one)

    def _taken(self) -> tuple[Any, Any] | None:
        """A message with its info; from the new subscription as soon as that has delivered one."""
        while self._next is not None:
            taken = self._take_from(self._next)
            if taken is None:
                break
            if taken[1]["source_timestamp"] > self.sent_ns:
                self._node.destroy_subscription(self._subscription)
                self._subscription, self._next = self._next, None
                return taken
            # else the old subscription has already delivered this message
        return self._take_from(self._subscription)

    def _take_from(self, subscription: Subscription) -> tuple[Any, Any] | None:
        with subscription.handle:
            taken: tuple[Any, Any] | None = subscription.handle.take_message(
                self.message_type, self._raw
            )
        return taken

    def _wanted_type(self, published: Collection[str]) -> Any:
        """The present type if it is published, else the first of `types` that is published."""
        if graph_name(self.message_type) in published:
            return self.message_type
        others = (other for other in self._types if graph_name(other) in published)
        return next(others, self.message_type)

    def _wanted(self, publishers: Sequence[TopicEndpointInfo], present: QoSProfile) -> QoSProfile:
        """The profile for these publishers; the present one if there are none."""
        if not publishers:
            return present
        return self._profiles[-1 if qos.all_reliable(publishers) else 0]

    def _subscribe(self, topic: str) -> Subscription:
        return self._node.create_subscription(
            self.message_type, topic, _unused, self._profile, callback_group=_Never(), raw=self._raw
        )


def graph_name(message_type: Any) -> str:
    """The name of a message type in the ROS graph, such as sensor_msgs/msg/Image."""
    package, _, _ = message_type.__module__.partition(".")
    return f"{package}/msg/{message_type.__name__}"


def _unused(message: object) -> None:
    """Do nothing: rclpy requires a callback, but _Never keeps it from running."""


class Arrivals:
    """Waits until a message arrives on one of some pulled subscriptions; takes no message.

    One thread waits at a time; any thread may `end` it. rclpy's own wait set, without an executor:
    nothing runs for messages that nobody waits for. The subscriptions stay alive while they are in
    it, even if another thread destroys them meanwhile.
    """

    def __init__(self, context: Context, subscriptions: Sequence[PulledSubscription]) -> None:
        self._context, self._subscriptions = context, subscriptions
        handle = context.handle
        assert handle is not None  # of a context that was initialised
        with handle:
            self._guard = _rclpy.GuardCondition(handle)
        self.ended = False

    def wait(self, until_ns: int) -> None:
        """Return at the next message, at steady time `until_ns`, or once ended.

        Returns at once if a message waits already. It may also return without a cause.
        """
        left_ns = until_ns - time.monotonic_ns()
        if left_ns <= 0 or self.ended:
            return
        try:
            self._wait(left_ns)
        except InvalidHandle:  # one was destroyed meanwhile: its place may have been taken
            return
        except _rclpy.RCLError:  # the context was shut down: no more comes
            self.ended = True

    def end(self) -> None:
        """End the present wait and all later ones; the owner destroys the subscriptions."""
        self.ended = True
        with self._guard:
            self._guard.trigger_guard_condition()

    def _wait(self, left_ns: int) -> None:
        with ExitStack() as alive:
            handles = [one for pulled in self._subscriptions for one in pulled.handles]
            for entity in (self._context.handle, self._guard, *handles):
                alive.enter_context(entity)
            waits = _rclpy.WaitSet(len(handles), 1, 0, 0, 0, 0, self._context.handle)
            alive.enter_context(waits)
            waits.clear_entities()
            waits.add_guard_condition(self._guard)
            for handle in handles:
                waits.add_subscription(handle)
            waits.wait(left_ns)
