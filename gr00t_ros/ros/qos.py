"""The QoS of every topic of the node, each with its reason; knows no topic names."""

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


# Best effort receives from reliable publishers too, the reverse gets nothing. Depth 1: only the
# newest frame is of use, an older one would age the observation. No deadline: a
# subscription with one gets nothing from a publisher that offers none; ages are judged in software.
SENSOR = _last(1, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)

# A picture travels in dozens of packets, and one of them that is lost loses it whole: best effort
# brought 14 to 21 of 30 frames a second (docs/dds.md). So cameras are asked to send again what was
# lost, where all publishers of the topic offer it. A reader that keeps the last one holds up no
# writer that keeps the last ones: what it did not take is overwritten.
PICTURES = (SENSOR, _last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE))

# Joint states, poses and controllers' states fit into one packet each and the next one comes in
# milliseconds: one that is sent again would hold up those behind it, so best effort. Some are kept
# because the numbers of those between two looks tell of a second publisher.
READINGS = _last(8, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)

# Deeper: an arm and its gripper may each publish their own joints on one topic, and one at 1 kHz
# would overwrite the other's between two looks, 20 ms apart.
JOINTS = _last(64, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)

# A window must arrive, and only the newest one: an older window that a queue kept would replace it.
# Volatile: a controller that starts later must never be handed the motion of an earlier time.
COMMAND = _last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)

# Latched: whoever looks late still sees the mode, and why.
STATUS = _last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)

# What diagnostic_updater and its aggregator use: each level change must arrive in its order.
DIAGNOSTICS = _last(10, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)

# A recorder wants every prediction, a few a second; a queue of 10 rides out a slow disk.
CHUNK = _last(10, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)

# A button is heard whatever its driver offers: best effort, reliable, or latched before we came.
ANY = (
    _last(10, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE),
    _last(10, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE),
    _last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL),
)

_FOREVER_NS = 2**62


def mismatch(offered: QoSProfile, requested: QoSProfile) -> str:
    """Why a subscription that requests `requested` gets nothing of `offered`, empty where it does.

    The rules of DDS's request and offer. rclpy's own check takes a deadline that is not set (0)
    for one that is, and so refuses every pair of which one side was asked of the graph.
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
    """Whether each of a topic's publishers offers to send again what was lost."""
    return all(_reliable(info.qos_profile) for info in publishers)


def _reliable(profile: QoSProfile) -> bool:
    return profile.reliability == ReliabilityPolicy.RELIABLE


def _latched(profile: QoSProfile) -> bool:
    return profile.durability == DurabilityPolicy.TRANSIENT_LOCAL


def _deadline_ns(profile: QoSProfile) -> int:
    """The deadline, ns; longer than a century where there is none, which 0 says too."""
    return min(int(profile.deadline.nanoseconds) or _FOREVER_NS, _FOREVER_NS)
