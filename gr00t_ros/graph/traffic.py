"""A running robot's topics over a few seconds: what is there, and how it arrives.

The survey finds cameras, joint states, controllers and the URDF. Traffic counts every message:
rate, losses (from the publishers' sequence numbers), stamps, publishers. Both only subscribe.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

from gr00t_ros.errors import Gr00tError, ObservationError, SettingsError
from gr00t_ros.graph.limits import joint_ranges, not_compared
from gr00t_ros.inputs.cdr import CompressedView
from gr00t_ros.inputs.compressed import size as compressed_size
from gr00t_ros.inputs.contact import MESSAGES
from gr00t_ros.inputs.controller_state import STATE_TYPES
from gr00t_ros.inputs.images import Frame
from gr00t_ros.inputs.readings import READS, Read, kind
from gr00t_ros.observe.joint_states import JointStates
from gr00t_ros.observe.readings import JointReading
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.known import Known, KnownCamera, KnownController
from gr00t_ros.ros import qos
from gr00t_ros.ros.join import join_as_client

_LOOK_S = 0.2  # period of looking at the graph: discovery takes a second or two
_STATE_SUFFIXES = ("/controller_state", "/state")  # Jazzy's controllers, Humble's
_KEPT = 400
# Deeper than the node's own queues, because every message is counted here. Pictures are large.
_DEPTH, _PICTURES_DEPTH = 400, 20
_GAP = 1000  # a sequence number further ahead belongs to another publisher


@dataclass(slots=True)
class SeenTopic:
    """What came on one topic: number of messages, time of the first and last (s), the newest.

    joints: of joint states the newest value of each joint, which may be in different messages.
    """

    kind: Any
    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    message: Any = field(default=None)
    joints: JointStates = field(default_factory=JointStates)

    def take(self, message: Any, now_ns: int) -> None:
        """Take one message, received at the steady time `now_ns`."""
        now_s = now_ns / 1e9
        self.first_s = self.first_s if self.count else now_s
        self.count, self.last_s, self.message = self.count + 1, now_s, message
        if self.kind is JointState:
            reading = JointReading(tuple(message.name), np.array(message.position))
            with contextlib.suppress(ObservationError):  # the node cannot use such a message either
                self.joints.take(now_ns, now_ns, reading)

    @property
    def positions(self) -> Mapping[str, float]:
        """The newest position of each joint."""
        newest = self.joints.sample(())
        if newest is None or not isinstance(newest.value, JointReading):
            return {}
        return dict(zip(newest.value.names, newest.value.position.tolist(), strict=True))

    @property
    def rate_hz(self) -> float:
        """Messages a second over that time; 0 before the second message."""
        span_s = self.last_s - self.first_s
        return (self.count - 1) / span_s if self.count > 1 and span_s > 0 else 0.0


class Survey:
    """Subscribes to every topic of a useful type as soon as it appears."""

    def __init__(self, node: Node) -> None:
        """Use `node`; nothing is subscribed before the first `look`."""
        self._node = node
        self.seen: dict[str, SeenTopic] = {}
        self._kinds = {type_name(k): k for k in (Image, CompressedImage, JointState, *STATE_TYPES)}
        self._several: dict[str, str] = {}  # topics that have several types -> what to do

    def look(self) -> None:
        """Subscribe to the topics that the graph has now and that are not subscribed yet."""
        for topic, types in self._node.get_topic_names_and_types():
            latched = topic == "/robot_description"  # by robot_state_publisher
            kinds = {type_name(String): String} if latched else self._kinds
            kind = next((kinds[name] for name in types if name in kinds), None)
            if kind is None:
                continue
            if len(types) > 1:
                self._several[topic] = (
                    f"{topic} has several types, {' and '.join(types)}: {type_name(kind)} is read; "
                    "give each a topic of its own"
                )
            self._subscribe(topic, kind, qos.STATUS if latched else qos_profile_sensor_data)

    def known(self) -> Known:
        """What has been received, topics in the order of their names."""
        received = {topic: seen for topic, seen in sorted(self.seen.items()) if seen.count}
        described = received.get("/robot_description")
        description = described.message.data if described else ""
        ranges, unreadable = {}, ""
        try:
            ranges = joint_ranges(description) if described else {}
        except SettingsError as error:
            unreadable = not_compared(str(error))
        return Known(
            cameras=tuple(filter(None, (_camera(topic, seen) for topic, seen in received.items()))),
            joint_topics={
                t: tuple(s.positions) for t, s in received.items() if s.kind is JointState
            },
            controllers=tuple(
                _controller(t, s) for t, s in received.items() if s.kind in STATE_TYPES
            ),
            ranges=ranges,
            description=description,
            unreadable=unreadable,
            positions={
                name: position for s in received.values() for name, position in s.positions.items()
            },
            remarks={"": tuple(self._several.values())} if self._several else {},
        )

    def _subscribe(self, topic: str, kind: Any, profile: Any) -> None:
        if topic in self.seen:
            return
        seen = self.seen[topic] = SeenTopic(kind)
        self._node.create_subscription(
            kind, topic, lambda message: seen.take(message, time.monotonic_ns()), profile
        )


def survey(seconds: float, ros_arguments: Sequence[str] | None = None) -> Known:
    """Return what the topics show within `seconds` of steady time; starts and ends rclpy."""
    join_as_client(ros_arguments or ())
    node = rclpy.create_node("gr00t_survey", enable_rosout=False, start_parameter_services=False)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        found = Survey(node)
        _spin(executor, found, time.monotonic() + seconds)
        return found.known()
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def _spin(executor: SingleThreadedExecutor, found: Survey, until_s: float) -> None:
    looked_s = 0.0
    while (now_s := time.monotonic()) < until_s:
        if now_s - looked_s >= _LOOK_S:
            found.look()
            looked_s = now_s
        executor.spin_once(timeout_sec=_LOOK_S)


def type_name(kind: Any) -> str:
    """The name of a message type as the ROS graph has it."""
    package, folder, name = kind.__module__.split(".")[0], "msg", kind.__name__
    return f"{package}/{folder}/{name}"


def _camera(topic: str, seen: SeenTopic) -> KnownCamera | None:
    if seen.kind is Image:
        return KnownCamera(topic, seen.message.height, seen.message.width, "raw", seen.rate_hz)
    if seen.kind is not CompressedImage:
        return None
    try:
        payload = np.frombuffer(seen.message.data, np.uint8)
        height_px, width_px = compressed_size(CompressedView(0, seen.message.format, payload))
    except Gr00tError:
        return None  # a depth picture, or a format that no policy takes
    return KnownCamera(topic, height_px, width_px, "compressed", seen.rate_hz)


def _controller(topic: str, seen: SeenTopic) -> KnownController:
    """The controller that publishes a state topic; its command topic is in the same namespace."""
    base = topic
    for suffix in _STATE_SUFFIXES:
        base = base.removesuffix(suffix)
    name = base.rsplit("/", 1)[-1].removesuffix("_controller")
    return KnownController(name, f"{base}/joint_trajectory", topic, tuple(seen.message.joint_names))


@dataclass(slots=True)
class TopicTraffic:
    """What came on one topic: receive times (steady ns), stamps and receive times in ROS ns."""

    name: str
    declared_hz: float
    steady_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    stamps_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    ros_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    joints: deque[tuple[str, ...]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    size_px: tuple[int, int] | None = None
    shared: bool = False  # several publishers may each send their own joints
    number: int | None = None  # the publisher's sequence number of the newest message
    counted: int = 0  # messages whose number continues that of the message before
    lost: int = 0  # numbers that are missing between these

    def count(self, number: int | None) -> None:
        """Take the sequence number of one message; None where the middleware has none."""
        if number is not None and self.number is not None and 0 < number - self.number <= _GAP:
            self.counted += 1
            self.lost += number - self.number - 1
        self.number = number

    @property
    def lost_share(self) -> float:
        """Share of the sent messages that did not arrive; 0 without sequence numbers."""
        return self.lost / (self.counted + self.lost) if self.lost else 0.0

    @property
    def sent_hz(self) -> float:
        """Published messages a second, as far as the sequence numbers show it."""
        return self.rate_hz / (1.0 - self.lost_share)

    @property
    def rate_hz(self) -> float:
        """Received messages a second, over those that are kept; 0 before the second one."""
        times = list(self.steady_ns)
        return (len(times) - 1) * 1e9 / (times[-1] - times[0]) if len(times) > 1 else 0.0

    @property
    def offset_s(self) -> float:
        """Median of receive time minus stamp, by this host's ROS clock; 0 before the first."""
        pairs = zip(list(self.ros_ns), list(self.stamps_ns), strict=False)
        late_ns = [received - stamp for received, stamp in pairs]
        return statistics.median(late_ns) / 1e9 if late_ns else 0.0

    @property
    def backward(self) -> bool:
        """Whether a stamp was older than the one before it, of the same joints on joint states.

        Messages of two publishers arrive in any order: those of an arm and of its gripper differ in
        their joints.
        """
        newest_ns: dict[tuple[str, ...], int] = {}
        for joints, stamp_ns in zip(list(self.joints), list(self.stamps_ns), strict=False):
            if stamp_ns < newest_ns.get(joints, stamp_ns):
                return True
            newest_ns[joints] = stamp_ns
        return False

    def forget(self) -> None:
        """Drop all counts and times."""
        self.steady_ns.clear()
        self.stamps_ns.clear()
        self.ros_ns.clear()
        self.joints.clear()
        self.number, self.counted, self.lost = None, 0, 0


