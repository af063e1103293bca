"""gr00t_ros.ros.source with messages handed in and time as integers."""

import pytest

from gr00t_ros.core.errors import ObservationError
from gr00t_ros.ros.source import REBASE_NS, History, Source

MS = 1_000_000
START = 10**12
HISTORY = History(2000 * MS, 10**9)


class FakeSubscription:
    """Stands where PulledSubscription does; `waiting` is its depth-1 queue."""

    topic = "/topic"

    def __init__(self):
        self.waiting = None

    def take(self):
        taken, self.waiting = self.waiting, None
        if isinstance(taken, Exception):
            raise taken
        return taken


def _source(period_ns=50 * MS):
    return Source(FakeSubscription(), lambda message: message, HISTORY, period_ns)


def _receive(source, message, now_ns):
    source.subscription.waiting = message
    source.pull(now_ns)


def test_a_good_message_becomes_a_sample():
    """With its stamp, when it was taken, and its value."""
    source = _source()
    _receive(source, (5, "value"), START)
    newest = source.buffer.latest()
    assert (newest.stamp_ns, newest.received_ns, newest.value) == (5, START, "value")
    assert (source.received, source.refused, source.problem) == (1, 0, "")


def test_nothing_waiting_changes_nothing():
    """A pull between two messages is no event."""
    source = _source()
    source.pull(START)
    assert (source.received, len(source.buffer)) == (0, 0)


def test_a_stamp_of_zero_is_refused_and_said():
    """The time of arrival never stands in for the time of measurement."""
    source = _source()
    _receive(source, (0, "value"), START)
    assert source.buffer.latest() is None
    assert (source.received, source.refused) == (1, 1)
    assert "header stamp is zero" in source.problem


def test_a_repeated_stamp_is_refused_for_ever():
    """A frozen driver is never mistaken for a new time base."""
    source = _source()
    for index in range(5):
        _receive(source, (7, index), START + index * REBASE_NS)
    assert source.buffer.latest().value == 0
    assert source.refused == 4
    assert "same stamp" in source.problem


def test_a_stamp_that_goes_back_is_refused_while_the_newer_one_is_recent():
    """A second publisher with an older clock does not take over."""
    source = _source()
    _receive(source, (900 * MS, "new"), START)
    _receive(source, (400 * MS, "old"), START + REBASE_NS)
    assert source.buffer.latest().value == "new"
    assert "went back by 0.500 s" in source.problem


def test_a_clock_that_stays_back_becomes_the_new_time_base():
    """One stamp from the future does not silence a camera until the node restarts."""
    source = _source()
    _receive(source, (10**18, "from the future"), START)
    _receive(source, (900 * MS, "old base"), START + REBASE_NS)
    _receive(source, (950 * MS, "new base"), START + REBASE_NS + 1)
    assert (source.buffer.latest().value, len(source.buffer)) == ("new base", 1)
    assert source.problem == ""


def test_the_next_good_message_clears_the_problem():
    """What is over is not reported, but it was counted."""
    source = _source()
    _receive(source, (0, "value"), START)
    _receive(source, (1, "value"), START)
    assert (source.problem, source.refused) == ("", 1)


def test_a_message_that_cannot_be_read_is_a_problem_and_no_sample():
    """Neither the middleware's refusal nor the reader's leaves the source."""

    def refuse(message):
        raise ObservationError("encoding 'mono16'")

    source = Source(FakeSubscription(), refuse, History(MS, 1), MS)
    _receive(source, "message", START)
    assert (source.problem, source.received, source.refused) == ("encoding 'mono16'", 1, 1)
    _receive(source, ObservationError("cannot take"), START)
    assert (source.problem, len(source.buffer)) == ("cannot take", 0)


def test_pulls_stay_on_the_grid_of_their_period():
    """A late tick neither shifts the following ones nor makes them catch up."""
    source = _source(period_ns=50 * MS)
    ticks = [0, 20, 35, 55, 80, 100, 275, 280, 310]
    due = [tick for tick in ticks if source.due(START + tick * MS)]
    assert due == [0, 55, 100, 275, 310]


def test_a_pull_for_an_observation_postpones_the_next_by_a_period():
    """A camera is looked at as often as it must be, not more often while the policy is asked."""
    source = _source(period_ns=50 * MS)
    assert source.due(0)
    source.postpone(30 * MS)
    assert not source.due(50 * MS)
    assert source.due(80 * MS)


def test_a_timer_of_the_same_period_may_jitter():
    """No tick is skipped because it comes a little earlier than the first did."""
    source = _source(period_ns=20 * MS)
    jitter = [3, 0, 2, 0, 4, 0]
    assert all(source.due(START + (20 * k + j) * MS) for k, j in enumerate(jitter))


def _frames(source, sizes):
    for index, size in enumerate(sizes):
        _receive(source, bytes(size), START + index)


@pytest.mark.parametrize(("max_bytes", "kept"), [(10_000, 10), (500, 1)])
def test_large_messages_are_dropped_oldest_first_at_the_memory_cap(max_bytes, kept):
    """The history never takes more memory than it may; the newest is always there."""
    stamps = iter(range(1, 100))
    source = Source(
        FakeSubscription(),
        lambda raw: (next(stamps), raw),
        History(2000 * MS, max_bytes),
        50 * MS,
    )
    _frames(source, [1000] * 30)
    assert len(source.buffer) == kept
    assert source.buffer.latest().stamp_ns == 30
    assert "of its history fit into" in source.problem


def test_growing_messages_keep_to_the_cap():
    """A camera that changes to larger pictures gets fewer of them."""
    stamps = iter(range(1, 100))
    source = Source(
        FakeSubscription(),
        lambda raw: (next(stamps), raw),
        History(2000 * MS, 100_000),
        50 * MS,
    )
    _frames(source, [1000] * 30)
    assert (len(source.buffer), source.problem) == (30, "")
    _frames(source, [10_000] * 30)
    assert len(source.buffer) == 10


def test_a_larger_message_costs_the_oldest_samples_alone():
    """A compressed frame larger than any before must not empty the history (22 frames to 1)."""
    stamps = iter(range(1, 100))
    source = Source(
        FakeSubscription(),
        lambda raw: (next(stamps), raw),
        History(2000 * MS, 10_000),
        50 * MS,
    )
    _frames(source, [400] * 22)
    _frames(source, [500])
    assert (len(source.buffer), source.buffer.oldest().stamp_ns) == (20, 4)
    assert source.buffer.latest().stamp_ns == 23


def test_clear_forgets():
    """After a clock jump nothing of the former time remains."""
    source = _source()
    _receive(source, (5, "value"), START)
    source.clear()
    assert len(source.buffer) == 0
    assert source.silent(START, 10 * MS)


def test_silence_counts_from_the_last_usable_message():
    """What cannot be used is no sign of life."""
    source = _source()
    _receive(source, (5, "value"), START)
    _receive(source, (5, "again"), START + 20 * MS)
    assert not source.silent(START + 10 * MS, 10 * MS)
    assert source.silent(START + 11 * MS, 10 * MS)
