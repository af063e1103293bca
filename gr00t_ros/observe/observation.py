"""Makes one observation from the buffers, or names what is missing, late or skewed.

The stamp is that of the joint state that is sent, because the server makes relative actions
absolute against it. Does not depend on messages, pixels or clocks: frames pass through unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ObservationError, SkewError
from gr00t_ros.observe.buffer import Age, Sample, StampedBuffer
from gr00t_ros.observe.readings import encode, merge
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import StateStream, Stream, VideoStream


@dataclass(frozen=True, slots=True)
class ObservationSettings:
    """When a stream counts as present.

    A stream is stale when its newest sample is older, by stamp or by receive time, than the
    larger of its kind's max age and `age_periods` of its declared periods. Two streams are
    skewed by more than max(skew_ns, skew_periods x the slower one's period).
    """

    video_max_age_ns: int
    state_max_age_ns: int
    skew_ns: int
    age_periods: float = 3.0
    skew_periods: float = 1.5
    future_ns: int = 30_000_000

    def max_age_ns(self, stream: Stream) -> int:
        """Largest age of the newest sample of a stream."""
        video = isinstance(stream, VideoStream)
        floor_ns = self.video_max_age_ns if video else self.state_max_age_ns
        return max(floor_ns, round(self.age_periods * stream.period_ns))

    def max_skew_ns(self, stream: Stream, other: Stream) -> int:
        """Largest distance between two streams' samples of one instant."""
        return max(self.skew_ns, round(self.skew_periods * max(stream.period_ns, other.period_ns)))


@dataclass(frozen=True, slots=True)
class Gap:
    """Why one stream cannot be in the observation; `age_ns` of its newest sample, None if none.

    `apart_ns`: if a sample is too far from the one that stamps the observation, their distance, of
    which `allowed_ns` is allowed; else 0.
    """

    stream: str
    topic: str
    reason: str
    age_ns: int | None
    apart_ns: int = 0
    allowed_ns: int = 0

    def __str__(self) -> str:
        return f"{self.stream} ({self.topic}): {self.reason}"


Gaps = tuple[Gap, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What goes to the server, anchored to `stamp_ns` (ROS time).

    video: key -> one sample per delta index, oldest first. state: key -> (T, D) float32.
    """

    stamp_ns: int
    video: dict[str, tuple[Sample, ...]]
    state: dict[str, NDArray[np.float32]]


def assemble(
    embodiment: Embodiment,
    buffers: Mapping[tuple[str, str], StampedBuffer],
    now_ros_ns: int,
    now_ns: int,
    tolerances: ObservationSettings,
) -> Observation | Gaps:
    """The newest observation that all streams reach, or every stream's gap.

    `buffers` are by stream and topic. If a stream merges several topics, each topic is checked for
    age and skew by itself. The oldest of them stamps the stream. If the joints of one topic come
    in several messages, the oldest message stamps the topic. Stamps are compared with
    `now_ros_ns`, receive times with `now_ns` (steady time). The instant is the newest one that
    every stream has reached. The stamp is that of the anchor stream's sample nearest to the
    instant. Every other sample is the one nearest to stamp + delta x step. It may be apart from
    that by the skew (delta 0), or by half a step and a period (history).
    """
    lanes = [(stream, topic) for stream in embodiment.streams for topic in stream.topics]
    newest = {lane: sample for lane, buffer in buffers.items() if (sample := buffer.latest())}
    late = [_late(s, t, newest.get((s.key, t)), now_ros_ns, now_ns, tolerances) for s, t in lanes]
    gaps = tuple(gap for gap in late if gap is not None)
    if gaps:
        return gaps
    anchor = anchor_stream(embodiment)
    instant_ns = min(newest[s.key, t].stamp_ns for s, t in lanes)
    stamp_ns = min(
        (buffers[anchor.key, t].nearest(instant_ns) or newest[anchor.key, t]).stamp_ns
        for t in anchor.topics
    )
    result = Observation(stamp_ns, {}, {})
    every: tuple[Stream, ...] = (*embodiment.video, *embodiment.state)
    for stream in every:
        skew_ns = tolerances.max_skew_ns(stream, anchor)
        picked: list[tuple[Sample, ...]] = []
        try:
            for topic in stream.topics:
                step_ns = embodiment.step_ns
                picked.append(_pick(stream, buffers[stream.key, topic], stamp_ns, step_ns, skew_ns))
            if isinstance(stream, VideoStream):
                result.video[stream.key] = picked[0]
            else:
                result.state[stream.key] = _encoded(stream, picked)
        except ObservationError as error:
            topic = stream.topics[min(len(picked), len(stream.topics) - 1)]
            age_ns = now_ros_ns - newest[stream.key, topic].stamp_ns
            skew = (error.apart_ns, error.allowed_ns) if isinstance(error, SkewError) else (0, 0)
            gaps += (Gap(stream.key, topic, str(error), age_ns, *skew),)
    return gaps or result


def refuse(gaps: Gaps) -> NoReturn:
    """Raise ObservationError that names all gaps, SkewError where a stream is too far apart."""
    text = "; ".join(str(gap) for gap in gaps)
    worst = max(gaps, key=lambda gap: gap.apart_ns)
    if worst.apart_ns:
        raise SkewError(text, worst.stream, worst.apart_ns, worst.allowed_ns)
    raise ObservationError(text)


def anchor_stream(embodiment: Embodiment) -> StateStream:
    """The state stream whose sample stamps the observation: the one with most commanded joints.

    A commanded pose counts as six joints. Of two streams with the same count a pose that is
    computed from joint states comes second.
    """
    commanded = set(embodiment.joint_names)
    poses = {output.pose for output in embodiment.poses}
    streams = [stream for stream in embodiment.state if stream.topics]

    def weight(stream: StateStream) -> tuple[int, bool]:
        joints = len(commanded.intersection(stream.names))
        return 6 if stream.key in poses else joints, stream.source != "kinematics"

    return max(streams, key=weight)


def content(samples: Sequence[Sample]) -> object:
    """The reading of one sample of each of a stream's topics: joints of several merged.

    Raises ObservationError where one of several has not as many positions as names.
    """
    return samples[0].value if len(samples) == 1 else merge([one.value for one in samples])


def _encoded(stream: StateStream, picked: list[tuple[Sample, ...]]) -> NDArray[np.float32]:
    """(T, D) from T samples of each topic. A constant is repeated T times."""
    if not picked:
        return np.stack([encode(stream, None)] * len(stream.delta_indices))
    return np.stack([encode(stream, content(samples)) for samples in zip(*picked, strict=True)])


def _late(
    stream: Stream,
    topic: str,
    sample: Sample | None,
    now_ros_ns: int,
    now_ns: int,
    tolerances: ObservationSettings,
) -> Gap | None:
    """The gap of a stream whose newest sample is absent, stale or from the future."""
    if sample is None:
        return Gap(stream.key, topic, "nothing received yet", None)
    age, limit_ns = Age.of(sample, now_ros_ns, now_ns), tolerances.max_age_ns(stream)
    if sample.stamp_ns == 0:
        reason = "stamp is zero, expected the time of measurement"
    elif age.future(tolerances.future_ns):
        reason = f"{age.in_future}, limit {_s(tolerances.future_ns)}"
    elif not age.late(limit_ns):
        return None
    elif age.silent_ns > limit_ns:
        reason = f"nothing new received for {_s(age.silent_ns)}, limit {_s(limit_ns)}"
    else:
        reason = f"stamp is {_s(age.stamp_ns)} old, limit {_s(limit_ns)}"
    return Gap(stream.key, topic, reason, age.stamp_ns)


def _pick(
    stream: Stream, buffer: StampedBuffer, stamp_ns: int, step_ns: int, skew_ns: int
) -> tuple[Sample, ...]:
    """The sample nearest to each delta index; ObservationError where none is near enough."""
    history_ns = step_ns // 2 + stream.period_ns
    picked = []
    for delta in stream.delta_indices:
        wanted_ns = stamp_ns + delta * step_ns
        sample = buffer.nearest(wanted_ns)
        if sample is None:
            raise ObservationError("nothing received yet")
        apart_ns, limit_ns = abs(sample.stamp_ns - wanted_ns), history_ns if delta else skew_ns
        if apart_ns > limit_ns:
            text = _too_far(buffer, stamp_ns, wanted_ns, apart_ns, limit_ns)
            if delta:
                raise ObservationError(text)
            raise SkewError(text, stream.key, apart_ns, limit_ns)
        picked.append(sample)
    return tuple(picked)


def _too_far(
    buffer: StampedBuffer, stamp_ns: int, wanted_ns: int, apart_ns: int, limit_ns: int
) -> str:
    oldest = buffer.oldest()
    if wanted_ns == stamp_ns:
        return f"{_s(apart_ns)} apart from the joint state that is sent, limit {_s(limit_ns)}"
    if oldest is not None and oldest.stamp_ns > wanted_ns:
        reach_ns = max(stamp_ns - oldest.stamp_ns, 0)
        return f"history reaches back {_s(reach_ns)} of {_s(stamp_ns - wanted_ns)}"
    return (
        f"history has nothing within {_s(limit_ns)} of {_s(stamp_ns - wanted_ns)} ago, "
        f"the nearest is {_s(apart_ns)} off"
    )


def _s(duration_ns: int) -> str:
    """Seconds as an operator reads them."""
    return f"{duration_ns / 1e9:.3g} s"