class Traffic:
    """Subscribes to every sensor topic of an embodiment and counts its messages."""

    def __init__(self, node: Node, embodiment: Embodiment) -> None:
        """Count from now on, on the node's executor; transforms of tf2 are not counted."""
        self.topics: dict[str, TopicTraffic] = {}
        self.contacts = {one.topic: TopicTraffic(one.topic, 0.0) for one in embodiment.contacts}
        """The topics of the sources of contacts; their messages are only counted, not read."""
        self._kinds = {one.topic: MESSAGES[one.type] for one in embodiment.contacts}
        self._node = node
        self._listeners: dict[str, _Listener] = {}
        counted = [stream for stream in embodiment.streams if kind(stream) in READS]
        for stream, name in ((one, name) for one in counted for name in one.topics):
            known = self.topics.get(name)
            if known is not None:
                known.declared_hz = max(known.declared_hz, stream.rate_hz)
                continue
            topic = self.topics[name] = TopicTraffic(
                name, stream.rate_hz, shared=kind(stream) == "joints"
            )
            message_type, read = READS[kind(stream)]
            self._listeners[name] = _Listener(node, topic, message_type, read)

    def follow(self) -> None:
        """Match each subscription's reliability to its publishers, as the node would."""
        for listener in self._listeners.values():
            listener.follow()
        for name, kinds in tuple(self._kinds.items()):
            infos = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(name))
            sent = {info.topic_type for info in infos}
            usable = next((one for one in kinds if type_name(one) in sent), None)
            if usable is not None:
                del self._kinds[name]
                self._count(usable, self.contacts[name])

    def _count(self, message_type: type, topic: TopicTraffic) -> None:
        profile = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._node.create_subscription(
            message_type,
            topic.name,
            lambda _: topic.steady_ns.append(time.monotonic_ns()),
            profile,
            raw=True,
        )

    def forget(self) -> None:
        """Drop all counts and times."""
        for topic in (*self.topics.values(), *self.contacts.values()):
            topic.forget()


