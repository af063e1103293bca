"""What an embodiment needs of a bag: topic by topic its types, and what a bag has of it."""

from __future__ import annotations

from dataclasses import dataclass

from gr00t_ros.bags.bag import Bag, BagTopic
from gr00t_ros.bags.message_types import type_name
from gr00t_ros.core.embodiment import Embodiment, Stream, VideoStream
from gr00t_ros.ros.controller_state import STATE_TYPES

_TYPES = {
    "raw": "sensor_msgs/msg/Image",
    "compressed": "sensor_msgs/msg/CompressedImage",
    "joints": "sensor_msgs/msg/JointState",
    "pose": "geometry_msgs/msg/PoseStamped",
}
"""A stream's transport or source -> what ros/inputs.py reads it as."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One topic: `readers` are its streams and controllers; `problem` is empty if all is well."""

    topic: str
    readers: tuple[str, ...]
    found: BagTopic | None
    rate_hz: float
    problem: str


def needed_topics(embodiment: Embodiment) -> dict[str, tuple[str, ...]]:
    """Topic -> the types that can be read there, for all streams and controller states."""
    topics = {stream.topic: (_TYPES[_kind(stream)],) for stream in embodiment.streams}
    controllers = tuple(type_name(one) for one in STATE_TYPES)
    return topics | {output.state_topic: controllers for output in embodiment.outputs}


def compare_bag(bag: Bag, embodiment: Embodiment) -> tuple[Finding, ...]:
    """What the bag has of each needed topic; the rate is over the bag's whole span."""
    found = {topic.name: topic for topic in bag.topics}
    span_s = (bag.end_ns - bag.start_ns) * 1e-9
    return tuple(
        _finding(topic, types, embodiment, found.get(topic), span_s)
        for topic, types in needed_topics(embodiment).items()
    )


def _finding(
    topic: str,
    types: tuple[str, ...],
    embodiment: Embodiment,
    found: BagTopic | None,
    span_s: float,
) -> Finding:
    streams = [one.key for one in embodiment.streams if one.topic == topic]
    outputs = [f"controller {one.name}" for one in embodiment.outputs if one.state_topic == topic]
    problem, rate_hz = "", 0.0
    if found is None:
        problem = "missing"
    elif found.type_name not in types:
        problem = f"wrong type, expected {' or '.join(types)}"
    elif found.count == 0:
        problem = "no message"
    elif span_s > 0.0:
        rate_hz = found.count / span_s
    return Finding(topic, (*streams, *outputs), found, rate_hz, problem)


def _kind(stream: Stream) -> str:
    return stream.transport if isinstance(stream, VideoStream) else stream.source
