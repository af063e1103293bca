"""The publishers of a played bag: serialised messages on the topics they were recorded from.

Header stamps stay as they were recorded. Which topics of a bag may be played is decided here:
commands move a robot that listens, so they are played only when they are asked for by name.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rosgraph_msgs.msg import Clock

from gr00t_ros.bags.bag import BagMessage, BagTopic
from gr00t_ros.bags.message_types import message_class
from gr00t_ros.core.errors import BagError

CLOCK_TOPIC = "/clock"

COMMANDS = frozenset(
    {
        "geometry_msgs/msg/Twist",
        "geometry_msgs/msg/TwistStamped",
        "std_msgs/msg/Float64MultiArray",
        "trajectory_msgs/msg/JointTrajectory",
    }
)
"""Types by which controllers are commanded."""

DEPTH = 100
"""A second of joint states: nothing is lost to a reader that is late by less. Reliable, because
a best-effort reader receives it too."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The topics of a bag that are played, with their classes, and why others are left out."""

    played: tuple[tuple[BagTopic, Any], ...]
    left_out: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The topics that are played."""
        return tuple(topic.name for topic, _ in self.played)


def choose(topics: Sequence[BagTopic], wanted: Collection[str], with_clock: bool) -> Choice:
    """Choose the topics to play: the wanted ones, or with none wanted all that can do no harm.

    Raises BagError for a wanted topic that is not in the bag, and when nothing is left.
    """
    names = [topic.name for topic in topics]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise BagError(f"topics {unknown} are not in the bag, which has {names}")
    played, left_out = [], []
    for topic in topics:
        if wanted and topic.name not in wanted:
            continue
        why = _objection(topic, wanted, with_clock)
        if not why:
            try:
                played.append((topic, message_class(topic.type_name)))
            except BagError as error:
                why = str(error)
        if why:
            left_out.append(f"{topic.name}: {why}")
    if not played:
        raise BagError("no topic is left to play: " + "; ".join(left_out))
    return Choice(tuple(played), tuple(left_out))


def _objection(topic: BagTopic, wanted: Collection[str], with_clock: bool) -> str:
    if topic.problem:
        return topic.problem
    if with_clock and topic.name == CLOCK_TOPIC:
        return "the clock is published from bag time instead"
    if topic.type_name in COMMANDS and topic.name not in wanted:
        return f"{topic.type_name} commands a robot; name it with --topics to play it"
    return ""


class Publishers:
    """One publisher a topic of a Choice, and that of /clock where asked for."""

    def __init__(self, node: Node, choice: Choice, with_clock: bool) -> None:
        """Create them; topic names can be remapped as any node's."""
        self._publishers = {
            topic.name: node.create_publisher(kind, topic.name, _profile(topic.latched))
            for topic, kind in choice.played
        }
        self._clock = node.create_publisher(Clock, CLOCK_TOPIC, _profile()) if with_clock else None

    def publish(self, bag_ns: int, message: BagMessage | None) -> None:
        """Publish a message as it was recorded, or with None the clock."""
        if message is not None:
            self._publishers[message.topic].publish(message.data)
        elif self._clock is not None:
            self._clock.publish(Clock(clock=Time(nanoseconds=bag_ns).to_msg()))

    def unheard(self) -> list[str]:
        """Topics that nobody subscribes to yet, as remapped."""
        clock = [] if self._clock is None else [self._clock]
        publishers = [*clock, *self._publishers.values()]
        return [one.topic_name for one in publishers if one.get_subscription_count() == 0]

    def flush(self, limit_s: float) -> bool:
        """Wait until every subscriber has all messages; False where one has not by `limit_s`."""
        end = time.monotonic() + limit_s
        return all(
            one.wait_for_all_acked(Duration(seconds=max(end - time.monotonic(), 0.0)))
            for one in self._publishers.values()
        )


def _profile(latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )
