"""How a robot's sensor topics arrive over a few seconds: rate, stamps, who publishes them.

Counts every message, where Inputs takes the newest alone. Knows no joint and no pixel beyond a
picture's size.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import ObservationError
from gr00t_ros.ros import cdr, compressed
from gr00t_ros.ros.readings import READS, Read, kind

# Deeper than the node's own: here every message counts.
_ALL = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
_KEPT = 400


@dataclass(slots=True)
class Topic:
    """What came on one topic: receive times (steady ns), stamps and receive times in ROS ns."""

    name: str
    declared_hz: float
    steady_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    stamps_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    ros_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    size_px: tuple[int, int] | None = None

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


class Traffic:
    """Subscribes to every sensor topic of an embodiment and counts."""

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        """Count from now on, on the node's executor; what comes from tf2 is not counted."""
        self.topics: dict[str, Topic] = {}
        counted = [stream for stream in embodiment.streams if kind(stream) in READS]
        for stream, name in ((one, name) for one in counted for name in one.topics):
            known = self.topics.get(name)
            if known is not None:
                known.declared_hz = max(known.declared_hz, stream.rate_hz)
                continue
            topic = self.topics[name] = Topic(name, stream.rate_hz)
            message_type, read = READS[kind(stream)]
            taker = _taker(node, topic, message_type, read)
            node.create_subscription(message_type, name, taker, _ALL, raw=True)

    def forget(self) -> None:
        """Begin anew."""
        for topic in self.topics.values():
            topic.forget()


def _taker(node: Node, topic: Topic, message_type: type, read: Read) -> Callable[[bytes], None]:
    clock = node.get_clock()

    def take(raw: bytes) -> None:
        topic.steady_ns.append(time.monotonic_ns())
        try:
            stamp_ns, _ = read(raw)
            topic.size_px = _size_px(message_type, raw) or topic.size_px
        except ObservationError:
            return  # the stream's own check names what is wrong with it
        topic.stamps_ns.append(stamp_ns)
        topic.ros_ns.append(int(clock.now().nanoseconds))

    return take


def _size_px(message_type: type, raw: bytes) -> tuple[int, int] | None:
    """A picture's height and width, None of what is none; ObservationError as convert's."""
    if message_type is CompressedImage:
        return compressed.size(cdr.compressed_image(raw))
    if message_type is not Image:
        return None
    view = cdr.image(raw)
    return view.height_px, view.width_px
