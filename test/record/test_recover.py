"""Episodes are rebuilt from their bags as their recorder knew them."""

import errno
import json
import os

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags.rosbag2", reason="rosbags is not installed")

from broken_json import each_broken, line_about, spoil  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402

from gr00t_ros.bags.bag import open_bag  # noqa: E402
from gr00t_ros.errors import BagError  # noqa: E402
from gr00t_ros.msg import EpisodeEvent, PolicyStatus  # noqa: E402
from gr00t_ros.record.episode_bag import EpisodeBag, channel_of, mcap_path  # noqa: E402
from gr00t_ros.record.facts import EPISODE_FILE, read_facts  # noqa: E402
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
    path = tmp_path / EPISODE_FILE
    path.write_text(json.dumps(FACTS | {key: value}))
    with pytest.raises(BagError) as caught:
        read_facts(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{path}: {key}: got ") and expected in text.partition(", expected ")[2]
    assert text.endswith(f"; gr00t record recover {tmp_path} rebuilds it from its bag")


@pytest.mark.parametrize("text", ["", "[]", "null", '{"index": 0}'])
def test_a_file_without_facts_is_one_line(tmp_path, text):
    """Cut off, no object, or without a key that must be there."""
    (tmp_path / EPISODE_FILE).write_text(text)
    with pytest.raises(BagError, match=rf"{EPISODE_FILE}[:1]*: .*gr00t record recover"):
        read_facts(tmp_path)


@pytest.mark.parametrize("as_json", [False, True])
def test_info_names_a_broken_episode_and_goes_on(tmp_path, capsys, as_json):
    """Exit status 1; the others are listed and counted."""
    for index, facts in enumerate([FACTS | {"stop_ns": None}, FACTS | {"outcome": "kept"}]):
        episode = killed(tmp_path, START, index=index)
        (episode / EPISODE_FILE).write_text(json.dumps(facts))
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
    (episode / EPISODE_FILE).write_text(text)
    before = {one.name: one.read_bytes() for one in episode.glob("*.mcap")}
    (line,) = recover(tmp_path)
    assert "5.0 s recovered; discarded, failure; episode.json.broken is kept: " in line
    assert (episode / f"{EPISODE_FILE}.broken").read_text() == text
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
    spoil(first / EPISODE_FILE, content)
    size = (first / EPISODE_FILE).stat().st_size
    assert recover_main([str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert f"{EPISODE_FILE}.broken is kept: {first / EPISODE_FILE}" in line_about(first, text)
    assert "recovered" in line_about(second, text)
    assert (first / f"{EPISODE_FILE}.broken").stat().st_size == size
    assert None not in (read_facts(first), read_facts(second))


def test_an_episode_that_is_still_recorded_is_left_alone(tmp_path, capsys):
    """The others are repaired; the error says what to do."""
    live = EpisodeBag(Recording(tmp_path, "franka_droid", 0).episode(0))
    live.write(STATUS, 9 * S, serialize_message(PolicyStatus()))
    other = killed(tmp_path, START, (15, "stop", "policy", ""), index=1)
    before = mcap_path(live.folder).read_bytes()
    with pytest.raises(BagError, match="episode_000000_0.mcap: is still recorded by process"):
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
    (renamed / EPISODE_FILE).write_text("{")
    with pytest.raises(BagError, match="expected episode_000007_0.mcap"):
        list(recover(renamed))
    assert (renamed / EPISODE_FILE).read_text() == "{"


def finished(folder, index=0):
    """The folder of an episode that is finished, with its facts."""
    episode = killed(folder, START, (15, "success", "policy", ""), index=index)
    list(recover(folder))
    assert list(recover(folder)) == []
    return episode


CUTS = {
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: data[: len(data) * 3 // 4] + bytes(len(data) // 4),
    "without its end": lambda data: data[:-100],
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_finished_episode_whose_bag_is_cut_off_is_seen_and_repaired(tmp_path, capsys, cut):
    """As a power failure may leave it; its facts stay, and a second repair changes nothing."""
    episode = finished(tmp_path)
    before, path = read_facts(episode), mcap_path(episode)
    path.write_bytes(CUTS[cut](path.read_bytes()))
    assert info([str(tmp_path)]) == 1
    assert f"{path}: is cut off: gr00t record recover {episode}" in capsys.readouterr().out
    (line,) = recover(tmp_path)
    assert line.startswith(f"{episode}: its bag was repaired, episode.json is as it was")
    facts = read_facts(episode)
    assert before is not None and facts is not None and "bag was damaged" in facts.problem
    assert (facts.success, facts.stop_ns) == (before.success, before.stop_ns)
    with open_bag(episode) as bag:
        assert len(list(bag.messages([one.name for one in bag.topics]))) >= 1
    repaired = path.read_bytes()
    assert list(recover(tmp_path)) == [] and path.read_bytes() == repaired
    assert info([str(tmp_path)]) == 0


UNREADABLE = {
    "empty": lambda data: b"",
    "without its end": lambda data: data[:100],
    "zeros": lambda data: bytes(len(data)),
    "without its types": lambda data: data[:64] + bytes(len(data) - 164) + data[-100:],
}


@pytest.mark.parametrize("facts", ["finished", "killed", "broken"])
@pytest.mark.parametrize("damage", UNREADABLE)
def test_an_episode_without_a_message_that_can_be_read_is_never_discarded(tmp_path, damage, facts):
    """It may be an unfinished copy; what to do is said, and the others are repaired."""
    episode = finished(tmp_path)
    if facts == "killed":
        (episode / EPISODE_FILE).unlink()
    elif facts == "broken":
        (episode / EPISODE_FILE).write_text("{")
    path = mcap_path(episode)
    path.write_bytes(UNREADABLE[damage](path.read_bytes()))
    before = {one.name: one.read_bytes() for one in episode.iterdir()}
    other = killed(tmp_path, START, (15, "stop", "policy", ""), index=1)
    found = []
    with pytest.raises(BagError) as caught:
        found.extend(recover(tmp_path))
    assert str(caught.value) == (
        f"{path}: {len(before[path.name])} bytes, no message that can be read; nothing was "
        f"changed: if it is a copy, copy it again; if there is no other one, remove {episode}"
    )
    assert {one.name: one.read_bytes() for one in episode.iterdir()} == before
    assert found == [f"{other}: 5.0 s recovered; kept, success unknown"]


def test_an_episode_that_lost_the_begin_of_its_bag_keeps_its_outcome(tmp_path):
    """The header and the first chunk are zeros; the messages behind them are there."""
    episode = Recording(tmp_path, "franka_droid", 0).episode(0)
    bag = EpisodeBag(episode)
    for number in range(3):
        for _ in range(100):
            status = PolicyStatus(reason="x" * 200)
            bag.write(STATUS, (10 + number) * S, serialize_message(status))
        bag._file.flush()
    bag.close()
    (episode / EPISODE_FILE).write_text(json.dumps(FACTS | {"outcome": "kept", "success": True}))
    path = mcap_path(episode)
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])
    (line,) = recover(tmp_path)
    assert line.startswith(f"{episode}: its bag was repaired, episode.json is as it was; ")
    facts = read_facts(episode)
    assert facts is not None and (facts.outcome, facts.success) == ("kept", True)
    with open_bag(episode) as read:
        assert [one.count for one in read.topics] == [200]


def test_an_episode_whose_recorder_wrote_no_message_is_discarded_or_as_it_was_finished(tmp_path):
    """Of a recorder that was killed at once nothing is lost; one that ended has told what is."""
    recording = Recording(tmp_path, "franka_droid", 0)
    begun, ended, bare = (recording.episode(index) for index in range(3))
    EpisodeBag(begun)._file.abandon()
    EpisodeBag(ended).close()
    bare.mkdir()
    (ended / EPISODE_FILE).write_text(json.dumps(FACTS | {"index": 1, "outcome": "kept"}))
    assert list(recover(tmp_path)) == [
        f"{one}: holds no message; discarded" for one in (begun, bare)
    ]
    facts = read_facts(ended)
    assert facts is not None and facts.outcome == "kept"
    assert list(recover(tmp_path)) == []


@pytest.mark.parametrize("name", [EPISODE_FILE, ".episode_000000_0.mcap.x7Ybq2"])
def test_a_folder_without_its_bag_is_not_discarded(tmp_path, name):
    """Its facts may be all that there is; a bag that is being copied may have another name."""
    episode = Recording(tmp_path, "franka_droid", 0).episode(0)
    episode.mkdir()
    (episode / name).write_text("{")
    with pytest.raises(BagError, match=f"{episode}: its bag is not there: put the file there"):
        list(recover(tmp_path))
    assert [(one.name, one.read_text()) for one in episode.iterdir()] == [(name, "{")]


def test_a_repair_names_what_it_left_out_and_the_file_that_has_it(tmp_path):
    """The old bag is as it was."""
    episode = killed(tmp_path, START, (15, "success", "policy", ""))
    path = mcap_path(episode)
    data = path.read_bytes()
    damaged = data[: data.rindex(b"success") + 4]
    path.write_bytes(damaged)
    (line,) = recover(tmp_path)
    kept = path.with_name(f"{path.name}.damaged")
    assert " bytes are left out, " in line and kept.name in line
    assert kept.read_bytes() == damaged
    facts = read_facts(episode)
    assert facts is not None and "damaged bytes of its bag were left out" in facts.problem


def no_event(episode, data):
    """Put a message that is no event into an episode's bag."""
    bag = EpisodeBag(episode)
    bag.write(EVENTS, 10 * S, data)
    bag.close()


def test_an_episode_that_cannot_be_repaired_keeps_no_other_from_it(tmp_path):
    """Whatever is wrong with it: each of the others is repaired, and each of these is named."""
    whole = serialize_message(EpisodeEvent(event="start", text="x"))
    recording = Recording(tmp_path, "franka_droid", 0)
    for index, data in enumerate((whole[:20], bytes(4) + b"\xff" * 60, b"\xff" * 60)):
        no_event(recording.episode(index), data)
    recording.episode(3).mkdir()
    mcap_path(recording.episode(3)).mkdir()
    last = killed(tmp_path, START, (15, "success", "policy", ""), index=4)
    found = []
    with pytest.raises(BagError) as caught:
        found.extend(recover(tmp_path))
    assert found == [f"{last}: 5.0 s recovered; kept, success"]
    told = str(caught.value).splitlines()
    assert [f"episode_{index:06d}" in line for index, line in enumerate(told)] == [True] * 4
    assert f"/gr00t_record/events: the message at {10 * S} ns" in told[0]


def test_episodes_do_not_depend_on_the_copy_of_the_embodiment_file(tmp_path, capsys):
    """It is empty: they are repaired and listed, and what is wrong is said."""
    episode = killed(tmp_path, START, (15, "success", "policy", ""))
    (tmp_path / "embodiment.yaml").write_bytes(b"")
    found = []
    with pytest.raises(BagError, match=r"embodiment\.yaml.*put the file there"):
        found.extend(recover(tmp_path))
    assert found == [f"{episode}: 5.0 s recovered; kept, success"]
    assert info([str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "unknown robot: 1 of 1 episodes kept, 5.0 s" in told and "unreadable: " in told


def test_one_episode_is_repaired_without_the_embodiment_file_too(tmp_path):
    """It is known by its name and its bag."""
    episode = killed(tmp_path, START, (15, "success", "policy", ""))
    (tmp_path / "embodiment.yaml").unlink()
    found = []
    with pytest.raises(BagError) as caught:
        found.extend(recover(episode))
    assert found == [f"{episode}: 5.0 s recovered; kept, success"]
    assert f"'{tmp_path / 'embodiment.yaml'}': no such file" in str(caught.value)


@pytest.mark.parametrize("as_json", [False, True])
def test_info_names_a_bag_that_may_not_be_read_and_goes_on(tmp_path, capsys, monkeypatch, as_json):
    """As another user's: exit status 1, and the others are listed."""
    for index in range(3):
        finished(tmp_path, index)
    locked = mcap_path(tmp_path / "episode_000001")

    def closed(path):
        if path == locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return True

    monkeypatch.setattr("gr00t_ros.record.info.is_closed", closed)
    assert info([str(tmp_path), *(["--json"] if as_json else [])]) == 1
    text = capsys.readouterr().out
    assert f"{locked}: cannot be read: Permission denied" in text
    if as_json:
        assert [one["finished"] for one in json.loads(text)["episodes"]] == [True, False, True]
        return
    assert text.count("UNREADABLE") == 1 and "2 of 3 episodes kept, 10.0 s" in text