class _Listener:
    """One topic's subscription; for pictures it is reliable if all publishers offer that."""

    def __init__(self, node: Node, topic: TopicTraffic, message_type: type, read: Read) -> None:
        self._node, self._topic, self._type = node, topic, message_type
        self._take = _taker(node, topic, read)
        self._picture = message_type in (Image, CompressedImage)
        self._reliable = False
        self._subscription = self._subscribe()

    def follow(self) -> None:
        """Subscribe again, with new counts, if the publishers' reliability has changed."""
        publishers = self._node.get_publishers_info_by_topic(self._subscription.topic_name)
        reliable = self._picture and bool(publishers) and qos.all_reliable(publishers)
        if reliable != self._reliable:
            self._node.destroy_subscription(self._subscription)
            self._reliable = reliable
            self._subscription = self._subscribe()
            self._topic.forget()

    def _subscribe(self) -> Subscription:
        policy = ReliabilityPolicy.RELIABLE if self._reliable else ReliabilityPolicy.BEST_EFFORT
        depth = _PICTURES_DEPTH if self._picture else _DEPTH
        profile = QoSProfile(depth=depth, reliability=policy)
        return self._node.create_subscription(
            self._type, self._topic.name, self._take, profile, raw=True
        )


def _taker(node: Node, topic: TopicTraffic, read: Read) -> Callable[..., None]:
    """The callback of a raw message and its info, of which Jazzy's rclpy has no type."""
    clock = node.get_clock()

    def take(raw: bytes, info: Mapping[str, int | None]) -> None:
        topic.steady_ns.append(time.monotonic_ns())
        topic.count(info["publication_sequence_number"])
        try:
            stamp_ns, value = read(raw)
        except ObservationError:
            return  # the stream's own check reports what is wrong with the message
        if isinstance(value, Frame):
            topic.size_px = value.size_px
        topic.joints.append(tuple(value.names) if isinstance(value, JointReading) else ())
        topic.stamps_ns.append(stamp_ns)
        topic.ros_ns.append(int(clock.now().nanoseconds))

    return take
