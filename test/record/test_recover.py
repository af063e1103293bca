"""Episodes are rebuilt from their bags as their recorder knew them."""

import json

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags.rosbag2", reason="rosbags is not installed")

from broken_json import each_broken, line_about, spoil  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402

from gr00t_ros.errors import BagError  # noqa: E402
from gr00t_ros.msg import EpisodeEvent, PolicyStatus  # noqa: E402
from gr00t_ros.record.episode_bag import EpisodeBag, channel_of, mcap_path  # noqa: E402
from gr00t_ros.record.facts import FILE, read_facts  # noqa: E402
from gr00t_ros.record.info import main as info  # noqa: E402
from gr00t_ros.record.recording import Recording  # noqa: E402
from gr00t_ros.record.recover import main as recover_main  # noqa: E402
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


FACTS = {
    "index": 0,
    "instruction": "open the door",
    "robot": "panda",
    "policy_node": "/left/policy",
    "start_ns": 10 * S,
    "stop_ns": 15 * S,
    "outcome": "discarded",
    "success": False,
    "sources": [[10 * S, "policy"]],
    "interventions": [],
    "dropped": {},
}
BROKEN = [
    ("index", "0", "an integer"),
    ("instruction", 5, "a text"),
    ("policy_node", None, "a text"),
    ("start_ns", "x", "an integer"),
    ("start_ns", True, "an integer"),
    ("start_ns", 10**30, "an integer"),
    ("stop_ns", None, "an integer"),
    ("stop_ns", 9 * S, f"at least {10 * S}"),
    ("success", "yes", "true, false or null"),
    ("success", 1, "true, false or null"),
    ("outcome", "lost", "kept or discarded"),
    ("sources", [[1]], "[[time_ns, name], ...]"),
    ("sources", [[1, "robot"]], "names of policy, human, stopping, idle"),
    ("sources", [[2, "human"], [1, "idle"]], "times in their order"),
    ("interventions", [[None, 1]], "[[from_ns, to_ns], ...]"),
    ("dropped", None, "an object"),
    ("dropped", {"/a": 0.5}, "an object"),
    ("problem", 1, "a text"),
    ("note", "x", "index, instruction"),
]


@pytest.mark.parametrize(("key", "value", "expected"), BROKEN)
def test_a_broken_value_is_one_line(tmp_path, key, value, expected):
    """With file, key, what was got, what was expected and what to do."""
    path = tmp_path / FILE
    path.write_text(json.dumps(FACTS | {key: value}))
    with pytest.raises(BagError) as caught:
        read_facts(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{path}: {key}: got ") and expected in text.partition(", expected ")[2]
    assert text.endswith(f"; gr00t record recover {tmp_path} rebuilds it from its bag")


@pytest.mark.parametrize("text", ["", "[]", "null", '{"index": 0}'])
def test_a_file_without_facts_is_one_line(tmp_path, text):
    """Cut off, no object, or without a key that must be there."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(BagError, match=rf"{FILE}[:1]*: .*gr00t record recover"):
        read_facts(tmp_path)


@pytest.mark.parametrize("as_json", [False, True])
def test_info_names_a_broken_episode_and_goes_on(tmp_path, capsys, as_json):
    """Exit status 1; the others are listed and counted."""
    for index, facts in enumerate([FACTS | {"stop_ns": None}, FACTS | {"outcome": "kept"}]):
        episode = killed(tmp_path, START, index=index)
        (episode / FILE).write_text(json.dumps(facts))
    assert info([str(tmp_path), *(["--json"] if as_json else [])]) == 1
    text = capsys.readouterr().out
    assert "stop_ns: got null, expected an integer" in text
    if as_json:
        found = json.loads(text)["episodes"]
        assert [one["finished"] for one in found] == [False, True]
        return
    assert "UNREADABLE" in text and "1 of 2 episodes kept, 5.0 s" in text


def test_a_broken_file_is_rebuilt_and_kept_beside(tmp_path):
    """With its labels where they can be read: they may be later than what the bag holds."""
    episode = killed(tmp_path, START, (15, "success", "policy", ""))
    text = json.dumps(FACTS | {"stop_ns": None})
    (episode / FILE).write_text(text)
    before = {one.name: one.read_bytes() for one in episode.glob("*.mcap")}
    (line,) = recover(tmp_path)
    assert "5.0 s recovered; discarded, failure; episode.json.broken is kept: " in line
    assert (episode / f"{FILE}.broken").read_text() == text
    assert {one.name: one.read_bytes() for one in episode.glob("*.mcap")} == before
    facts = read_facts(episode)
    assert facts is not None and "was broken" in facts.problem
    assert (facts.start_ns, facts.stop_ns) == (10 * S, 15 * S)
    assert (facts.instruction, facts.policy_node) == ("open the door", "/left/policy")
    assert list(recover(tmp_path)) == []


@each_broken
def test_whatever_is_in_the_file_it_is_rebuilt_and_the_next_episode_too(tmp_path, capsys, content):
    """A line for each; the file is kept beside as it was."""
    first, second = (killed(tmp_path, START, index=index) for index in range(2))
    spoil(first / FILE, content)
    size = (first / FILE).stat().st_size
    assert recover_main([str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert f"{FILE}.broken is kept: {first / FILE}" in line_about(first, text)
    assert "recovered" in line_about(second, text)
    assert (first / f"{FILE}.broken").stat().st_size == size
    assert None not in (read_facts(first), read_facts(second))


def test_an_episode_that_is_still_recorded_is_left_alone(tmp_path, capsys):
    """The others are repaired; the error says what to do."""
    live = EpisodeBag(Recording(tmp_path, "franka_droid", 0).episode(0))
    live.write(STATUS, 9 * S, serialize_message(PolicyStatus()))
    other = killed(tmp_path, START, (15, "stop", "policy", ""), index=1)
    before = mcap_path(live.folder).read_bytes()
    with pytest.raises(BagError, match="episode_000000_0.mcap: is still recorded: stop its rec"):
        recover_main([str(tmp_path)])
    assert f"{other}: 5.0 s recovered" in capsys.readouterr().out
    assert mcap_path(live.folder).read_bytes() == before and read_facts(live.folder) is None
    live.close()
    assert recover_main([str(tmp_path)]) == 0


def test_an_episode_whose_folder_was_renamed_is_recovered(tmp_path):
    """Its file and its events have the old number."""
    episode = killed(tmp_path, START, (15, "success", "policy", ""), index=3)
    renamed = episode.rename(tmp_path / "episode_000007")
    (line,) = recover(renamed)
    assert line == f"{renamed}: 5.0 s recovered; kept, success"
    facts = read_facts(renamed)
    assert facts is not None and (facts.index, facts.instruction) == (7, "open the door")
    (renamed / "another.mcap").write_bytes(b"")
    (renamed / FILE).write_text("{")
    with pytest.raises(BagError, match="expected episode_000007_0.mcap"):
        list(recover(renamed))
    assert (renamed / FILE).read_text() == "{"
