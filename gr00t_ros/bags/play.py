"""gr00t bag play: publishes a bag in its recorded rhythm, with /clock in bag time on request.

Messages and clock ticks are sent in one sequence at deadlines of steady time, with the recorded
header stamps. A command would move a robot that subscribes to it, so commands are played only if
they are named with --topics.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rosgraph_msgs.msg import Clock

from gr00t_ros.bags.bag import Bag, BagMessage, BagTopic, open_bag
from gr00t_ros.bags.message_types import message_class
from gr00t_ros.bags.verb import add_bag, answer, parser_of
from gr00t_ros.command_line import DONE, NO
from gr00t_ros.errors import BagError
from gr00t_ros.ros.process import initialise, refuse_unknown
from gr00t_ros.signals import stop_on_signals

CLOCK_HZ = 200.0
"""Ticks of /clock a second of steady time or of bag time, whichever gives more ticks. The ages that
a node measures (limit: 30 ms in the future) are then wrong by at most 5 ms."""

CLOCK_TOPIC = "/clock"

COMMAND_MESSAGES = frozenset(
    {
        "geometry_msgs/msg/Twist",
        "geometry_msgs/msg/TwistStamped",
        "std_msgs/msg/Float64MultiArray",
        "trajectory_msgs/msg/JointTrajectory",
    }
)
"""Message types that command controllers."""

DEPTH = 100
"""A second of joint states: a subscriber that is late by less loses nothing. Publishers are
reliable, because a best-effort subscriber receives their messages too."""

LOOK_S = 0.05
LOOKS_TO_SETTLE = 5
"""A subscriber that this process sees may not see our publisher yet, and would miss the first
message."""

REMIND_S = 2.0
FLUSH_S = 5.0
RATES = (0.01, 100.0)
DueMessage = tuple[int, BagMessage | None]
"""Bag time, ns, and the message that is due; None: a tick of /clock."""


def clock_period_ns(rate: float) -> int:
    """Bag time between two ticks, if one second of steady time is `rate` seconds of bag time."""
    return round(1e9 / CLOCK_HZ * min(rate, 1.0))


def merge_clock(
    messages: Iterable[BagMessage], start_ns: int, period_ns: int | None
) -> Iterator[DueMessage]:
    """The messages, and ticks from `start_ns` to the last message; no ticks without a period.

    A tick that is due with a message comes before it.
    """
    tick_ns = start_ns
    for message in messages:
        while period_ns is not None and tick_ns <= message.time_ns:
            yield tick_ns, None
            tick_ns += period_ns
        yield message.time_ns, message


@dataclass(frozen=True, slots=True)
class PlayResult:
    """Number of messages of one run, its duration, and the largest delay of an event."""

    messages: int
    seconds: float
    worst_late_s: float


def run(
    events: Iterable[DueMessage],
    start_ns: int,
    rate: float,
    publish: Callable[[int, BagMessage | None], None],
    stop: threading.Event,
) -> PlayResult:
    """Publish each event at its deadline, counted from now, until the last event or `stop`.

    Deadlines are absolute, so delays do not add up; a late event is published at once.
    """
    begin_ns, count, worst_ns = time.monotonic_ns(), 0, 0
    for bag_ns, message in events:
        due_ns = begin_ns + round((bag_ns - start_ns) / rate)
        wait_ns = due_ns - time.monotonic_ns()
        if stop.wait(wait_ns * 1e-9) if wait_ns > 0 else stop.is_set():
            break
        worst_ns = max(worst_ns, time.monotonic_ns() - due_ns)
        publish(bag_ns, message)
        count += message is not None
    return PlayResult(count, (time.monotonic_ns() - begin_ns) * 1e-9, worst_ns * 1e-9)


@dataclass(frozen=True, slots=True)
class Choice:
    """The topics of a bag that are played, with their classes, and why others are left out."""

    played: tuple[tuple[BagTopic, Any], ...]
    left_out: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The topics that are played."""
        return tuple(topic.name for topic, _ in self.played)


