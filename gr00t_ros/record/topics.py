"""The topics of a recording, the subscription to each of them, and what was lost on the way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

from gr00t_ros.bags.message_types import message_class
from gr00t_ros.errors import BagError
from gr00t_ros.graph.limits import DESCRIPTION
from gr00t_ros.record.episode_bag import channel_of
from gr00t_ros.record.mcap_file import Channel
from gr00t_ros.record.preroll import TF_STATIC
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.ros import qos
from gr00t_ros.ros.pulled import PulledSubscription
from gr00t_ros.ros.windows import window_topic

STATUS: Final = "status"
ACTION_CHUNK: Final = "action_chunk"
_LARGE = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_DEPTHS = (30, 500)
"""Messages that wait in the middleware: a second of pictures, half a second at 1 kHz."""
_REPAIR_NS: Final = 10 * 10**9
"""A time of receipt that is earlier by less than this is in order; by more, a clock was set."""


def recorded_topics(
    embodiment: Embodiment, policy_node: str, more: Iterable[str] = ()
) -> tuple[str, ...]:
    """All topics of the embodiment, of the policy node (its full name) and of the robot, once."""
    streams = [topic for stream in embodiment.streams for topic in stream.topics]
    outputs = (*embodiment.outputs, *embodiment.streamed)
    windows = [window_topic(one).replace("~", policy_node, 1) for one in outputs]
    actions = {action for one in embodiment.commands for action in one.actions}
    goals = {one.topic for one in embodiment.commands if one.actions} | actions
    found = [
        *streams,
        *(one.topic for one in outputs if one.topic not in goals),
        *windows,
        *(one.state_topic for one in embodiment.outputs),
        *(one.topic for one in embodiment.contacts),
        *(f"{policy_node}/{name}" for name in (STATUS, ACTION_CHUNK)),
        *(TF_STATIC, DESCRIPTION),
        *more,
    ]
    if any(stream.source == "tf" for stream in embodiment.state):
        found.append("/tf")
    return tuple(dict.fromkeys(found))


class RecordedTopic:
    """One topic, from the first sight of a publisher on; its owner serialises all calls."""

    def __init__(self, node: Node, topic: str) -> None:
        """Subscribe to nothing yet; `topic` as the embodiment file names it.

        The bag has that name too, whatever the node's remaps are: it is read with that file.
        """
        self.topic: str = node.resolve_topic_name(topic)
        self._recorded: str = node.resolve_topic_name(topic, only_expand=True)
        self.latched = False
        self.channel: Channel | None = None
        self.problem = "never published"
        self.received = self.lost = 0
        self._last_ns = 0
        self._node = node
        self._publishers = 0
        self._gaps = SequenceGaps()
        self._subscription: PulledSubscription | None = None

    def look(self) -> None:
        """Subscribe if there is a publisher, and adapt to those that there are."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        self._publishers = len(publishers)
        if not publishers:
            return
        if self._subscription is not None:
            self._subscription.follow(publishers)
        elif self.channel is None:
            try:
                self._subscribe(publishers)
                self.problem = ""
            except BagError as error:
                self.problem = str(error)

    def take(self) -> tuple[int, bytes] | None:
        """The next message with its time of receipt, ns of the system's clock; None if none waits.

        Counts the messages that were lost before it. The times rise, so that a bag, which is sorted
        by them, keeps the order of the messages: Fast DDS 3 delivers in order, but tells a later
        time of receipt for a message that it had to ask for again than for those behind it.
        """
        subscription = self._subscription
        if subscription is None:
            return None
        data = subscription.take()
        if data is None:
            return None
        self.received += 1
        self.lost += self._gaps.lost(subscription.number, self._publishers)
        time_ns = subscription.received_ns
        if 0 <= self._last_ns - time_ns < _REPAIR_NS:
            time_ns = self._last_ns + 1
        self._last_ns = time_ns
        return time_ns, data

    def destroy(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._subscription.destroy()

    def _subscribe(self, publishers: list[TopicEndpointInfo]) -> None:
        names = sorted({one.topic_type for one in publishers})
        if len(names) > 1:
            text = f"{self.topic} is published as {names}: recorded as {names[0]}"
            self._node.get_logger().error(text)
        kind = message_class(names[0])
        self.latched = all(
            one.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for one in publishers
        )
        best_effort, reliable = (
            _profile(reliability, self.latched, names[0] in _LARGE)
            for reliability in (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE)
        )
        offered = reliable if qos.all_reliable(publishers) else best_effort
        self.channel = channel_of(self._recorded, names[0], offered)
        profiles = (best_effort, reliable)
        self._subscription = PulledSubscription(self._node, (kind,), self.topic, profiles=profiles)


class SequenceGaps:
    """How many messages of a topic were sent and did not arrive, by its publishers' counts.

    rclpy does not give a message's publisher. Publishers number their messages, so each one's next
    number is known, and a larger one shows how many were lost: by the network, by the publisher's
    queue or by ours. The event of DDS for lost messages has only the first of these.
    """

    def __init__(self) -> None:
        """Nothing is expected before the first message."""
        self._expected: list[int] = []

    def lost(self, number: int | None, publishers: int) -> int:
        """The messages lost before the message with this number; None: it has none.

        publishers: how many the topic has now. A number below all expected ones is of a publisher
        that was started again.
        """
        if number is None:
            return 0
        publishers = max(1, publishers)
        if number in self._expected:
            self._expect(number, number)
            del self._expected[:-publishers]
            return 0
        if len(self._expected) > publishers:  # one has left, and it is unknown which
            self._expected.clear()
        if len(self._expected) < publishers:
            self._expected.append(number + 1)
            return 0
        behind = [one for one in self._expected if one < number]
        if not behind:
            self._expect(max(self._expected), number)
            return 0
        nearest = max(behind)
        self._expect(nearest, number)
        return number - nearest

    def _expect(self, before: int, number: int) -> None:
        self._expected.remove(before)
        self._expected.append(number + 1)


def _profile(reliability: ReliabilityPolicy, latched: bool, large: bool) -> QoSProfile:
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=_DEPTHS[0] if large else _DEPTHS[1],
        reliability=reliability,
        durability=durability,
    )
