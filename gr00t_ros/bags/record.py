"""gr00t bag record: writes topics to a rosbag2 bag as they come in, serialised.

Bag time is the node's clock at arrival. With a robot that publishes /clock the recorder needs
use_sim_time; otherwise bag time and header stamps come from two clocks. Messages stay bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from gr00t_ros.bags.bag import missing_rosbags
from gr00t_ros.bags.message_types import message_class, typestore
from gr00t_ros.bags.verb import answer, parser_of
from gr00t_ros.command_line import DONE, NO
from gr00t_ros.errors import BagError
from gr00t_ros.ros.process import checked_topic, run_node

VERSION: Final = 9
"""Version of the bag format: that of ROS 2 Jazzy."""

DEPTH = 100
LOOK_PERIOD_S = 0.1
LOOKS_TO_REMIND = 20


def main(words: Sequence[str]) -> int:
    """Record topics; see `_main`."""
    text = "Write topics to a bag as they come in, until Ctrl-C."
    parser = parser_of("record", text, "my_bag --topics /joint_states /tf")
    add = parser.add_argument
    add("out", metavar="OUT", help="folder to write, which must not exist yet")
    add("--topics", nargs="+", metavar="TOPIC", required=True, help="what to record")
    add("--mcap", action="store_true", help="write MCAP instead of sqlite3")
    text = "bag time is /clock: for simulated robots"
    add("--use-sim-time", action="store_true", help=text)
    return answer(parser, words, _main)


def _main(options: argparse.Namespace, ros_arguments: Sequence[str]) -> int:
    """Record until SIGINT or SIGTERM; returns 0; 1 if a topic or everything is missing."""
    wrong: list[str] = []

    def close(node: Node) -> None:
        assert isinstance(node, BagRecorder)
        wrong.extend(node.close())

    status = run_node(lambda: BagRecorder(options), ros_arguments, close)
    for line in wrong:
        print(f"gr00t bag: {line}", file=sys.stderr, flush=True)
    return status or (NO if wrong else DONE)


class BagRecorder(Node):
    """Subscribes to each topic once it has a publisher, reliably if all its publishers allow it."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Create the bag; Gr00tError if it exists, rosbags is missing, or a topic has no name."""
        for topic in options.topics:
            checked_topic("--topics", topic)
        self._writer = open_writer(options.out, options.mcap)
        clock = Parameter("use_sim_time", value=options.use_sim_time)
        super().__init__("gr00t_bag_recorder", parameter_overrides=[clock])
        self._missing = [self.resolve_topic_name(topic) for topic in options.topics]
        self._refused: list[str] = []
        self._count, self._looks = 0, 0
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(LOOK_PERIOD_S, self._look, clock=steady)

    def close(self) -> list[str]:
        """Finish the bag, print the number of messages, and return what is missing."""
        self._writer.close()
        print(f"gr00t bag: recorded {self._count} messages", file=sys.stderr, flush=True)
        wrong = [f"never published: {self._missing}"] if self._missing else []
        wrong += [f"not recorded: {self._refused}"] if self._refused else []
        return wrong if self._count else ["nothing was recorded", *wrong]

    def _look(self) -> None:
        """Subscribe to the topics that have appeared."""
        for topic in list(self._missing):
            if self.get_publishers_info_by_topic(topic):
                self._missing.remove(topic)
                self._subscribe(topic)
        if not self._missing:
            self.destroy_timer(self._timer)
            if not self._refused:
                print("RECORDING", flush=True)
            return
        self._looks += 1
        if self._looks % LOOKS_TO_REMIND == 0:
            self.get_logger().info(f"waiting for a publisher of {', '.join(self._missing)}")

    def _subscribe(self, topic: str) -> None:
        publishers = self.get_publishers_info_by_topic(topic)
        names = sorted({publisher.topic_type for publisher in publishers})
        if len(names) > 1:
            self.get_logger().error(f"{topic} is published as {names}: recorded as {names[0]}")
        try:
            kind, store = message_class(names[0]), typestore([names[0]])
        except BagError as error:
            self.get_logger().error(f"{topic} is not recorded: {error}")
            self._refused.append(topic)
            return
        profile = _profile([publisher.qos_profile for publisher in publishers])
        connection = self._writer.add_connection(
            topic, names[0], typestore=store, offered_qos_profiles=[offered(profile)]
        )
        self.create_subscription(kind, topic, self._receiver(connection), profile, raw=True)

    def _receiver(self, connection: Any) -> Callable[[bytes], None]:
        def on_message(data: bytes) -> None:
            now_ns = self.get_clock().now().nanoseconds
            if now_ns > 0:  # with use_sim_time: no clock yet
                self._writer.write(connection, now_ns, data)
                self._count += 1

        return on_message


def open_writer(out: Path | str, mcap: bool) -> Any:
    """Create a bag; BagError if the path exists, cannot be created, or rosbags is missing."""
    try:
        from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
    except ImportError as error:
        raise missing_rosbags(error) from error
    plugin = StoragePlugin.MCAP if mcap else StoragePlugin.SQLITE3
    try:
        writer = Writer(out, version=VERSION, storage_plugin=plugin)
        writer.open()
    except (WriterError, OSError) as error:
        raise BagError(f"{out}: cannot be recorded to: {error}") from error
    return writer


def _profile(offered_profiles: Sequence[QoSProfile]) -> QoSProfile:
    """The strictest profile that all publishers of a topic can serve."""
    reliable = all(p.reliability == ReliabilityPolicy.RELIABLE for p in offered_profiles)
    latched = all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in offered_profiles)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def offered(profile: QoSProfile) -> Any:
    """The profile as rosbags writes it into the bag, so that a player can offer the same."""
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    unlimited = QosTime(0, 0)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=profile.depth,
        reliability=QosReliability[profile.reliability.name],
        durability=QosDurability[profile.durability.name],
        deadline=unlimited,
        lifespan=unlimited,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=unlimited,
        avoid_ros_namespace_conventions=False,
    )
