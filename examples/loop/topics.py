"""Topics inside one process: a message goes to its subscribers and into an episode's bag.

`Participant` stands in for a ROS node towards the simulated robot's drivers and controllers and
towards the policy node's outputs: they make their messages exactly as they do over DDS.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

from rclpy.serialization import deserialize_message, serialize_message

from gr00t_ros.bags.message_types import type_name
from gr00t_ros.record.episode_bag import WritableBag, channel_of
from gr00t_ros.ros.qos import COMMAND


class Topic:
    """One topic, as its publishers see it."""

    def __init__(self, graph: Graph, name: str, kind: type, profile: Any) -> None:
        self.topic_name = name
        self.subscribers: list[Callable[[Any], None]] = []
        self._graph, self._kind = graph, kind
        kept = name in graph.recorded
        self._channel = channel_of(name, type_name(kind), profile) if kept else None

    def publish(self, message: Any) -> None:
        """Write the message with the present bag time, then hand it to the subscribers.

        It may be serialised already, as for rclpy's publishers.
        """
        serialised = isinstance(message, bytes)
        if self._channel is not None:
            data = message if serialised else serialize_message(message)
            self._graph.bag.write(self._channel, self._graph.now_ns, data)
        if serialised and self.subscribers:
            message = deserialize_message(message, self._kind)
        for receive in self.subscribers:
            receive(message)

    def get_subscription_count(self) -> int:
        """How many receive it, the bag included."""
        return len(self.subscribers) + (self._channel is not None)


class Graph:
    """All topics; `now_ns` is the time that the caller sets, ROS time and bag time in one."""

    def __init__(self, bag: WritableBag, recorded: Collection[str]) -> None:
        """recorded: names of the topics that go into the bag."""
        self.bag, self.recorded, self.now_ns = bag, frozenset(recorded), 0
        self._topics: dict[str, Topic] = {}

    def topic(self, name: str, kind: type, profile: Any) -> Topic:
        """The topic of that full name."""
        if name not in self._topics:
            self._topics[name] = Topic(self, name, kind, profile)
        return self._topics[name]


class Participant:
    """What publishes and subscribes under a node's name; the methods are those of rclpy's node."""

    def __init__(self, graph: Graph, name: str) -> None:
        """name: the node's full name."""
        self._graph, self._name = graph, name

    def create_publisher(self, kind: type, topic: str, profile: Any) -> Topic:
        """A topic to publish on."""
        return self._graph.topic(self._resolved(topic), kind, profile)

    def create_lifecycle_publisher(self, kind: type, topic: str, profile: Any) -> Topic:
        """As a lifecycle node that is active."""
        return self.create_publisher(kind, topic, profile)

    def create_subscription(
        self, kind: type, topic: str, receive: Callable[[Any], None], _profile: Any
    ) -> None:
        """Receive a topic. The QoS in the bag is the publisher's; of commands it is COMMAND."""
        self.create_publisher(kind, topic, COMMAND).subscribers.append(receive)

    def get_logger(self) -> Any:
        """A logger that has rclpy's methods."""
        return _Logger(self._name)

    def _resolved(self, topic: str) -> str:
        if topic.startswith("~"):
            return self._name + topic[1:]
        return topic if topic.startswith("/") else f"/{topic}"


class _Logger(logging.Logger):
    def get_child(self, suffix: str) -> logging.Logger:
        return self.getChild(suffix)
