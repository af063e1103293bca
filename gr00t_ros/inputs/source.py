"""One topic that is pulled: its subscription, its buffer and what is wrong with it.

Not thread-safe: Inputs holds the lock. Stamps are ROS time, `now_ns` is steady time. A message that
cannot be used is not stored; its error becomes `problem`, which the next good message clears. On a
topic of joint states a message concerns the streams whose joints it names, and no other stream.
Messages of a second publisher are not used; `mixed` names the joints concerned.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rclpy.topic_endpoint_info import TopicEndpointInfo

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs.camera_watch import CameraWatch
from gr00t_ros.inputs.readings import Joints, Read
from gr00t_ros.observe.buffer import Sample, StampedBuffer
from gr00t_ros.observe.joint_states import (
    REBASE_NS,
    SAME_STAMP,
    WHOLE,
    JointPublishers,
    JointStates,
    went_back,
)
from gr00t_ros.observe.moment import CameraTiming, PicturePeriod
from gr00t_ros.observe.readings import JointReading
from gr00t_ros.observe.transit import LeastWay, Transit
from gr00t_ros.robot.actions import Output
from gr00t_ros.robot.streams import StateStream, Stream

NO_STAMP = (
    "header stamp is zero: the publisher must stamp its messages with the time of measurement, "
    "the time of arrival is no substitute"
)
StampedValue = tuple[int, Any]
"""A message's stamp in ns, and what was read from it."""


class SourceSubscription(Protocol):
    """The interface of PulledSubscription (a topic) and TransformSubscription (tf2)."""

    topic: str
    depth: int  # largest number of waiting messages
    number: int | None  # sequence number that the publisher gave the last taken message
    sent_ns: int  # when it was published, by its publisher's clock; 0: not known
    received_ns: int  # when the middleware received it, by this machine's clock; 0: not known

    @property
    def type_names(self) -> Collection[str]:
        """The types that can be read, as named in the ROS graph."""

    def take(self) -> Any | None:
        """The next message that waits, None if none; raises ObservationError for a bad one."""

    def follow(self, publishers: Sequence[TopicEndpointInfo]) -> None:
        """Adapt the subscription to the publishers' type and reliability."""

    def destroy(self) -> None:
        """Unsubscribe."""


@dataclass(frozen=True, slots=True)
class History:
    """How much of a stream is kept: samples of the last `span_ns`, at most `max_bytes` in all."""

    span_ns: int
    max_bytes: int

    @property
    def max_samples(self) -> int:
        """Upper limit for any stream: one pull every 10 ms, and some more by queries."""
        return self.span_ns // 10_000_000 + 32


