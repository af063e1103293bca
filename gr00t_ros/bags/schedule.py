"""When what of a bag is published: messages and clock ticks in one order, on steady deadlines.

Pure but for `run`, which waits. Refuses to know how anything is published.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gr00t_ros.bags.bag import BagMessage

CLOCK_HZ = 200.0
"""Ticks of /clock a second, of steady or of bag time, whichever makes more: ages that a node
judges (30 ms into the future) are then off by 5 ms at most."""

Event = tuple[int, BagMessage | None]
"""Bag time, ns, and the message that is due; None: a tick of the clock."""


def clock_period_ns(rate: float) -> int:
    """Bag time between two ticks when a second of steady time is `rate` seconds of bag time."""
    return round(1e9 / CLOCK_HZ * min(rate, 1.0))


def merge_clock(
    messages: Iterable[BagMessage], start_ns: int, period_ns: int | None
) -> Iterator[Event]:
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
class Played:
    """What one run published, how long it took and how far its latest event was behind."""

    messages: int
    seconds: float
    worst_late_s: float


def run(
    events: Iterable[Event],
    start_ns: int,
    rate: float,
    publish: Callable[[int, BagMessage | None], None],
    stop: threading.Event,
) -> Played:
    """Publish each event at its deadline since now, until the last one or `stop`.

    Deadlines are absolute, so delays do not add up; what is late is published at once.
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
    return Played(count, (time.monotonic_ns() - begin_ns) * 1e-9, worst_ns * 1e-9)
