"""What is made of the times and stamps of a topic's messages."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.ros.traffic import Topic  # noqa: E402

MS = 1_000_000


def heard(*pairs):
    """A topic whose messages were received and stamped at these ms."""
    topic = Topic("/camera", 30.0)
    for received_ms, stamp_ms in pairs:
        topic.steady_ns.append(received_ms * MS)
        topic.ros_ns.append(received_ms * MS)
        topic.stamps_ns.append(stamp_ms * MS)
    return topic


def test_the_rate_is_that_of_the_intervals():
    """Three messages in 100 ms are two intervals of 50 ms; one message has none."""
    assert heard((0, 0), (40, 40), (100, 100)).rate_hz == pytest.approx(20.0)
    assert heard((5, 5)).rate_hz == 0.0


def test_one_late_message_is_no_offset_of_the_clocks():
    """The median of arrival less stamp; negative for a clock that is ahead."""
    assert heard((10, 8), (300, 50), (103, 100)).offset_s == pytest.approx(0.003)
    assert heard((10, 110)).offset_s == pytest.approx(-0.1)
    assert heard().offset_s == 0.0


def test_a_stamp_before_the_one_before_runs_backward():
    """An equal one does not: that is a frozen picture."""
    assert heard((0, 10), (5, 9)).backward
    assert not heard((0, 10), (5, 10), (9, 11)).backward


def test_forgetting_begins_anew():
    """Of all three."""
    topic = heard((0, 10), (5, 9))
    topic.forget()
    assert (topic.rate_hz, topic.offset_s, topic.backward) == (0.0, 0.0, False)
