"""How a robot's sensor topics arrive over a few seconds: rate, losses, stamps, who publishes them.

Counts every message, where Inputs takes the newest alone, by the same reliability. The numbers that
publishers give their messages tell what was sent and did not arrive. Knows no joint and no pixel
beyond a picture's size.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import ObservationError
from gr00t_ros.ros import qos
from gr00t_ros.ros.convert import Frame
from gr00t_ros.ros.readings import READS, Read, kind

_KEPT = 400
# Deeper than the node's own: here every message counts. Pictures are large.
_DEPTH, _PICTURES_DEPTH = 400, 20
_GAP = 1000  # a number further ahead is of another publisher


@dataclass(slots=True)
class Topic:
    """What came on one topic: receive times (steady ns), stamps and receive times in ROS ns."""

    name: str
    declared_hz: float
    steady_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    stamps_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    ros_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    size_px: tuple[int, int] | None = None
    shared: bool = False  # several publishers may each send their own joints
    number: int | None = None  # its publisher's own count of the newest message
    counted: int = 0  # messages whose number goes on from the one before
    lost: int = 0  # numbers between these that never came

    def count(self, number: int | None) -> None:
        """Take the number of one message; None where the middleware tells none."""
        if number is not None and self.number is not None and 0 < number - self.number <= _GAP:
            self.counted += 1
            self.lost += number - self.number - 1
        self.number = number

    @property
    def lost_share(self) -> float:
        """Share of what was sent that did not arrive; 0 where nobody can tell."""
        return self.lost / (self.counted + self.lost) if self.lost else 0.0

    @property
    def sent_hz(self) -> float:
        """Messages a second that were published, as far as their numbers tell."""
        return self.rate_hz / (1.0 - self.lost_share)

    @property
    def rate_hz(self) -> float:
        """Messages a second of what is kept, 0 before the second one."""
        times = list(self.steady_ns)
        return (len(times) - 1) * 1e9 / (times[-1] - times[0]) if len(times) > 1 else 0.0

    @property
    def offset_s(self) -> float:
        """Median of receive time less stamp, by this host's ROS clock; 0 before the first."""
        pairs = zip(list(self.ros_ns), list(self.stamps_ns), strict=False)
        late_ns = [received - stamp for received, stamp in pairs]
        return statistics.median(late_ns) / 1e9 if late_ns else 0.0

    @property
    def backward(self) -> bool:
        """Whether a stamp was older than the one before it."""
        stamps = list(self.stamps_ns)
        return any(b < a for a, b in zip(stamps, stamps[1:], strict=False))

    def forget(self) -> None:
        """Begin anew."""
        for kept in (self.steady_ns, self.stamps_ns, self.ros_ns):
            kept.clear()
        self.number, self.counted, self.lost = None, 0, 0


class Traffic:
    """Subscribes to every sensor topic of an embodiment and counts."""

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        """Count from now on, on the node's executor; what comes from tf2 is not counted."""
        self.topics: dict[str, Topic] = {}
        self._listeners: dict[str, _Listener] = {}
        counted = [stream for stream in embodiment.streams if kind(stream) in READS]
        for stream, name in ((one, name) for one in counted for name in one.topics):
            known = self.topics.get(name)
            if known is not None:
                known.declared_hz = max(known.declared_hz, stream.rate_hz)
                continue
            topic = self.topics[name] = Topic(name, stream.rate_hz, shared=kind(stream) == "joints")
            message_type, read = READS[kind(stream)]
            self._listeners[name] = _Listener(node, topic, message_type, read)

    def follow(self) -> None:
        """Listen to each topic as reliably as the node would: as its publishers offer now."""
        for listener in self._listeners.values():
            listener.follow()

    def forget(self) -> None:
        """Begin anew."""
        for topic in self.topics.values():
            topic.forget()


class _Listener:
    """One topic's subscription; a picture's is reliable where all publishers offer it."""

    def __init__(self, node: Node, topic: Topic, message_type: type, read: Read) -> None:
        self._node, self._topic, self._type = node, topic, message_type
        self._take = _taker(node, topic, read)
        self._picture = message_type in (Image, CompressedImage)
        self._reliable = False
        self._subscription = self._subscribe()

    def follow(self) -> None:
        """Change over where the publishers have changed; what was counted is forgotten."""
        publishers = self._node.get_publishers_info_by_topic(self._subscription.topic_name)
        reliable = self._picture and bool(publishers) and qos.all_reliable(publishers)
        if reliable != self._reliable:
            self._node.destroy_subscription(self._subscription)
            self._reliable = reliable
            self._subscription = self._subscribe()
            self._topic.forget()

    def _subscribe(self) -> Subscription[Any]:
        policy = ReliabilityPolicy.RELIABLE if self._reliable else ReliabilityPolicy.BEST_EFFORT
        depth = _PICTURES_DEPTH if self._picture else _DEPTH
        profile = QoSProfile(depth=depth, reliability=policy)
        return self._node.create_subscription(
            self._type, self._topic.name, self._take, profile, raw=True
        )


def _taker(
    node: Node, topic: Topic, read: Read
) -> Callable[[bytes, Mapping[str, int | None]], None]:
    clock = node.get_clock()

    def take(raw: bytes, info: Mapping[str, int | None]) -> None:
        topic.steady_ns.append(time.monotonic_ns())
        topic.count(info["publication_sequence_number"])
        try:
            stamp_ns, value = read(raw)
        except ObservationError:
            return  # the stream's own check names what is wrong with it
        if isinstance(value, Frame):
            topic.size_px = value.size_px
        topic.stamps_ns.append(stamp_ns)
        topic.ros_ns.append(int(clock.now().nanoseconds))

    return take