class Source:
    """The newest samples of one topic; several streams may read them."""

    def __init__(
        self,
        subscription: SourceSubscription,
        read: Read,
        history: History,
        period_ns: int,
        camera: CameraWatch | None = None,
        publishers: JointPublishers | None = None,
        picture_period: PicturePeriod | None = None,
        simulated_now_ns: Callable[[], int] | None = None,
    ) -> None:
        """Read the messages of `subscription` with `read`; a pull is due every `period_ns`.

        The caller of `pull` passes every frame to `camera`, outside the lock. `publishers`: None if
        any number of publishers is allowed. `picture_period` measures how often a camera sends.
        simulated_now_ns: the node's clock in simulated time, with which LeastWay compares stamps;
        None: with the arrival by the system's clock.
        """
        self._simulated_now_ns = simulated_now_ns
        self.subscription, self.camera, self.joint_publishers = subscription, camera, publishers
        self._picture_period = picture_period
        self.received = 0
        self.refused = 0
        self.problem = ""
        self._read, self._history, self._period_ns = read, history, period_ns
        self._due_ns: int | None = None
        self._sample_bytes, self._transit, self._least_way = 0, Transit(), LeastWay()
        self._capacity = history.max_samples
        self._shortage = ""  # too little memory for the history; no later message clears it
        self.buffer = StampedBuffer(history.span_ns, self._capacity)

    def buffer_of(self, stream: Stream | Output) -> StampedBuffer:
        """The samples for this stream of the topic."""
        return self.buffer

    def problem_of(self, stream: Stream | Output) -> str:
        """Why the newest message for this stream cannot be used; empty if it can."""
        return self.problem

    def mixed(self, now_ns: int) -> tuple[str, ...]:
        """The joints that two publishers send at the same time; ("",) means the whole topic."""
        return self.joint_publishers.mixed(now_ns) if self.joint_publishers is not None else ()

    def graph(self, publishers: Sequence[TopicEndpointInfo]) -> None:
        """Take the present publishers of the topic."""
        self.subscription.follow(publishers)
        if self.joint_publishers is not None:
            self.joint_publishers.graph(len(publishers))

    def due(self, now_ns: int) -> bool:
        """Whether a pull is due; if so, the next one is due one period later on the same grid.

        A quarter of a period early counts as due, because the caller's timing jitters.
        """
        if self._due_ns is None:
            self._due_ns = now_ns
        late_ns = now_ns + self._period_ns // 4 - self._due_ns
        if late_ns < 0:
            return False
        self._due_ns += (late_ns // self._period_ns + 1) * self._period_ns
        return True

    def postpone(self, now_ns: int) -> None:
        """Note an extra pull: the next one is due a whole period after it.

        It does not count as due a quarter of a period early. Otherwise, with observations at a
        multiple of the period, a useless pull would come just before each observation.
        """
        self._due_ns = now_ns + self._period_ns + self._period_ns // 4

    def pull(self, now_ns: int) -> StampedValue | None:
        """Take all waiting messages and store the newest one.

        Returns its stamp and content if both can be read, even if it was not stored.
        """
        newest, topic, arrived_ns = None, self.subscription, 0
        try:
            for _ in range(topic.depth):
                message = topic.take()
                if message is None:
                    break
                self.received += 1
                if not self._foreign(WHOLE, now_ns):
                    newest, arrived_ns = message, topic.received_ns
                    self._transit.take(topic.number, topic.sent_ns, arrived_ns)
            else:
                self._transit.overflow()
            return None if newest is None else self._push(newest, now_ns, arrived_ns)
        except ObservationError as error:
            self._refuse(str(error))
        return None

    def clear(self) -> None:
        """Drop all samples, for example after a clock jump."""
        self.buffer.clear()
        self._least_way.clear()

    def seen(self, system_ns: int) -> CameraTiming | None:
        """When the newest picture arrived and how often pictures come; None before the first.

        system_ns: the system clock minus steady time, as the middleware uses the system clock.
        """
        newest = self.buffer.latest()
        if newest is None or self._picture_period is None:
            return None
        arrived_ns = newest.arrived_ns - system_ns
        period_ns = self._picture_period.period_ns
        if not newest.received_ns - period_ns < arrived_ns < newest.received_ns:
            arrived_ns = newest.received_ns  # not known, or the system clock was set since
        return CameraTiming(arrived_ns, period_ns)

    def _push(self, message: Any, now_ns: int, arrived_ns: int) -> StampedValue | None:
        stamp_ns, value = self._read(message)
        if stamp_ns <= 0:
            self._refuse(NO_STAMP)
            return None
        if isinstance(message, bytes):
            self._fit(len(message))
        if self._picture_period is not None:
            self._picture_period.see(self.subscription.number, stamp_ns)
        way_ns = arrived_ns - stamp_ns
        transit_ns = self._transit_ns(now_ns, arrived_ns, way_ns)
        least_way_ns: int | None = 0
        if self._simulated_now_ns is not None:
            # /clock may arrive late here, and the publisher of the stamp is ahead by that
            least_way_ns = self._least_way.add(self._simulated_now_ns() - stamp_ns, now_ns)
        elif arrived_ns:
            least_way_ns = self._least_way.add(way_ns, now_ns)
        sample = Sample(stamp_ns, now_ns, value, arrived_ns, transit_ns, least_way_ns)
        if self.buffer.push(sample) or self._rebase(sample):
            self.problem = self._shortage
        return stamp_ns, value

    def _transit_ns(self, now_ns: int, arrived_ns: int, since_ns: int) -> int | None:
        """Sample.transit_ns of a message that arrived `since_ns` after its stamp."""
        longest_ns = self._transit.longest_ns(now_ns, since_ns)
        if not arrived_ns:
            return None
        return since_ns if since_ns < 0 else longest_ns  # below 0 the publisher's clock is ahead

    def _rebase(self, sample: Sample) -> bool:
        """Handle a stamp that is not newer: refuse it, or start a new time base (returns True)."""
        newest = self.buffer.latest()
        if newest is None or sample.stamp_ns == newest.stamp_ns:
            self._refuse(SAME_STAMP)
            return False
        if sample.received_ns - newest.received_ns <= REBASE_NS:
            self._refuse(went_back(newest.stamp_ns - sample.stamp_ns))
            return False
        self.buffer.clear()
        return self.buffer.push(sample)

    def _fit(self, size: int) -> None:
        """Limit the number of samples so that messages of `size` bytes stay below `max_bytes`."""
        if size <= self._sample_bytes:
            return
        self._sample_bytes = size
        capacity = max(1, min(self._history.max_bytes // size, self._history.max_samples))
        if capacity < self._capacity:
            self._capacity = capacity
            self.buffer.limit(capacity)
        needed = self._history.span_ns // self._period_ns + 1
        if capacity < needed:
            self._shortage = (
                f"messages of {size} bytes: {capacity} of the {needed} of its history fit into "
                f"{self._history.max_bytes} bytes; let the driver send smaller pictures"
            )

    def _foreign(self, keys: Collection[str], now_ns: int) -> bool:
        """Whether a message with these joints comes from another publisher than before."""
        if self.joint_publishers is None:
            return False
        own = self.joint_publishers.see(frozenset(keys), self.subscription.number, now_ns)
        self.refused += not own
        return not own

    def _refuse(self, why: str) -> None:
        self.refused += 1
        self.problem = why


class JointSource(Source):
    """A topic of joint states: all waiting messages are taken and merged by joint name.

    Each stream has its own buffer, whose stamps are those of the stream's joints.
    """

    def __init__(
        self,
        subscription: SourceSubscription,
        streams: Iterable[Stream],
        commanded: Iterable[str],
        history: History,
        period_ns: int,
        publishers: JointPublishers,
    ) -> None:
        """Keep samples for each of `streams`.

        `mixed` and `problem` report only their joints and `commanded`. Messages about other joints
        are merged too, for those who ask for them, or counted if they cannot be used.
        """
        super().__init__(subscription, Joints(), history, period_ns, publishers=publishers)
        self.joints = JointStates()
        self._views = {
            stream.names: StampedBuffer(history.span_ns, history.max_samples)
            for stream in streams
            if isinstance(stream, StateStream)
        }
        self.declared = frozenset(name for names in self._views for name in names)
        """The joints for which a stream of the file names this topic."""
        self._matter = self.declared | set(commanded)
        self._problems: dict[str, str] = {}  # of the joints that matter, by name
        self._unreadable = ""  # why the newest message cannot be read; its joints are unknown
        self._received_ns: int | None = None  # when the newest message came, usable or not

    def buffer_of(self, stream: Stream | Output) -> StampedBuffer:
        """The samples of this stream, with the stamps of its own joints."""
        assert isinstance(stream, StateStream)
        return self._views[stream.names]

    def problem_of(self, stream: Stream | Output) -> str:
        """Why the newest message about one of its joints cannot be used; empty if each can."""
        assert isinstance(stream, StateStream)
        known = (self._problems[name] for name in stream.names if name in self._problems)
        return self._unreadable or next(known, "")

    def behind(self, names: Sequence[str], allowed_ns: int) -> tuple[str, ...]:
        """Those of `names` whose last message came more than `allowed_ns` before the newest one.

        Those that never came if others did, whether or not the messages of these can be used.
        """
        if self._received_ns is None:
            return ()
        return self.joints.older(names, self._received_ns - allowed_ns)

    def mixed(self, now_ns: int) -> tuple[str, ...]:
        """The joints of our streams and outputs that two publishers send at the same time."""
        return tuple(name for name in super().mixed(now_ns) if name in self._matter)

    def pull(self, now_ns: int) -> None:
        """Take all waiting messages; the newest value of each joint goes into the buffers."""
        for _ in range(self.subscription.depth):
            try:
                message = self.subscription.take()
                if message is None:
                    break
                self.received += 1
                stamp_ns, reading = self._read(message)
            except ObservationError as error:  # of which joints it is cannot be known
                self.refused += 1
                self._unreadable = str(error)
                self.problem = self._unreadable
                continue
            self._unreadable = ""
            assert isinstance(reading, JointReading)
            self._merge(stamp_ns, reading, now_ns)
        for names, buffer in self._views.items():
            sample = self.joints.sample(names)
            if sample is not None:
                _advance(buffer, sample)

    def clear(self) -> None:
        """Drop all joints and samples."""
        self.joints.clear()
        self._received_ns = None
        for buffer in self._views.values():
            buffer.clear()

    def _merge(self, stamp_ns: int, reading: JointReading, now_ns: int) -> None:
        self._received_ns = now_ns
        if self._foreign(reading.names, now_ns):
            return
        about = self._matter.intersection(reading.names)
        try:
            if stamp_ns <= 0:
                raise ObservationError(NO_STAMP)
            self.joints.take(stamp_ns, now_ns, reading)
        except ObservationError as error:
            self._note(about, str(error))
        else:
            self._note(about, "")

    def _note(self, about: Collection[str], why: str) -> None:
        """Note of the joints that a message is about why it cannot be used; empty if it can."""
        self.refused += bool(why)
        for name in about:
            if why:
                self._problems[name] = why
            else:
                self._problems.pop(name, None)
        self.problem = self._unreadable or next(iter(self._problems.values()), "")


def _advance(buffer: StampedBuffer, sample: Sample) -> None:
    """Push a sample if it is newer, or if it is the first one of a new time base."""
    newest = buffer.latest()
    behind = newest is not None and sample.stamp_ns < newest.stamp_ns
    if behind and newest and sample.received_ns - newest.received_ns > REBASE_NS:
        buffer.clear()
    buffer.push(sample)
