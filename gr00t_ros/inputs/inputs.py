"""The embodiment's topics -> observations, or what is missing; owns the buffers and their lock.

There are no callbacks: the pull thread takes the messages that are due, and the worker thread pulls
the rest when it assembles an observation. Any thread may call any method. The lock is held for one
message at a time, and no image is decoded under it. A frame's header is parsed once, on arrival;
its pixels stay encoded until they are needed. The ring of frames of a camera is limited to
RING_BYTES.
Header stamps are compared with the node's clock (a replayed bag needs use_sim_time). Receive ages
are always measured in steady time, so that a stopped or jumping clock cannot hide a silent topic.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from rclpy.node import Node

from gr00t_ros.errors import EmbodimentError, ObservationError
from gr00t_ros.inputs.camera_watch import CameraWatch
from gr00t_ros.inputs.controller_state import STATE_TYPES, ControllerStateReader
from gr00t_ros.inputs.readings import (
    READS,
    PictureReader,
    Transforms,
    TransformSubscription,
    kind,
    read_transform,
)
from gr00t_ros.inputs.source import History, JointSource, Source, StampedValue
from gr00t_ros.inputs.stream_report import Graph, StreamReport, report
from gr00t_ros.motion.clocks import Awake
from gr00t_ros.observe.buffer import CONTROLLER_MAX_AGE_NS, Sample
from gr00t_ros.observe.joint_states import JointPublishers
from gr00t_ros.observe.moment import (
    CameraTiming,
    PicturePeriod,
    QueryTimes,
    leave_by_ns,
    wait_until_ns,
)
from gr00t_ros.observe.observation import (
    Gap,
    Gaps,
    Observation,
    ObservationSettings,
    assemble,
    content,
)
from gr00t_ros.observe.readings import JointReading, PoseReading, pose_of, select
from gr00t_ros.robot.actions import Output
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import StateStream, Stream, VideoStream
from gr00t_ros.ros import qos
from gr00t_ros.ros.clock import USE_SIM_TIME
from gr00t_ros.ros.pulled import Arrivals, PulledSubscription

RING_BYTES = 256 * 2**20
"""Memory limit of one camera's history: 290 frames of 640x480, 43 of 1920x1080 (rgb8)."""

VIDEO_PULL_HZ = 15.0
"""Lowest rate at which frames are pulled; with slower pulls a frozen camera is detected late."""

PULL_PERIOD_NS = 20_000_000
"""Period of the thread that calls `pull`, and of all topics that are not images. It is a separate
thread because an executor timer costs more than reading the messages: at 50 Hz a timer takes 1.6 %
of a core, a sleep 0.3 %."""

Homes = Sequence[JointSource]
"""The topics that count for a joint, or for several."""

_PAUSE_S = 0.001
_SLEPT_PULLS = 3  # a gap of more than this many periods between two pulls means the process slept


