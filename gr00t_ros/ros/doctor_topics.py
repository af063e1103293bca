"""The doctor's rows on topics as they arrive: type, rate, QoS, stamps, clocks, picture sizes.

What the node would tolerate and an operator should know: warnings. Decides nothing about motion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

from gr00t_ros.core.buffer import Sample
from gr00t_ros.core.embodiment import Embodiment, VideoStream
from gr00t_ros.core.errors import ObservationError
from gr00t_ros.ros import qos
from gr00t_ros.ros.doctor_rows import PASS, WARN, Row
from gr00t_ros.ros.stream_report import SYNCHRONISE
from gr00t_ros.ros.traffic import Topic

RATE_SHARE = 0.8
"""Of the rate that the file promises: below, late and skewed are measured by the wrong rate."""
LOST_SHARE = 0.05
"""Lost on the way: above, a picture that is needed is often missing; a lone one is chance."""
CLOCK_OFFSET_S = 0.05
"""Later than a driver and a network usually are: a pause at 0.1 s is near (max_joint_age_s)."""


def traffic(node: Node, embodiment: Embodiment, topics: Mapping[str, Topic]) -> list[Row]:
    """Every sensor topic on which something came: what is odd about it, else how it arrives."""
    videos: dict[str, list[VideoStream]] = {}
    for stream in embodiment.video:
        videos.setdefault(stream.topic, []).append(stream)
    rows = []
    for name, topic in topics.items():
        publishers = node.get_publishers_info_by_topic(name)
        odd = _odd(topic, publishers)
        odd += [text for video in videos.get(name, ()) for text in _size(topic, video)]
        shown = node.resolve_topic_name(name)
        rows += [Row(WARN, "topic", shown, text) for text in odd]
        if topic.steady_ns and not odd:
            rows.append(Row(PASS, "topic", shown, _arrival(topic, publishers)))
    return rows


def command_readers(node: Node, topics: Iterable[str]) -> list[Row]:
    """Who reads each command topic, and whether a message that is lost on the way comes again."""
    rows = []
    for topic in topics:
        for info in node.get_subscriptions_info_by_topic(topic):
            reliability = info.qos_profile.reliability
            shown = reliability.short_key.replace("_", " ")
            text = f"read by {info.node_name}, {shown}"
            if reliability == ReliabilityPolicy.BEST_EFFORT:
                text += ": a message that is lost does not come again, commit_ms covers windows"
            rows.append(Row(PASS, "reader", topic, text))
    return rows


def clocks(
    node: Node, samples: Iterable[tuple[str, Sample | None]], ros_now_ns: int, now_ns: int
) -> list[Row]:
    """Controllers whose clock is not this host's: they play a window by its stamp.

    `samples`: each controller's state topic and its newest state, pulled every 20 ms.
    """
    rows = []
    for name, sample in samples:
        if sample is None:
            continue
        offset_s = (ros_now_ns - (now_ns - sample.received_ns) - sample.stamp_ns) / 1e9
        if abs(offset_s) > CLOCK_OFFSET_S:
            text = f"{_apart(offset_s)}; it plays windows by their stamps: {SYNCHRONISE}"
            rows.append(Row(WARN, "clock", node.resolve_topic_name(name), text))
    return rows


def _arrival(topic: Topic, publishers: Sequence[TopicEndpointInfo]) -> str:
    parts = [f"{topic.rate_hz:.1f} Hz", f"{1e3 * topic.offset_s:.0f} ms after its stamp"]
    if topic.size_px is not None:
        parts.append("{}x{}".format(*topic.size_px))
    for info in publishers:
        parts.append(f"{info.topic_type} of {info.node_name}")
        parts.append(info.qos_profile.reliability.short_key.replace("_", " "))
    return ", ".join(parts)


def _apart(offset_s: float) -> str:
    way = "after" if offset_s > 0.0 else "before"
    return f"arrives {abs(offset_s):.3f} s {way} its stamp"


def _odd(topic: Topic, publishers: Sequence[TopicEndpointInfo]) -> list[str]:
    found = []
    if len(publishers) > 1 and not topic.shared:
        nodes = ", ".join(sorted(info.node_name for info in publishers))
        found.append(f"{len(publishers)} publishers at once ({nodes}): does each send its own?")
    if not topic.steady_ns:
        return found
    sent_hz = topic.rate_hz
    if len(publishers) == 1:  # the numbers of several do not go on from each other
        sent_hz = topic.sent_hz
    if sent_hz > topic.rate_hz and topic.lost_share > LOST_SHARE:
        found.append(
            f"{sent_hz:.1f} Hz are sent and {topic.rate_hz:.1f} Hz arrive, "
            f"{100 * topic.lost_share:.0f} % are lost on the way: {_against_loss(publishers)}"
        )
    if sent_hz < RATE_SHARE * topic.declared_hz:
        found.append(
            f"{sent_hz:.1f} Hz are sent, the file says {topic.declared_hz:g}: set the "
            "driver's rate, or rate_hz in the file"
        )
    if abs(topic.offset_s) > CLOCK_OFFSET_S:
        found.append(f"{_apart(topic.offset_s)}: {SYNCHRONISE} or find the delay")
    if topic.backward:
        found.append("stamps run backward: two sources, or a driver that stamps out of order")
    return found


def _against_loss(publishers: Sequence[TopicEndpointInfo]) -> str:
    """What to set: of the publishers' QoS first, then of the middleware."""
    advice = "give its publisher a larger shared-memory segment, or the host larger socket buffers"
    weak = sorted({i.node_name for i in publishers if not qos.all_reliable((i,))})
    if weak:
        advice = f"let {', '.join(weak)} offer reliable, or {advice}"
    return f"{advice} (docs/dds.md)"


def _size(topic: Topic, video: VideoStream) -> list[str]:
    if topic.size_px is None:
        return []
    height_px, width_px = topic.size_px
    if video.framing is not None:
        try:
            height_px, width_px = video.framing.size(height_px, width_px)
        except ObservationError:  # the stream's own row names the crop that lies outside
            return []
    shown = f"pictures are {height_px}x{width_px}, sent as {video.height_px}x{video.width_px}"
    if height_px < video.height_px or width_px < video.width_px:
        return [f"{shown}: enlarged, the policy sees less than it was trained on"]
    ratio = height_px * video.width_px / (width_px * video.height_px)
    if video.fit == "stretch" and not 0.98 < ratio < 1.02:
        return [f"{shown}: distorted by fit: stretch; choose pad"]
    return []
