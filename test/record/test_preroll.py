"""What goes in front of an episode, and messages that were lost on the way."""

import pytest

from gr00t_ros.record.mcap_file import Channel
from gr00t_ros.record.preroll import Message, Preroll
from gr00t_ros.record.sequence import SequenceGaps


def add(preroll, topic, time_ns, data=b"", latched=False):
    """Add a message."""
    channel = Channel(topic, "std_msgs/msg/String", "", "", "")
    preroll.add(Message(channel, time_ns, data), latched)


def kept(preroll, now_ns):
    """(topic, time, data) of the pre-roll."""
    return [(one.channel.topic, one.time_ns, one.data) for one in preroll.messages(now_ns)]


def test_the_span_is_kept_and_no_more():
    """In the order of receipt."""
    preroll = Preroll(100)
    for time_ns in range(0, 500, 30):
        add(preroll, "/a", time_ns)
    assert [time_ns for _, time_ns, _ in kept(preroll, 480)] == [390, 420, 450, 480]
    assert kept(preroll, 600) == []


def test_latched_messages_stay_with_the_time_at_which_the_preroll_begins():
    """The last one of each topic; of /tf_static all, because each publisher has its own."""
    preroll = Preroll(100)
    add(preroll, "/robot_description", 1, b"old", latched=True)
    add(preroll, "/robot_description", 2, b"new", latched=True)
    for n in range(3):
        add(preroll, "/tf_static", 3 + n, bytes([n]), latched=True)
    add(preroll, "/a", 5)
    add(preroll, "/a", 1000)
    assert kept(preroll, 1010) == [
        ("/robot_description", 910, b"new"),
        *(("/tf_static", 910, bytes([n])) for n in range(3)),
        ("/a", 1000, b""),
    ]


def lost(numbers, publishers=1):
    """What is counted as lost in front of each number."""
    gaps = SequenceGaps()
    return [gaps.lost(number, publishers) for number in numbers]


@pytest.mark.parametrize(
    ("numbers", "publishers", "expected"),
    [
        ([7, 8, 9], 1, [0, 0, 0]),
        ([7, 8, 11, 12], 1, [0, 0, 2, 0]),
        ([7, 8, 1, 2, 4], 1, [0, 0, 0, 0, 1]),  # the publisher was started again
        ([7, 100, 8, 101, 9], 2, [0, 0, 0, 0, 0]),
        ([7, 100, 8, 103, 10], 2, [0, 0, 0, 2, 1]),
        ([None, None], 1, [0, 0]),
    ],
)
def test_gaps_in_the_publishers_counts_are_lost_messages(numbers, publishers, expected):
    """Also where two publishers count on one topic."""
    assert lost(numbers, publishers) == expected


def test_a_publisher_that_has_left_is_forgotten():
    """The other one's count goes on."""
    gaps = SequenceGaps()
    assert [gaps.lost(number, 2) for number in (5, 50, 6, 51)] == [0, 0, 0, 0]
    assert sum(gaps.lost(number, 1) for number in (52, 53, 55)) == 1
