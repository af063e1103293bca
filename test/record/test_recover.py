"""Episodes are rebuilt from their bags as their recorder knew them."""

import json

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags.rosbag2", reason="rosbags is not installed")

from rclpy.qos import QoSProfile  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402

from gr00t_ros.msg import EpisodeEvent, PolicyStatus  # noqa: E402
from gr00t_ros.record.episode_bag import EpisodeBag, channel_of  # noqa: E402
from gr00t_ros.record.facts import read_facts  # noqa: E402
from gr00t_ros.record.recording import Recording  # noqa: E402
from gr00t_ros.record.recover import recover  # noqa: E402

S = 10**9
EVENTS = channel_of("/gr00t_record/events", "gr00t_ros/msg/EpisodeEvent", QoSProfile(depth=1))
STATUS = channel_of("/left/policy/status", "gr00t_ros/msg/PolicyStatus", QoSProfile(depth=1))


def killed(folder, *events, index=0):
    """The folder of an episode with these (s, event, source, text), before its episode.json."""
    episode = Recording(folder, "franka_droid", 0).episode(index)
    bag = EpisodeBag(episode)
    bag.write(STATUS, 9 * S, serialize_message(PolicyStatus()))
    for at_s, name, source, text in events:
        message = EpisodeEvent(episode=index, event=name, source=source, text=text)
        bag.write(EVENTS, at_s * S, serialize_message(message))
    bag.write(STATUS, 20 * S, serialize_message(PolicyStatus()))
    bag.close()
    return episode


START = (10, "start", "policy", "open the door")


@pytest.mark.parametrize(
    ("end", "outcome", "success"),
    [
        ("stop", "kept", None),
        ("success", "kept", True),
        ("failure", "kept", False),
        ("discard", "discarded", None),
    ],
)
def test_an_episode_that_had_ended_keeps_its_label_and_its_end(tmp_path, end, outcome, success):
    """Its recorder was killed while the queue was written."""
    episode = killed(tmp_path, START, (12, "intervene", "policy", ""), (15, end, "human", ""))
    (line,) = recover(tmp_path)
    said = {True: "success", False: "failure", None: "success unknown"}[success]
    assert line == f"{episode}: 5.0 s recovered; {outcome}, {said}"
    facts = read_facts(episode)
    assert facts is not None
    assert (facts.outcome, facts.success) == (outcome, success)
    assert (facts.start_ns, facts.stop_ns) == (10 * S, 15 * S)
    assert facts.interventions == [(12 * S, 15 * S)]
    assert "after its end" in facts.problem


def test_an_episode_that_ended_with_a_problem_says_which(tmp_path):
    """It is kept, as its recorder would have kept it."""
    episode = killed(tmp_path, START, (15, "problem", "policy", "the disk is full"))
    list(recover(tmp_path))
    facts = read_facts(episode)
    assert facts is not None and facts.outcome == "kept"
    assert facts.problem.startswith("the disk is full; recovered")


def test_the_events_of_another_episode_do_not_count(tmp_path):
    """As where the topic of events is recorded as well: the last one is latched."""
    episode = killed(tmp_path, START, index=1)
    bag_event = EpisodeEvent(episode=0, event="discard")
    other = Recording(tmp_path, "franka_droid", 0).episode(2)
    bag = EpisodeBag(other)
    bag.write(EVENTS, 9 * S, serialize_message(bag_event))
    begin = EpisodeEvent(episode=2, event="start", source="idle")
    bag.write(EVENTS, 10 * S, serialize_message(begin))
    bag.close()
    assert len(list(recover(tmp_path))) == 2
    for one in (episode, other):
        facts = read_facts(one)
        assert facts is not None and (facts.outcome, facts.success) == ("kept", None)
