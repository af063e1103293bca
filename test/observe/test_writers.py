"""Who sends what on one topic, told apart by the numbers of the messages; time as integers."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.observe.joint_states import (
    FASTEST_HZ,
    REMEMBERED_NS,
    SKIPPED,
    WHOLE,
    JointPublishers,
)

MS = 1_000_000
START = 10**12
HANDOVER_NS = 100 * MS
ARM, HAND = frozenset({"a1", "a2"}), frozenset({"hand"})


class Publisher:
    """Numbers its messages, from `number` on."""

    def __init__(self, keys, number=1):
        self.keys, self.numbers = keys, itertools.count(number)

    def send(self, publishers, now_ns):
        """Whether this publisher's next message was taken."""
        return publishers.see(self.keys, next(self.numbers), START + now_ns)


def alternate(first, second, until_ms=1000, periods_ms=(10, 33)):
    """Both publish until then; what was taken of each, and what is mixed afterwards."""
    publishers = JointPublishers(HANDOVER_NS)
    taken = {id(first): [], id(second): []}
    due = sorted(
        (t * MS, n, who)
        for n, (who, period) in enumerate(zip((first, second), periods_ms, strict=True))
        for t in range(n * 7, until_ms, period)
    )
    for now_ns, _, who in due:
        taken[id(who)].append(who.send(publishers, now_ns))
    return taken[id(first)], taken[id(second)], publishers.mixed(START + until_ms * MS)


@pytest.mark.parametrize("numbers", [(1, 1), (1, 100_000), (100_000, 1), (5, 6), (50_000, 50_001)])
@pytest.mark.parametrize("periods_ms", [(10, 10), (1, 33), (33, 1), (10, 200), (200, 210)])
def test_two_publishers_of_the_same_joints_are_found(numbers, periods_ms):
    """Whatever their rates, and wherever their counts are."""
    one, other = (Publisher(ARM, number) for number in numbers)
    _, _, mixed = alternate(one, other, periods_ms=periods_ms)
    assert mixed == ("a1", "a2")


def test_not_one_message_of_a_second_publisher_is_used():
    """Zeros beside the robot's own joint states are never an observation."""
    own, zeros = Publisher(ARM, 40_000), Publisher(ARM)
    taken, foreign, _ = alternate(own, zeros)
    assert all(taken)
    assert not any(foreign)


def test_only_the_joints_that_both_send_are_mixed():
    """A joint_state_publisher of the arm alone leaves the gripper's joints as they are."""
    own, zeros = Publisher(ARM | HAND, 40_000), Publisher(ARM)
    assert alternate(own, zeros)[2] == ("a1", "a2")


def test_publishers_of_different_joints_share_a_topic():
    """An arm and its gripper; one publisher that sends both in turns as well."""
    taken = alternate(Publisher(ARM, 9000), Publisher(HAND))
    assert all(taken[0]) and all(taken[1])
    assert taken[2] == ()
    both, publishers = itertools.count(1), JointPublishers(HANDOVER_NS)
    assert all(publishers.see(keys, next(both), START) for keys in (ARM, HAND, ARM | HAND) * 30)
    assert publishers.mixed(START) == ()


