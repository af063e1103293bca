"""Which topics are recorded, and how messages that were lost on the way are counted."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.record.topics import RecordedTopic, SequenceGaps, recorded_topics  # noqa: E402
from gr00t_ros.robot.files import load_embodiment, shipped_embodiments  # noqa: E402

OF_ALL = ("/gr00t_policy/status", "/gr00t_policy/action_chunk", "/tf_static", "/robot_description")


@pytest.mark.parametrize("name", shipped_embodiments())
def test_everything_that_an_embodiment_names_is_recorded(name):
    """Streams, states, what controllers get, and the windows where a streamer plays them."""
    robot = load_embodiment(name)
    topics = recorded_topics(robot, "/gr00t_policy", ["/extra", "/tf_static"])
    assert len(topics) == len(set(topics)) and {*OF_ALL, "/extra"} <= set(topics)
    assert all(topic.startswith("/") for topic in topics)
    assert {topic for stream in robot.streams for topic in stream.topics} <= set(topics)
    for output in robot.outputs:
        assert {output.topic, output.state_topic} <= set(topics)
        windows = f"/gr00t_policy/windows/{output.name}"
        assert (windows in topics) == (output.type != "joint_trajectory")
    for command in robot.commands:
        assert (command.topic in topics) == (command.goals is None), "goals go to an action"
        assert f"/gr00t_policy/windows/{command.name}" in topics


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


def test_times_rise_although_a_repaired_message_is_told_late():
    """As Fast DDS 3 tells them; a clock that was set back by more counts as it is."""
    told = iter([1_000, 5_000, 2_000, 5_000, 6_000, 6_000 - 10 * 10**9])
    topic = RecordedTopic(SimpleNamespace(resolve_topic_name=lambda name, **_: name), "/a")

    class Repaired:
        """A subscription of which one message had to be sent again."""

        number = None

        def take(self):
            self.received_ns = next(told)
            return b""

    topic._subscription = Repaired()
    times = [topic.take()[0] for _ in range(6)]
    assert times == [1_000, 5_000, 5_001, 5_002, 6_000, 6_000 - 10 * 10**9]
