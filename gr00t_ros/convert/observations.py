"""The streams of an embodiment, fed from a bag: at any time of it the node's own observation.

Buffers, readers and rules are those of the node (inputs/source, observe/observation). Every message
is taken at its bag time, which stands for ROS time and for the time of receipt.
"""

from __future__ import annotations

import heapq
import importlib
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from rclpy.time import Time
from rclpy.topic_endpoint_info import TopicEndpointInfo

from gr00t_ros.bags.bag import Bag, BagMessage
from gr00t_ros.bags.message_types import message_class, read_message, type_name
from gr00t_ros.errors import BagError, EmbodimentError, ObservationError
from gr00t_ros.inputs.images import Frame
from gr00t_ros.inputs.inputs import PULL_PERIOD_NS, RING_BYTES
from gr00t_ros.inputs.readings import (
    READS,
    TF_TYPES,
    PictureReader,
    Read,
    TransformSubscription,
    kind,
    read_transform,
)
from gr00t_ros.inputs.source import History, JointSource, Source
from gr00t_ros.observe.joint_states import JointPublishers
from gr00t_ros.observe.observation import Gap, Gaps, Observation, ObservationSettings, assemble
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import StateStream, Stream, VideoStream

TF: Final = ("/tf", "/tf_static")
_PLAIN, _STAMP = b"\x00\x01", struct.Struct("<iI")  # as in inputs/cdr: a header begins with it
LAG_NS: Final = 1_000_000_000
"""A recorder's clock may be this far behind a sensor's."""


@dataclass(frozen=True, slots=True)
class RecordedPicture:
    """A picture that the bag has: when it was taken (bag time), its stamp, and (height, width).

    frame: the picture as it was sent, None if it is not kept in memory.
    """

    time_ns: int
    stamp_ns: int
    size_px: tuple[int, int]
    frame: Frame | None = None


class _BagSubscription:
    """A SourceSubscription with the one message that was put into it."""

    depth = 1
    number: int | None = None
    sent_ns = received_ns = 0  # nothing is measured here

    def __init__(self, topic: str, type_names: Collection[str]) -> None:
        self.topic, self.type_names = topic, type_names
        self._message: bytes | None = None

    def put(self, message: bytes) -> None:
        self._message = message

    def take(self) -> bytes | None:
        message, self._message = self._message, None
        return message

    def follow(self, publishers: Sequence[TopicEndpointInfo]) -> None:
        """Do nothing: a bag has no publishers."""

    def destroy(self) -> None:
        """Do nothing."""


class _BagTransforms:
    """tf2's buffer, filled from the bag's transforms."""

    def __init__(self, where: str) -> None:
        """Raises EmbodimentError if tf2_ros cannot be imported."""
        try:
            tf2: Any = importlib.import_module("tf2_ros")
        except ImportError as error:
            raise EmbodimentError(
                f"{where} needs the ROS package tf2_ros, which cannot be imported here "
                f"({error}): install ros-<distro>-tf2-ros"
            ) from None
        self._tf2, self._buffer, self._now_ns = tf2, tf2.Buffer(), 0
        self._class = message_class(TF_TYPES[0])

    def put(self, topic: str, time_ns: int, data: bytes) -> None:
        self._now_ns = time_ns
        static = topic == TF[1]
        take = self._buffer.set_transform_static if static else self._buffer.set_transform
        message = read_message(BagMessage(topic, time_ns, data), self._class)
        for transform in message.transforms:
            take(transform, "bag")

    def newest(self, frame: str, link: str) -> Any:
        """The newest transform; a chain of static ones is valid now."""
        try:
            found = self._buffer.lookup_transform(frame, link, Time())
        except self._tf2.TransformException as error:
            raise ObservationError(f"tf2 has no transform {frame} -> {link}: {error}") from None
        stamp = found.header.stamp
        if stamp.sec == stamp.nanosec == 0:
            stamp.sec, stamp.nanosec = divmod(self._now_ns, 1_000_000_000)
        return found

    def destroy(self) -> None:
        """Do nothing: the buffer ends with its owner."""