class Inputs:
    """All streams of one embodiment on one node."""

    def __init__(
        self,
        node: Node,
        embodiment: Embodiment,
        settings: ObservationSettings,
        ring_bytes: int = RING_BYTES,
        images: Node | None = None,
    ) -> None:
        """Subscribe to all topics of `embodiment`; call `pull` every PULL_PERIOD_NS from then on.

        images: the node that subscribes to images, with names that `node` has resolved; by default
        `node` itself.

        Raises EmbodimentError if two streams read one topic as different types, or if a stream
        comes from tf and tf2_ros cannot be imported. The attribute `settings` may be replaced while
        running; the length of the history stays as given here.
        """
        self.settings = settings
        self.awake = Awake(_SLEPT_PULLS * PULL_PERIOD_NS)
        """The time in which `pull` ran: only then messages are received."""
        self._embodiment = embodiment
        self.awaits_pictures = False
        """Whether `wait` takes the pictures; `pull` leaves them to it, so that it misses none."""
        self._lock = threading.Lock()
        self._clock = node.get_clock()
        self._graph = Graph(node)
        self._images = images or node
        self._sources: dict[str, Source] = {}
        self._known_homes: dict[tuple[str, ...], tuple[Sequence[Homes], Homes]] = {}
        self._transforms: Transforms | None = None
        self._pictures: list[PulledSubscription] = []
        for topic, streams in _by_topic(embodiment).items():
            history = History(_span_ns(streams, embodiment.step_ns, settings), ring_bytes)
            try:
                self._sources[topic] = self._source(node, topic, streams, history)
            except EmbodimentError:
                self._unsubscribe(self._sources.values())
                raise
        self._controllers = {
            output.name: _controller(node, output) for output in embodiment.outputs
        }
        self._arrivals = Arrivals(self._images.context, self._pictures)

    def pull(self) -> None:
        """Take the messages that are due from every topic; called by the pull thread.

        Once a second it also asks the graph, outside the lock, for the publishers of each topic.
        """
        self.awake.ran(time.monotonic_ns())
        for source in self._all():
            with self._lock:
                # Not before the lock: another thread may have pulled this source meanwhile.
                now_ns = time.monotonic_ns()
                awaited = self.awaits_pictures and source.camera is not None
                taken = None if awaited or not source.due(now_ns) else source.pull(now_ns)
                mixed = bool(source.mixed(now_ns))
            _show(source, taken)
            publishers = self._graph.look(source.subscription, now_ns, mixed)
            if publishers is not None:
                with self._lock:
                    source.graph(publishers)

    def pull_robot(self) -> None:
        """Take all waiting messages of joint states and controllers now.

        A thread calls this before it treats them as silent: the pull thread may be delayed.
        """
        for source in self._all():
            if source.camera is None:
                with self._lock:
                    source.pull(time.monotonic_ns())

    def wait(self, times: QueryTimes) -> None:
        """Wait for the picture with which a query leaves; called by the worker thread.

        See observe/moment.py. Returns at once where a camera has sent nothing yet: the observation
        then says so. While it waits it takes all pictures, so that none is missed.
        """
        cameras = [source for source in self._sources.values() if source.camera is not None]
        self.awaits_pictures = True
        try:
            self._wait(cameras, times)
        finally:
            self.awaits_pictures = False

    def _wait(self, cameras: Sequence[Source], times: QueryTimes) -> None:
        armed_ns = until_ns = time.monotonic_ns()
        by_ns, count = None, -1
        while not self._arrivals.ended:
            seen = self._seen(cameras)
            before, count = count, sum(source.received for source in cameras)
            if seen is None:
                return
            if by_ns is None:
                by_ns = leave_by_ns(seen, armed_ns, times)
            now_ns = time.monotonic_ns()
            if now_ns < until_ns and count == before:
                time.sleep(_PAUSE_S)  # woken without a picture: this must not become a busy loop
            until_ns = wait_until_ns(seen, now_ns, times.earliest_ns, by_ns)
            if until_ns <= now_ns:
                return
            self._arrivals.wait(until_ns)

    def _seen(self, cameras: Sequence[Source]) -> list[CameraTiming] | None:
        """Take the pictures that wait; what is known of each camera, None if one never sent."""
        self._take(cameras)
        system_ns = time.time_ns() - time.monotonic_ns()
        with self._lock:
            seen = [camera for one in cameras if (camera := one.seen(system_ns)) is not None]
        return seen if len(seen) == len(cameras) else None

    def observe(self) -> Observation | Gaps:
        """Take the newest messages of every topic and assemble; called by the worker thread."""
        self.pull_streams()
        return self.assembled()

    def pull_streams(self) -> None:
        """Take the newest messages of every topic that the observation is made of."""
        self._take(self._sources.values())

    def _take(self, sources: Iterable[Source]) -> None:
        for source in sources:
            with self._lock:
                now_ns = time.monotonic_ns()
                taken = source.pull(now_ns)
                source.postpone(now_ns)
            _show(source, taken)

    def assembled(self) -> Observation | Gaps:
        """The newest observation in what was pulled.

        The frames are not decoded yet: images.decode_video writes them into the request.
        """
        with self._lock:
            buffers = {
                (stream.key, topic): self._sources[topic].buffer_of(stream)
                for stream in self._embodiment.streams
                for topic in stream.topics
            }
            now_ros_ns, now_ns = int(self._clock.now().nanoseconds), time.monotonic_ns()
            mixed = tuple(self._mixed(now_ns))
            if mixed:
                return mixed
            return assemble(self._embodiment, buffers, now_ros_ns, now_ns, self.settings)

    def streams(self, now_ros_ns: int | None = None) -> tuple[StreamReport, ...]:
        """Age, count and problem of every stream: video, state, controllers, in the file's order.

        `now_ros_ns`: None for the node's clock.
        """
        with self._lock:
            # Not before the lock: what another thread stored meanwhile would be in the future.
            ros_ns = int(self._clock.now().nanoseconds) if now_ros_ns is None else now_ros_ns
            now_ns = time.monotonic_ns()
            reports = [
                report(name, stream, sources, ros_ns, now_ns, self.settings)
                for name, stream, sources in self._named()
            ]
        return tuple(self._graph.explain(one) for one in reports)

    def joints(self, names: Sequence[str]) -> Sample | None:
        """The newest JointReading of these joints, as old as its oldest joint.

        Of a joint that a stream of the file names, the topics of those streams count, else all:
        another topic may have it too, such as zeros beside a gripper's own joint. None if one of
        the joints was never received.
        """
        with self._lock:
            homes, common = self._homes(tuple(names))
            whole = [one.joints.sample(names) for one in common if one.joints.has(names)]
            found = max((s for s in whole if s), key=lambda s: s.received_ns, default=None)
            return found or _spread(homes, names)

    def _homes(self, names: tuple[str, ...]) -> tuple[Sequence[Homes], Homes]:
        """For each joint the topics that count, and those that count for all; kept."""
        known = self._known_homes.get(names)
        if known is None:
            every = [s for s in self._sources.values() if isinstance(s, JointSource)]
            homes = [[one for one in every if name in one.declared] or every for name in names]
            common = [one for one in every if all(one in home for home in homes)]
            known = self._known_homes[names] = homes, common
        return known

    @property
    def embodiment(self) -> Embodiment:
        """The embodiment with its present chains."""
        with self._lock:
            return self._embodiment

    def describe(self, embodiment: Embodiment) -> None:
        """Use `embodiment` from now on: the same one with other chains of its kinematics."""
        with self._lock:
            self._embodiment = embodiment

    def pose(self, key: str) -> PoseReading | None:
        """The newest pose of that state stream; None if it has none or its chain is unknown."""
        with self._lock:
            stream = next(stream for stream in self._embodiment.state if stream.key == key)
            sources = [self._sources[topic] for topic in stream.topics]
            newest = [source.buffer_of(stream).latest() for source in sources]
        samples = [sample for sample in newest if sample is not None]
        if len(samples) < len(sources):
            return None
        try:
            return pose_of(stream, content(samples))
        except ObservationError:
            return None  # the stream's own report says why

    def controller(self, output: str) -> Sample | None:
        """The newest ControllerReading of the named output, as a sample."""
        with self._lock:
            return self._controllers[output].buffer.latest()

    def cameras(self) -> tuple[CameraWatch, ...]:
        """The watches on the content of the camera images, one per topic."""
        return tuple(s.camera for s in self._sources.values() if s.camera is not None)

    def clear(self) -> None:
        """Drop all samples; after a clock jump their stamps belong to another time base."""
        with self._lock:
            for source in self._all():
                source.clear()

    def destroy(self) -> None:
        """Unsubscribe from everything; later pulls take nothing, and `wait` ends."""
        self._arrivals.end()
        self._unsubscribe(self._all())

    def _unsubscribe(self, sources: Iterable[Source]) -> None:
        with self._lock:
            for source in sources:
                source.subscription.destroy()

    def _all(self) -> Iterator[Source]:
        yield from self._sources.values()
        yield from self._controllers.values()

    def _named(self) -> Iterator[tuple[str, Stream | Output, tuple[Source, ...]]]:
        for stream in self._embodiment.streams:
            modality = "video" if isinstance(stream, VideoStream) else "state"
            sources = tuple(self._sources[topic] for topic in stream.topics)
            yield f"{modality}.{stream.key}", stream, sources
        for output in self._embodiment.outputs:
            yield f"controller.{output.name}", output, (self._controllers[output.name],)

    def _mixed(self, now_ns: int) -> Iterator[Gap]:
        """Yield a gap for each stream that two publishers send: it is unknown which is right."""
        for stream in self._embodiment.streams:
            for topic in stream.topics:
                source = self._sources[topic]
                if joints := source.mixed(now_ns):
                    text = self._graph.mixed(source.subscription.topic, joints)
                    yield Gap(stream.key, topic, text, None)

    def _source(
        self, node: Node, topic: str, streams: Sequence[Stream], history: History
    ) -> Source:
        """The source of one topic, which all of `streams` read as the same type."""
        stream = streams[0]
        if isinstance(stream, StateStream) and stream.source == "tf":
            return self._transform(node, topic, stream, history)
        message_type, read = READS[kind(stream)]
        publishers = JointPublishers(max(self.settings.max_age_ns(one) for one in streams))
        cameras = [one for one in streams if isinstance(one, VideoStream)]
        if cameras:
            named = node.resolve_topic_name(topic)
            pulled = PulledSubscription(self._images, (message_type,), named, profiles=qos.PICTURES)
            period_ns = round(1e9 / max(VIDEO_PULL_HZ, self._embodiment.rate_hz))
            watch = CameraWatch(f"video.{stream.key}")
            period = PicturePeriod(stream.period_ns)
            self._pictures.append(pulled)
            return Source(
                pulled, PictureReader(cameras), history, period_ns, watch, publishers, period
            )
        if kind(stream) == "joints":
            pulled = PulledSubscription(node, (message_type,), topic, profiles=(qos.JOINTS,))
            commanded = self._embodiment.joint_names
            return JointSource(pulled, streams, commanded, history, PULL_PERIOD_NS, publishers)
        pulled = PulledSubscription(node, (message_type,), topic)
        return Source(pulled, read, history, PULL_PERIOD_NS, publishers=publishers)

    def _transform(self, node: Node, topic: str, stream: StateStream, history: History) -> Source:
        if self._transforms is None:
            where = f"{self._embodiment.source}: state.{stream.key}: from: tf"
            self._transforms = Transforms(node, where, "publish a PoseStamped (from: pose)")
        frame = stream.frame or ""
        transform = TransformSubscription(self._transforms, topic, frame, stream.link)
        return Source(transform, read_transform, history, PULL_PERIOD_NS)


