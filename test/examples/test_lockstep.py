"""A demonstration in lockstep is a recording as gr00t record makes it."""

import json

import numpy as np
import pytest
from closed_loop import NEEDS_MODEL
from rclpy.serialization import deserialize_message

from examples.loop.lockstep import FRAME_NS, LIMIT_S, record_episode
from gr00t_ros.bags.bag import open_bag
from gr00t_ros.bags.message_types import message_class
from gr00t_ros.record.recording import Recording
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.sim.robots import make_policy

pytestmark = NEEDS_MODEL
NAME = "franka_droid_n16"


def recorded(folder, seed, limit_s):
    """The facts of an episode, and its messages by topic: (bag time, message)."""
    embodiment = load_embodiment(NAME)
    recording = Recording(folder, NAME, 0)
    where = recording.episode(0)
    facts = record_episode(where, 0, embodiment, make_policy(embodiment), seed, limit_s)
    messages = {}
    with open_bag(where) as bag:
        kinds = {topic.name: message_class(topic.type_name) for topic in bag.topics}
        for one in bag.messages(kinds):
            kind = kinds[one.topic]
            messages.setdefault(one.topic, []).append(
                (one.time_ns, deserialize_message(one.data, kind))
            )
    return facts, messages


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The first two seconds of a demonstration, which is therefore a failed one."""
    return recorded(tmp_path_factory.mktemp("lockstep") / "recording", 1000, 2.0)


def test_what_the_embodiment_names_is_recorded(short):
    """Sensors at their rates, and what the node and the controllers say."""
    _, messages = short
    seconds = 2.5  # with the time before the activation
    for topic, rate_hz in (
        ("/joint_states", 100),
        ("/camera/exterior/image_raw", 30),
        ("/camera/wrist/image_raw", 30),
        ("/fr3_arm_controller/controller_state", 50),
        ("/gripper_controller/controller_state", 50),
    ):
        assert len(messages[topic]) == pytest.approx(rate_hz * seconds, rel=0.05), topic
    windows = messages["/fr3_arm_controller/joint_trajectory"]
    assert len(windows) == pytest.approx(50 * 2.0, rel=0.1)
    assert messages["/gr00t_policy/action_chunk"] and messages["/gr00t_policy/status"]


def test_a_picture_is_published_after_its_exposure(short):
    """Bag time is when a message came, its stamp is when it was measured."""
    _, messages = short
    found = messages["/camera/exterior/image_raw"]
    stamps = np.array([m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for _, m in found])
    late = np.array([time_ns for time_ns, _ in found]) - stamps
    assert late.min() >= 12_000_000 and late.max() <= 14_000_000
    assert np.diff(stamps).mean() == pytest.approx(FRAME_NS, rel=0.01)


def test_the_controllers_play_what_the_windows_say(short):
    """Their reference moves, and the measured joints follow it."""
    _, messages = short
    states = [message for _, message in messages["/fr3_arm_controller/controller_state"]]
    reference = np.array([state.reference.positions for state in states])
    feedback = np.array([state.feedback.positions for state in states])
    assert np.abs(reference[-1] - reference[0]).max() > 0.1
    assert np.abs(reference - feedback).max() < 0.03


def test_a_demonstration_without_success_is_discarded(short):
    """With the time of its activation and its source."""
    facts, messages = short
    assert facts.outcome == "discarded" and facts.success is None
    assert [source for _, source in facts.sources] == ["policy"]
    first_window_ns = messages["/fr3_arm_controller/joint_trajectory"][0][0]
    assert abs(first_window_ns - facts.start_ns) <= 100_000_000


def test_the_same_scene_gives_the_same_recording(short, tmp_path):
    """No clock and no thread decides."""
    _, before = short
    _, again = recorded(tmp_path / "recording", 1000, 0.5)
    for topic in ("/joint_states", "/fr3_arm_controller/joint_trajectory"):
        assert again[topic] == before[topic][: len(again[topic])], topic


@pytest.mark.soak
def test_a_whole_demonstration_succeeds(tmp_path):
    """The cube comes to lie on the plate, and episode.json says so."""
    facts, _ = recorded(tmp_path / "recording", 1001, LIMIT_S)
    assert facts.outcome == "kept" and facts.success
    stored = json.loads((tmp_path / "recording/episode_000000/episode.json").read_text())
    assert stored["success"] is True and stored["stop_ns"] > stored["start_ns"] + 10**10
