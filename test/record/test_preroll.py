"""The pre-roll keeps the messages of its span in order, and the last latched ones before it."""

from gr00t_ros.record.mcap_file import Channel
from gr00t_ros.record.preroll import Preroll, RecordedMessage


def add(preroll, topic, time_ns, data=b"", latched=False):
    """Add a message."""
    channel = Channel(topic, "std_msgs/msg/String", "", "", "")
    preroll.add(RecordedMessage(channel, time_ns, data), latched)


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


def test_a_latched_message_outlives_a_silence_after_it():
    """Nothing came since: it is still among the recent ones."""
    preroll = Preroll(100)
    add(preroll, "/robot_description", 10, b"old", latched=True)
    add(preroll, "/a", 15)
    add(preroll, "/robot_description", 20, b"new", latched=True)
    expected = [("/robot_description", 400, b"new")]
    assert kept(preroll, 500) == expected
    assert kept(preroll, 500) == expected, "also of the episode after it"


def test_no_time_is_below_0():
    """A simulation's clock that was set back stands near it."""
    preroll = Preroll(100)
    add(preroll, "/robot_description", 1000, latched=True)
    preroll.clear()
    add(preroll, "/a", 30)
    assert kept(preroll, 40) == [("/robot_description", 0, b""), ("/a", 30, b"")]
