"""Messages and clock ticks are published in order, at deadlines that do not drift, until a stop."""

import threading

import pytest

from gr00t_ros.bags.bag import BagMessage
from gr00t_ros.bags.play import clock_period_ns, merge_clock, run

MS = 1_000_000


def messages(*times_ms):
    """Messages of these bag times."""
    return [BagMessage("/a", ms * MS, b"") for ms in times_ms]


def test_a_tick_comes_before_the_message_of_its_time_and_none_after_the_last():
    """A node never sees a message before the clock has reached it by a period."""
    events = list(merge_clock(messages(100, 103, 110), 100 * MS, 5 * MS))
    assert [(ns // MS, m is not None) for ns, m in events] == [
        (100, False),
        (100, True),
        (103, True),
        (105, False),
        (110, False),
        (110, True),
    ]


def test_without_a_period_there_are_only_messages():
    """Somebody else gives the clock."""
    assert [m for _, m in merge_clock(messages(1, 2), 0, None)] == messages(1, 2)


@pytest.mark.parametrize(("rate", "period_ms"), [(1.0, 5.0), (4.0, 5.0), (0.1, 0.5)])
def test_ticks_are_dense_in_steady_and_in_bag_time(rate, period_ms):
    """200 a second of each, or more: slow motion must not make the clock stand still."""
    assert clock_period_ns(rate) == period_ms * MS


def test_nothing_is_published_before_its_deadline_and_everything_in_order():
    """50 ms of bag time at rate 2 take 25 ms at least."""
    seen = []
    events = merge_clock(messages(1000, 1020, 1050), 1000 * MS, None)
    played = run(events, 1000 * MS, 2.0, lambda ns, m: seen.append(ns // MS), threading.Event())
    assert seen == [1000, 1020, 1050]
    assert played.messages == 3
    assert played.seconds >= 0.025


def test_a_stop_ends_it_before_the_next_event():
    """A message that is an hour away is not waited for."""
    stop, seen = threading.Event(), []

    def publish(bag_ns, message):
        seen.append(bag_ns)
        stop.set()

    played = run(merge_clock(messages(0, 3_600_000), 0, None), 0, 1.0, publish, stop)
    assert (seen, played.messages) == ([0], 1)