def choose(topics: Sequence[BagTopic], wanted: Collection[str], with_clock: bool) -> Choice:
    """Choose the topics to play: the wanted ones, or without any all except commands.

    Raises BagError for a wanted topic that is not in the bag, and when no topic is left.
    """
    names = [topic.name for topic in topics]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise BagError(f"topics {unknown} are not in the bag, which has {names}")
    played, left_out = [], []
    for topic in topics:
        if wanted and topic.name not in wanted:
            continue
        why = _objection(topic, wanted, with_clock)
        if not why:
            try:
                played.append((topic, message_class(topic.type_name)))
            except BagError as error:
                why = str(error)
        if why:
            left_out.append(f"{topic.name}: {why}")
    if not played:
        raise BagError("no topic is left to play: " + "; ".join(left_out))
    return Choice(tuple(played), tuple(left_out))


def _objection(topic: BagTopic, wanted: Collection[str], with_clock: bool) -> str:
    if topic.problem:
        return topic.problem
    if with_clock and topic.name == CLOCK_TOPIC:
        return "the clock is published from bag time instead"
    if topic.type_name in COMMAND_MESSAGES and topic.name not in wanted:
        return f"{topic.type_name} commands a robot; name it with --topics to play it"
    return ""


class Publishers:
    """One publisher for each topic of a Choice, and one for /clock on request."""

    def __init__(self, node: Node, choice: Choice, with_clock: bool) -> None:
        """Create the publishers; topic names can be remapped as for any node."""
        self._publishers = {
            topic.name: node.create_publisher(kind, topic.name, _profile(topic.latched))
            for topic, kind in choice.played
        }
        self._clock = node.create_publisher(Clock, CLOCK_TOPIC, _profile()) if with_clock else None

    def publish(self, bag_ns: int, message: BagMessage | None) -> None:
        """Publish a message as it was recorded; with None a tick of /clock."""
        if message is not None:
            self._publishers[message.topic].publish(message.data)
        elif self._clock is not None:
            self._clock.publish(Clock(clock=Time(nanoseconds=bag_ns).to_msg()))

    def without_subscriber(self) -> list[str]:
        """The topics without a subscriber, as remapped."""
        clock = [] if self._clock is None else [self._clock]
        publishers = [*clock, *self._publishers.values()]
        return [one.topic_name for one in publishers if one.get_subscription_count() == 0]

    def flush(self, limit_s: float) -> bool:
        """Wait until every subscriber has all messages; False if not within `limit_s`."""
        end = time.monotonic() + limit_s
        clock = [] if self._clock is None else [self._clock]
        return all(
            one.wait_for_all_acked(Duration(seconds=max(end - time.monotonic(), 0.0)))
            for one in (*self._publishers.values(), *clock)
        )