def _by_topic(embodiment: Embodiment) -> dict[str, list[Stream]]:
    """Topic -> its streams; EmbodimentError unless they all read it as the same type."""
    topics: dict[str, list[Stream]] = {}
    for stream, topic in ((one, topic) for one in embodiment.streams for topic in one.topics):
        streams = topics.setdefault(topic, [])
        streams.append(stream)
        if kind(stream) != kind(streams[0]):
            raise EmbodimentError(
                f"{embodiment.source}: {topic} is read as {kind(streams[0])} by "
                f"{streams[0].key} and as {kind(stream)} by {stream.key}, expected one type"
            )
    return topics


def _span_ns(streams: Iterable[Stream], step_ns: int, settings: ObservationSettings) -> int:
    """The longest history that `streams` need, for an observation as late as is allowed."""
    return max(
        -min(stream.delta_indices) * step_ns
        + step_ns
        + 2 * stream.period_ns
        + settings.max_age_ns(stream)
        for stream in streams
    )


def _controller(node: Node, output: Output) -> Source:
    """The source of a controller's state, in any of STATE_TYPES.

    Only the newest of the states that wait is read.
    """
    clock, simulated = node.get_clock(), bool(node.get_parameter(USE_SIM_TIME).value)
    topic, profiles = output.state_topic, (qos.JOINTS,)
    subscription = PulledSubscription(node, STATE_TYPES, topic, profiles=profiles)
    history, publishers = History(0, RING_BYTES), JointPublishers(CONTROLLER_MAX_AGE_NS)
    return Source(
        subscription,
        ControllerStateReader(subscription),
        history,
        PULL_PERIOD_NS,
        publishers=publishers,
        simulated_now_ns=(lambda: int(clock.now().nanoseconds)) if simulated else None,
    )


def _spread(homes: Sequence[Homes], names: Sequence[str]) -> Sample | None:
    """A sample of joints that come from several topics; None if one was never received.

    homes: for each joint the topics that count.
    """
    known = [
        next((one.joints for one in home if one.joints.has((name,))), None)
        for name, home in zip(names, homes, strict=True)
    ]
    parts = [(n, one.sample((n,))) for n, one in zip(names, known, strict=True) if one is not None]
    samples = [(name, sample) for name, sample in parts if sample is not None]
    if not names or len(samples) < len(names):
        return None
    readings = [(name, s.value) for name, s in samples if isinstance(s.value, JointReading)]
    position = np.concatenate([select((name,), reading) for name, reading in readings])
    stamp_ns = min(sample.stamp_ns for _, sample in samples)
    received_ns = min(sample.received_ns for _, sample in samples)
    return Sample(stamp_ns, received_ns, JointReading(tuple(names), position))


def _show(source: Source, taken: StampedValue | None) -> None:
    if taken is not None and source.camera is not None:
        source.camera.see(*taken)
