"""What a queue has lost counts with a bound of its way; times are integers."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.observe.transit import KNOWN_NS, KNOWN_OF, LEAST_OF, LOOKED_NS, LeastWay, Transit

MS = 1_000_000
START = 10**15


def longest(*messages, full=False, transit=None, at_ns=0):
    """The longest way after one pull of messages: number, sent and arrived in ms."""
    transit = transit or Transit()
    for number, sent, arrived in messages:
        transit.take(number, START + sent * MS if sent else 0, START + arrived * MS)
    if full:
        transit.overflow()
    found = transit.longest_ns(START + at_ns, 0)
    return None if found is None else found / MS


@pytest.mark.parametrize(
    ("messages", "full", "expected"),
    [
        ([(1, 10, 11), (2, 20, 23)], False, 3),
        ([(1, 10, 11), (3, 30, 31)], False, 1),  # one was lost on its way, as a window may be
        ([(1, 10, 11), (3, 30, 31)], True, 21),  # or it was overwritten
        ([(1, 10, 11), (4, 40, 41)], False, 31),  # more of them: a stall may have lost them
        ([(1, 10, 11), (4, 40, 41), (5, 50, 51)], True, 31),
        ([(7, 10, 11), (1, 40, 41)], False, 1),  # another publisher, after a silence
        ([(None, 10, 11), (None, 40, 41)], False, 1),
        ([(None, 10, 11), (None, 40, 41)], True, None),
        ([(1, 0, 11), (4, 40, 41)], False, None),
    ],
)
def test_a_missing_message_took_no_longer_than_its_neighbours_allow(messages, full, expected):
    """It was sent after the one before it, and arrived before the next one."""
    assert longest(*messages, full=full) == expected


def test_a_gap_between_two_pulls_counts():
    """The first message that a full queue has left belongs to the last one of the pull before."""
    transit = Transit()
    assert longest((1, 10, 11), transit=transit) == 1
    assert longest((50, 59, 60), (51, 60, 61), full=True, transit=transit, at_ns=20) == 50


def test_what_was_missing_in_one_pull_is_not_missing_in_the_next():
    """Each pull ends with `longest_ns`."""
    transit = Transit()
    longest((1, 10, 11), (3, 30, 31), transit=transit)
    later = 2 * LOOKED_NS
    assert longest((4, 40, 41), (5, 50, 51), full=True, transit=transit, at_ns=later) == 1


@pytest.mark.parametrize("way", [30, None])
def test_every_look_of_a_reader_finds_what_happened_since_its_last_one(way):
    """However many pulls there were in between, and for no longer."""
    transit, found = Transit(), []
    first = (1, 10, 40) if way else (None, 10, 11)
    for index in range(LOOKED_NS // MS + 2):
        messages = [first] if not index else [(index + 1, 10 + index, 11 + index)]
        full = not index and way is None
        found.append(longest(*messages, full=full, transit=transit, at_ns=index * MS))
    assert found == [way] * (LOOKED_NS // MS + 1) + [1]


@settings(max_examples=examples(200), deadline=None)
@given(
    ways=st.lists(st.integers(0, 100), min_size=2, max_size=60),
    period=st.integers(1, 25),
    kept=st.sets(st.integers(0, 59), min_size=2),
)
def test_no_message_that_was_overwritten_took_longer_than_the_bound(ways, period, kept):
    """Any messages in the order in which they were sent, of which any were overwritten."""
    sent = [index * period for index in range(1, len(ways) + 1)]
    arrived = [sent[0] + ways[0]]
    for at, way in zip(sent[1:], ways[1:], strict=True):
        arrived.append(max(at + way, arrived[-1]))
    taken = sorted(index for index in kept if index < len(ways))
    if len(taken) < 2:
        return
    found = longest(*((i, sent[i], arrived[i]) for i in taken), full=True)
    between = [i for first, last in pairwise(taken) for i in range(first, last + 1)]
    assert found >= max(arrived[i] - sent[i] for i in between)


@pytest.mark.parametrize(
    ("ways", "least"),
    [
        ([60] * (LEAST_OF - 1), None),
        ([60] * LEAST_OF, 60),
        ([900, *range(60, 59 + LEAST_OF)], 60),
        ([2, *[900] * (LEAST_OF - 1)], 2),  # a stall makes all of them late but the first
        ([2, *[900] * LEAST_OF], 900),
        ([-60, *[-90] * (LEAST_OF - 1)], -60),
        ([-60, *[90] * (LEAST_OF - 1)], 0),
        ([0] * LEAST_OF, 0),
    ],
)
def test_the_least_way_is_that_of_several_messages_in_a_row(ways, least):
    """One message says little about a clock: it may have been late."""
    way, found = LeastWay(), None
    for number, one in enumerate(ways):
        found = way.add(one, START + number)
    assert found == least
    way.clear()
    assert way.add(1, START + KNOWN_NS) is None


@pytest.mark.parametrize(("rate_hz", "after_s"), [(1000, 0.024), (50, 0.26), (10, 0.4), (2, 2.0)])
def test_the_least_way_is_known_after_few_messages_of_a_slow_topic(rate_hz, after_s):
    """Unknown is not 0: by 0 the clock would be taken as good."""
    way, known_ns = LeastWay(), None
    for number in range(LEAST_OF):
        now_ns = number * 1_000_000_000 // rate_hz
        found = way.add(60, START + now_ns)
        assert found in (None, 60)
        assert found is None or number + 1 >= KNOWN_OF
        if found is not None and known_ns is None:
            known_ns = now_ns
    assert known_ns == round(after_s * 1e9)