def _profile(latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def main(words: Sequence[str]) -> int:
    """Play a bag; see `_main`."""
    parser = parser_of("play", "Publish a bag in its recorded rhythm.", "my_bag --clock")
    add_bag(parser)
    add = parser.add_argument
    add("--rate", type=float, metavar="X", default=1.0, help="speed of bag time (%(default)s)")
    add("--clock", action="store_true", help="publish /clock in bag time")
    text = "play these, commands too"
    add("--topics", nargs="+", metavar="TOPIC", default=[], help=text)
    text = "skip the begin of the bag (%(default)s s)"
    add("--start-offset", type=float, metavar="S", default=0.0, help=text)
    add("--loop", action="store_true", help="start again at the end, until Ctrl-C")
    add("--no-wait", action="store_true", help="start before every topic has a subscriber")
    return answer(parser, words, _main)


def _main(options: argparse.Namespace, ros_arguments: Sequence[str]) -> int:
    """Play the bag once, or until SIGINT or SIGTERM; returns 0, or 1 if something was not played.

    That is a topic of --topics, a message that the bag's files or metadata.yaml count, or
    everything. Raises BagError.
    """
    if not RATES[0] <= options.rate <= RATES[1]:
        raise BagError(f"--rate: got {options.rate}, expected {RATES[0]} to {RATES[1]}")
    stop = stop_on_signals()
    with open_bag(options.bag) as bag:
        start_ns = _start_ns(bag, options.start_offset)
        choice = choose(bag.topics, options.topics, options.clock)
        for line in choice.left_out:
            _say(f"left out {line}")
        complete = _report_differences(choice, options)
        initialise(ros_arguments)
        # This node is never spun, so its parameter services would never answer.
        node = rclpy.create_node("gr00t_bag_player", start_parameter_services=False)
        try:
            refuse_unknown(node)
            publishers = Publishers(node, choice, options.clock)
            complete &= _play(bag, start_ns, choice, publishers, options, stop)
        finally:
            node.destroy_node()
            rclpy.try_shutdown()
    return DONE if complete else NO


def _report_differences(choice: Choice, options: argparse.Namespace) -> bool:
    """Print where metadata.yaml's counts differ; False if a wanted topic or message is missing."""
    for topic, _ in choice.played:
        if topic.difference:
            _say(f"{topic.name}: {topic.difference}")
    given = {CLOCK_TOPIC} if options.clock else set()
    named = set(options.topics) - given <= set(choice.names)
    return named and not any(topic.lost for topic, _ in choice.played)


def _start_ns(bag: Bag, offset_s: float) -> int:
    span_s = (bag.end_ns - bag.start_ns) * 1e-9
    if not 0.0 <= offset_s <= span_s:
        raise BagError(f"--start-offset: got {offset_s}, expected 0 to {span_s:.3f} s")
    return bag.start_ns + round(offset_s * 1e9)


def _play(
    bag: Bag,
    start_ns: int,
    choice: Choice,
    publishers: Publishers,
    options: argparse.Namespace,
    stop: threading.Event,
) -> bool:
    """Play the bag; False if fewer messages were played than the files hold, or can be read."""
    if not options.no_wait:
        _wait_for_subscribers(publishers, start_ns, stop)
    period_ns = clock_period_ns(options.rate) if options.clock else None
    complete = True
    while not stop.is_set():
        broken: list[str] = []
        messages = bag.messages(choice.names, start_ns, broken.append)
        events = merge_clock(messages, start_ns, period_ns)
        played = run(events, start_ns, options.rate, publishers.publish, stop)
        _say(_summary(played, len(choice.names)))
        if broken:
            _say(f"left out {len(broken)} messages that cannot be read, the first: {broken[0]}")
            complete = False
        if not stop.is_set() and (problem := _shortfall(played, choice, start_ns == bag.start_ns)):
            _say(problem)
            complete = False
        if not options.loop:
            break
    # A message that is not acknowledged is lost when this process ends.
    if not stop.is_set() and not publishers.flush(FLUSH_S):
        _say(f"a subscriber has not taken everything within {FLUSH_S:.0f} s")
    return complete


def _shortfall(played: PlayResult, choice: Choice, whole: bool) -> str:
    """What is missing in a complete run; `whole`: it began at the bag's first message."""
    expected = sum(topic.count for topic, _ in choice.played)
    if whole and played.messages < expected:
        return f"{expected - played.messages} of {expected} messages in the files were not played"
    return "" if played.messages else "nothing was played: no such message after the start"


def _wait_for_subscribers(publishers: Publishers, start_ns: int, stop: threading.Event) -> None:
    """Wait until all topics have a subscriber; /clock shows the start, so that nodes have time."""
    remind_at, settled = time.monotonic() + REMIND_S, 0
    while settled < LOOKS_TO_SETTLE:
        waited_for = publishers.without_subscriber()
        settled = 0 if waited_for else settled + 1
        publishers.publish(start_ns, None)
        if waited_for and time.monotonic() > remind_at:
            _say(
                f"waiting for a subscriber of {', '.join(waited_for)} (or give --no-wait, --topics)"
            )
            remind_at += REMIND_S
        if stop.wait(LOOK_S):
            return


def _summary(played: PlayResult, topics: int) -> str:
    return (
        f"played {played.messages} messages of {topics} topics in {played.seconds:.2f} s, "
        f"at most {played.worst_late_s * 1e3:.0f} ms late"
    )


def _say(line: str) -> None:
    print(f"gr00t bag: {line}", file=sys.stderr, flush=True)
