"""What an embodiment needs of a bag: topic by topic its types, and what a bag has of it."""

from __future__ import annotations

from dataclasses import dataclass

from gr00t_ros.bags.bag import Bag, BagTopic
from gr00t_ros.bags.message_types import type_name
from gr00t_ros.core.embodiment import Embodiment, Stream
from gr00t_ros.ros.controller_state import STATE_TYPES
from gr00t_ros.ros.readings import READS, kind

_TF = {name: ("tf2_msgs/msg/TFMessage",) for name in ("/tf", "/tf_static")}


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
    topics = {
        topic: types
        for stream in embodiment.streams
        for name in stream.topics
        for topic, types in _read_from(stream, name).items()
    }
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
    streams = [one.key for one in embodiment.streams if topic in _topics(one)]
    outputs = [f"controller {one.name}" for one in embodiment.outputs if one.state_topic == topic]
    problem, rate_hz = "", 0.0
    if found is None:
        problem = "missing"
    elif found.problem:
        problem = found.problem
    elif found.type_name not in types:
        problem = f"wrong type, expected {' or '.join(types)}"
    elif found.count == 0:
        problem = found.difference or "no message"
    else:
        problem = found.difference if found.lost else ""
        rate_hz = found.count / span_s if span_s > 0.0 else 0.0
    return Finding(topic, (*streams, *outputs), found, rate_hz, problem)


def _topics(stream: Stream) -> tuple[str, ...]:
    """All topics of the bag that a stream is read from."""
    return tuple(topic for name in stream.topics for topic in _read_from(stream, name))


def _read_from(stream: Stream, name: str) -> dict[str, tuple[str, ...]]:
    """Topic -> types behind one of a stream's topics: tf2 reads two."""
    return _TF if kind(stream) == "tf" else {name: (type_name(READS[kind(stream)][0]),)}