@pytest.mark.parametrize(("lived", "gap_ms"), [(3, 400), (40_000, 400), (40_000, 20)])
def test_a_restarted_publisher_is_no_second_one(lived, gap_ms):
    """Its messages count from the handover on; the old count is never heard again."""
    publishers, old, new = JointPublishers(HANDOVER_NS), Publisher(ARM, lived), Publisher(ARM)
    old.send(publishers, 0)
    taken = [new.send(publishers, (gap_ms + 10 * k) * MS) for k in range(200)]
    first = taken.index(True)
    assert first == max(0, (HANDOVER_NS // MS - gap_ms) // 10 + 1)
    assert all(taken[first:])
    assert publishers.mixed(START + 3000 * MS) == ()


def test_a_second_publisher_that_left_is_forgotten():
    """At once where the graph has one publisher only, and at the latest after a while."""
    own, zeros = Publisher(ARM, 40_000), Publisher(ARM)
    publishers = JointPublishers(HANDOVER_NS)
    for k in range(10):
        own.send(publishers, 10 * k * MS)
        zeros.send(publishers, (10 * k + 1) * MS)
    now_ns = START + 100 * MS
    publishers.graph(2)
    assert publishers.mixed(now_ns)
    assert publishers.mixed(now_ns + REMEMBERED_NS) == ()
    publishers.graph(1)
    assert publishers.mixed(now_ns) == ()
    assert own.send(publishers, 110 * MS)


def test_a_reader_that_slept_believes_its_publisher():
    """A stopped process finds the count far ahead, by no more than the time explains."""
    publishers = JointPublishers(HANDOVER_NS)
    assert publishers.see(WHOLE, 1, START)
    assert publishers.see(WHOLE, 1 + SKIPPED + FASTEST_HZ, START + 1_000 * MS)
    assert not publishers.see(WHOLE, 2 + 2 * SKIPPED + FASTEST_HZ, START + 1_000 * MS)


@settings(max_examples=examples(200), deadline=None)
@given(st.integers(0, 2**32), st.floats(0.0, 0.7), st.integers(1, 100_000))
def test_one_publisher_is_never_taken_for_two(seed, loss, number):
    """Whatever is lost, at any rate, in any pause, with its joints in any portions."""
    chance, publishers, now_ns = random.Random(seed), JointPublishers(HANDOVER_NS), 0
    one = itertools.count(number)
    for _ in range(200):
        now_ns += chance.choice((0, MS // 10, MS, 30 * MS, 5_000 * MS))
        sent = next(one)
        if chance.random() >= loss:
            keys = chance.choice((ARM, HAND, ARM | HAND, frozenset({"a1"})))
            assert publishers.see(keys, sent, START + now_ns)
        assert publishers.mixed(START + now_ns) == ()


def test_how_long_a_joint_came_from_one_publisher_alone_counts_from_the_other_ones_last_message():
    """Whether that was refused or took over; a joint that never came has no such time."""
    own, other, publishers = Publisher(ARM, 40_000), Publisher({"a1"}), JointPublishers(HANDOVER_NS)
    since = lambda *keys: publishers.alone_since_ns(keys)  # noqa: E731
    assert since("a1") is None
    for now_ms in (0, 10, 20):
        own.send(publishers, now_ms * MS)
    assert since("a1", "a2") == START
    assert since("a1", "hand") is None
    assert not other.send(publishers, 25 * MS)
    own.send(publishers, 30 * MS)
    assert (since("a1"), since("a2"), since("a1", "a2")) == (
        START + 25 * MS,
        START,
        START + 25 * MS,
    )
    assert Publisher(ARM).send(publishers, 500 * MS), "it took over"
    assert since("a1", "a2") == START + 500 * MS


@pytest.mark.parametrize("publishers_now", [0, 1, 3])
def test_without_numbers_that_time_begins_anew_when_the_graph_changes(publishers_now):
    """What was taken before may be another publisher's."""
    publishers = JointPublishers(HANDOVER_NS)
    publishers.graph(2)
    for now_ms in range(0, 100, 10):
        publishers.see(ARM, None, START + now_ms * MS)
        publishers.graph(2)
    assert publishers.alone_since_ns(ARM) == START
    publishers.graph(publishers_now)
    assert publishers.alone_since_ns(ARM) is None
    publishers.see(ARM, None, START + 100 * MS)
    assert publishers.alone_since_ns(ARM) == START + 100 * MS


def test_without_numbers_each_publisher_needs_joints_of_its_own():
    """A middleware that tells no numbers cannot tell whose a joint is: the graph must."""
    publishers = JointPublishers(HANDOVER_NS)
    assert publishers.see(ARM, None, START) and publishers.see(HAND, None, START)
    publishers.graph(2)
    assert publishers.mixed(START) == ()
    publishers.graph(3)
    assert publishers.mixed(START) == ("a1", "a2", "hand")
    publishers.graph(2)
    publishers.see(ARM | HAND, None, START)
    assert publishers.mixed(START) == ("a1", "a2", "hand")
    publishers.graph(1)
    assert publishers.mixed(START) == ()
    assert JointPublishers(HANDOVER_NS).mixed(START) == ()


def test_ever_new_sets_of_joints_take_no_memory():
    """A publisher of nonsense does not fill the node."""
    publishers = JointPublishers(HANDOVER_NS)
    for k in range(2000):
        publishers.see(frozenset({f"j{k}"}), k + 1, START)
        publishers.see(frozenset({f"j{k}"}), None, START)
    assert len(publishers._tracks) <= 256 and len(publishers._unnumbered) <= 256


@given(st.lists(st.tuples(st.integers(-80, 80), st.integers(0, 3)), min_size=2, max_size=60))
@settings(max_examples=examples(100))
def test_one_publisher_is_one_however_late_the_threads_that_read_it_are(steps):
    """Two threads that take its messages by turns may have read the clock in another order."""
    publishers, number = JointPublishers(HANDOVER_NS), 0
    for index, (jitter_ms, lost) in enumerate(steps):
        number += 1 + lost
        now_ns = START + (index * 20 + jitter_ms) * MS
        assert publishers.see(ARM, number, now_ns)
    assert publishers.mixed(START + len(steps) * 20 * MS) == ()