def in_time(
    messages: Iterable[BagMessage], stamped: Collection[str], future_ns: int
) -> Iterator[BagMessage]:
    """The messages in the order in which they are taken, with that time as their time.

    A recorder's clock may lag behind that of a sensor, so that a measurement seems to come from the
    future. Such a message is taken when bag time has reached its stamp, as near as the node allows.
    A stamp that is far ahead is of another clock: then the message is taken at once, and refused by
    the rules of the observation. `stamped`: the topics whose messages begin with a header.
    """
    later: list[tuple[int, int, BagMessage]] = []
    for number, message in enumerate(messages):
        while later and later[0][0] <= message.time_ns:
            yield heapq.heappop(later)[2]
        ahead_ns = 0
        if message.topic in stamped and message.data[:2] == _PLAIN and len(message.data) >= 12:
            seconds, nanoseconds = _STAMP.unpack_from(message.data, 4)
            ahead_ns = seconds * 1_000_000_000 + nanoseconds - future_ns - message.time_ns
        if 0 < ahead_ns <= LAG_NS:
            taken_ns = message.time_ns + ahead_ns
            one = BagMessage(message.topic, taken_ns, message.data)
            heapq.heappush(later, (taken_ns, number, one))
        else:
            yield message
    while later:
        yield heapq.heappop(later)[2]


class BagInputs:
    """All streams of one embodiment, at the present message of a bag; histories are not kept."""

    def __init__(self, bag: Bag, embodiment: Embodiment, settings: ObservationSettings) -> None:
        """Raises BagError for topics that the bag does not have, or has as another type."""
        self.embodiment = without_history(embodiment)
        self._settings = settings
        self._now_ns = 0
        self._sources: dict[str, Source] = {}
        self._waiting: dict[str, _BagSubscription] = {}
        self._transforms: _BagTransforms | None = None
        by_topic: dict[str, list[Stream]] = {}
        for stream in self.embodiment.streams:
            for topic in stream.topics:
                by_topic.setdefault(topic, []).append(stream)
        _refuse_missing(bag, self.embodiment)
        for topic, streams in by_topic.items():
            self._sources[topic] = self._source(topic, streams)
        self.stamped = frozenset(self._waiting)
        """The topics whose messages begin with a header."""
        self.topics = self.stamped | (
            frozenset(TF) if self._transforms is not None else frozenset()
        )

    def put(self, topic: str, time_ns: int, data: bytes) -> None:
        """Take a message of one of `topics`, in the order of bag time."""
        self._now_ns = time_ns
        if topic in TF and self._transforms is not None:
            self._transforms.put(topic, time_ns, data)
            self._pull_transforms(time_ns)
            return
        self._waiting[topic].put(data)
        self._sources[topic].pull(time_ns)

    def observe(self, now_ns: int) -> Observation | Gaps:
        """What the node would have sent at that bag time; the pictures are RecordedPicture."""
        self._pull_transforms(now_ns)
        buffers = {
            (stream.key, topic): self._sources[topic].buffer_of(stream)
            for stream in self.embodiment.streams
            for topic in stream.topics
        }
        return assemble(self.embodiment, buffers, now_ns, now_ns, self._settings)

    def problem(self, gap: Gap) -> str:
        """Why the newest message of a gap's topic was not used for its stream; empty if it was."""
        stream = next(one for one in self.embodiment.streams if one.key == gap.stream)
        return self._sources[gap.topic].problem_of(stream)

    def _pull_transforms(self, now_ns: int) -> None:
        for topic, source in self._sources.items():
            if topic not in self._waiting:
                source.pull(now_ns)

    def _source(self, topic: str, streams: Sequence[Stream]) -> Source:
        first = streams[0]
        if isinstance(first, StateStream) and first.source == "tf":
            if self._transforms is None:
                self._transforms = _BagTransforms(f"{self.embodiment.source}: state.{first.key}")
            transform = TransformSubscription(
                self._transforms,  # type: ignore[arg-type]  # it has what a subscription needs
                topic,
                first.frame or "",
                first.link,
            )
            return Source(transform, read_transform, self._history(streams), PULL_PERIOD_NS)
        message_type, read = READS[kind(first)]
        waiting = self._waiting[topic] = _BagSubscription(topic, (type_name(message_type),))
        history = self._history(streams)
        cameras = [one for one in streams if isinstance(one, VideoStream)]
        if cameras:
            return Source(waiting, self._pictures(cameras), history, PULL_PERIOD_NS)
        if kind(first) == "joints":
            names = self.embodiment.joint_names
            publishers = JointPublishers(max(self._settings.max_age_ns(one) for one in streams))
            return JointSource(waiting, streams, names, history, PULL_PERIOD_NS, publishers)
        return Source(waiting, read, history, PULL_PERIOD_NS)

    def _pictures(self, cameras: Sequence[VideoStream]) -> Read:
        """Reads a picture's header as the node does, and notes where the picture is."""
        pictures = PictureReader(cameras)

        def read(raw: Any) -> tuple[int, RecordedPicture]:
            stamp_ns, frame = pictures(raw)
            return stamp_ns, RecordedPicture(self._now_ns, stamp_ns, frame.size_px, frame)

        return read

    def _history(self, streams: Sequence[Stream]) -> History:
        step_ns = self.embodiment.step_ns
        spans = [2 * one.period_ns + self._settings.max_age_ns(one) for one in streams]
        return History(step_ns + max(spans), RING_BYTES)


