"""gr00t-bag play: publishes a bag in its own rhythm, with /clock in bag time where asked for."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Sequence

import rclpy

from gr00t_ros.bags.bag import Bag, open_bag
from gr00t_ros.bags.publishers import CLOCK_TOPIC, Choice, Publishers, choose
from gr00t_ros.bags.schedule import Played, clock_period_ns, merge_clock, run
from gr00t_ros.core.errors import BagError
from gr00t_ros.ros.spin import initialise
from gr00t_ros.ros.unknown import refuse_unknown

LOOK_S = 0.05
LOOKS_TO_SETTLE = 5
"""A subscriber that is seen here may not see this publisher yet, and would miss the first."""

REMIND_S = 2.0
FLUSH_S = 5.0
RATES = (0.01, 100.0)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what the command line takes."""
    parser.add_argument("bag", help="folder of the bag, or a single .db3 or .mcap file")
    parser.add_argument("--rate", type=float, default=1.0, help="speed of bag time, default 1")
    parser.add_argument("--clock", action="store_true", help="publish /clock in bag time")
    parser.add_argument("--topics", nargs="+", default=[], help="play these, commands too")
    parser.add_argument(
        "--start-offset", type=float, default=0.0, metavar="S", help="skip the first S seconds"
    )
    parser.add_argument("--loop", action="store_true", help="start again at the end, for ever")
    parser.add_argument(
        "--no-wait", action="store_true", help="start before every topic has a subscriber"
    )


def main(options: argparse.Namespace, ros_arguments: Sequence[str]) -> int:
    """Play the bag once, or until SIGINT or SIGTERM; 0 then, 1 where something is missing.

    Missing: a topic of --topics, a message that the bag's files or metadata.yaml count, or
    everything. Raises BagError.
    """
    if not RATES[0] <= options.rate <= RATES[1]:
        raise BagError(f"--rate: got {options.rate}, expected {RATES[0]} to {RATES[1]}")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with open_bag(options.bag) as bag:
        start_ns = _start_ns(bag, options.start_offset)
        choice = choose(bag.topics, options.topics, options.clock)
        for line in choice.left_out:
            _say(f"left out {line}")
        complete = _tell_differences(choice, options)
        initialise(ros_arguments)
        # Nothing spins here, so services of parameters would never answer.
        node = rclpy.create_node("gr00t_bag_player", start_parameter_services=False)
        try:
            refuse_unknown(node)
            publishers = Publishers(node, choice, options.clock)
            complete &= _play(bag, start_ns, choice, publishers, options, stop)
        finally:
            node.destroy_node()
            rclpy.try_shutdown()
    return 0 if complete else 1


def _tell_differences(choice: Choice, options: argparse.Namespace) -> bool:
    """Say where metadata.yaml counts otherwise; False if what was asked for is not in the files."""
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
    """False where fewer messages were played than the files hold."""
    if not options.no_wait:
        _wait_for_subscribers(publishers, start_ns, stop)
    period_ns = clock_period_ns(options.rate) if options.clock else None
    complete = True
    while not stop.is_set():
        events = merge_clock(bag.messages(choice.names, start_ns), start_ns, period_ns)
        played = run(events, start_ns, options.rate, publishers.publish, stop)
        _say(_summary(played, len(choice.names)))
        if not stop.is_set() and (problem := _shortfall(played, choice, start_ns == bag.start_ns)):
            _say(problem)
            complete = False
        if not options.loop:
            break
    # What is not acknowledged dies with this process.
    if not stop.is_set() and not publishers.flush(FLUSH_S):
        _say(f"a subscriber has not taken everything within {FLUSH_S:.0f} s")
    return complete


def _shortfall(played: Played, choice: Choice, whole: bool) -> str:
    """What is missing of a run that came to its end; `whole`: from the bag's first message on."""
    expected = sum(topic.count for topic, _ in choice.played)
    if whole and played.messages < expected:
        return f"{expected - played.messages} of {expected} messages in the files were not played"
    return "" if played.messages else "nothing was played: no such message from there on"


def _wait_for_subscribers(publishers: Publishers, start_ns: int, stop: threading.Event) -> None:
    """Until every topic is heard; the clock stands at the start, so that nodes have a time."""
    remind_at, settled = time.monotonic() + REMIND_S, 0
    while settled < LOOKS_TO_SETTLE:
        unheard = publishers.unheard()
        settled = 0 if unheard else settled + 1
        publishers.publish(start_ns, None)
        if unheard and time.monotonic() > remind_at:
            _say(f"waiting for a subscriber of {', '.join(unheard)} (or give --no-wait, --topics)")
            remind_at += REMIND_S
        if stop.wait(LOOK_S):
            return


def _summary(played: Played, topics: int) -> str:
    return (
        f"played {played.messages} messages of {topics} topics in {played.seconds:.2f} s, "
        f"at most {played.worst_late_s * 1e3:.0f} ms late"
    )


def _say(line: str) -> None:
    print(f"gr00t-bag: {line}", file=sys.stderr, flush=True)
