"""The QoS profiles of the node's topics, each with its reason; contains no topic names."""

from __future__ import annotations

from collections.abc import Iterable

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo


def _last(depth: int, reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


# A best effort subscription also receives from reliable publishers; a reliable subscription gets
# nothing from best effort publishers. Depth 1: only the newest frame is useful, an older one would
# make the observation older. No deadline: a subscription with a deadline gets nothing from a
# publisher that offers none, so ages are checked in software.
SENSOR = _last(1, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)

# An image travels in dozens of packets, and one lost packet loses the whole image: best effort
# delivered 14 to 21 of 30 frames a second (docs/dds.md). So reliable delivery (retransmission) is
# requested if all publishers of the topic offer it. A KEEP_LAST reader does not block a KEEP_LAST
# writer: samples that were not taken are overwritten.
PICTURES = (SENSOR, _last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE))

# Joint states, poses and controller states fit into one packet each, and the next one comes within
# milliseconds: a retransmission would delay the messages behind it, so best effort. Depth 8: the
# sequence numbers of all messages between two pulls reveal a second publisher.
READINGS = _last(8, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)

# Deeper queue, for states of joints and of controllers: they may come at 1 kHz or more, and pulls
# are 20 ms apart. An arm and its gripper may each publish their joints on one topic, and the one
# would overwrite the other's messages. A controller's messages say how long they took, and those
# that were overwritten do not (observe/transit.py).
JOINTS = _last(64, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)

# A window must arrive, and only the newest one: an older window from a queue would replace it.
# Volatile: a controller that starts later must never receive an old motion.
COMMAND = _last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)

# Latched: a subscriber that starts later still receives the mode and its reason.
STATUS = _last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)

# As diagnostic_updater and its aggregator: all level changes must arrive, in order.
DIAGNOSTICS = _last(10, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)

# A recorder needs every prediction, a few a second; a queue of 10 tolerates a slow disk.
CHUNK = _last(10, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)

# A recorder needs every flow, a few a second, as CHUNK. Nothing is published without a subscriber.
FLOWS = _last(64, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)

# A megabyte each: the newest one is enough for whoever subscribes to take one. Reliable, because it
# travels in dozens of packets; volatile, because nothing is published without a subscriber.
EXCHANGE = _last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)

# Each message may add or delete an obstacle, so none may be lost. Volatile: it also receives from a
# latched publisher. Depth 50: a burst of single changes.
OBSTACLES = _last(50, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)

# Markers for a viewer, a few times a second: only the newest picture counts. Reliable, as RViz asks
# for it; volatile, because nothing is published without a subscriber.
MARKERS = _last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)

# Paths, joints and pictures of the preview, for viewers and bags: as markers.
PREVIEW = _last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)

# Receive a button with any QoS of its driver: best effort, reliable, or latched before start.
ANY = (
    _last(10, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE),
    _last(10, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE),
    _last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL),
)

_FOREVER_NS = 2**62


def mismatch(offered: QoSProfile, requested: QoSProfile) -> str:
    """Why a subscription with `requested` gets nothing from `offered`; empty if compatible.

    These are DDS's rules for requested and offered QoS. rclpy's own check treats an unset deadline
    (0) as a deadline of 0 s, and so rejects every pair with a profile that came from the graph.
    """
    if _reliable(requested) and not _reliable(offered):
        return "requests reliable, offered is best effort"
    if _latched(requested) and not _latched(offered):
        return "requests transient_local, offered is volatile"
    wanted_ns, given_ns = _deadline_ns(requested), _deadline_ns(offered)
    if wanted_ns < given_ns:
        given = "none" if given_ns >= _FOREVER_NS else f"{given_ns / 1e9:g} s"
        return f"requests a deadline of {wanted_ns / 1e9:g} s, offered is {given}"
    return ""


def all_reliable(publishers: Iterable[TopicEndpointInfo]) -> bool:
    """Whether all publishers of a topic offer reliable delivery."""
    return all(_reliable(info.qos_profile) for info in publishers)


def _reliable(profile: QoSProfile) -> bool:
    return bool(profile.reliability == ReliabilityPolicy.RELIABLE)


def _latched(profile: QoSProfile) -> bool:
    return bool(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL)


def _deadline_ns(profile: QoSProfile) -> int:
    """The deadline, ns; unset (0) or infinite deadlines give _FOREVER_NS, over a century."""
    return min(int(profile.deadline.nanoseconds) or _FOREVER_NS, _FOREVER_NS)