class KeptPictures:
    """Which pictures of the rows stay in memory: all of them, until they are too many."""

    def __init__(self, most_bytes: int) -> None:
        """Keep pictures of at most `most_bytes` as they were sent; beyond that none."""
        self._left = most_bytes
        self._observed: list[Observation] = []
        self._newest: dict[str, Frame | None] = {}

    def take(self, observation: Observation) -> None:
        """Take the observation of the next row; its pictures may go, now or later."""
        for key, (sample,) in observation.video.items():
            frame = sample.value.frame if isinstance(sample.value, RecordedPicture) else None
            if frame is not None and frame is not self._newest.get(key):
                self._left -= frame.data.nbytes
            self._newest[key] = frame
        self._observed.append(observation)
        if self._left < 0:
            for one in self._observed:
                _drop_frames(one)
            self._observed.clear()


def _drop_frames(observation: Observation) -> None:
    for key, (sample,) in observation.video.items():
        assert isinstance(sample.value, RecordedPicture)
        value = replace(sample.value, frame=None)
        observation.video[key] = (replace(sample, value=value),)


def without_history(embodiment: Embodiment) -> Embodiment:
    """The embodiment with delta index 0 alone in every stream: a row is one instant."""
    return replace(
        embodiment,
        video=tuple(replace(one, delta_indices=(0,)) for one in embodiment.video),
        state=tuple(replace(one, delta_indices=(0,)) for one in embodiment.state),
    )


def _refuse_missing(bag: Bag, embodiment: Embodiment) -> None:
    has = {topic.name: topic for topic in bag.topics}
    wrong = []
    for stream in embodiment.streams:
        for name in stream.topics:
            of_tf = kind(stream) == "tf"
            topic = has.get(TF[0] if of_tf else name) or (has.get(TF[1]) if of_tf else None)
            expected = TF_TYPES[0] if of_tf else type_name(READS[kind(stream)][0])
            if topic is None or not topic.count:
                wrong.append(f"{name} of {stream.key} is missing")
            elif topic.problem:
                wrong.append(f"{name} of {stream.key}: {topic.problem}")
            elif topic.type_name != expected:
                wrong.append(f"{name} of {stream.key} is {topic.type_name}, expected {expected}")
    if wrong:
        names = ", ".join(topic.name for topic in bag.topics)
        raise BagError(f"{'; '.join(wrong)}; the bag has {names:.600}")
