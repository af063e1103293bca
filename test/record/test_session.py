"""Episodes begin, end and are labelled, and every moment has its source."""

import pytest

from gr00t_ros.dataset.episode import HUMAN, IDLE, POLICY, STOPPING
from gr00t_ros.errors import BagError
from gr00t_ros.record.session import PolicyNodeState, RecordingSession, RecordingSettings

TASK = "put the cup down"


def session(**settings):
    """A session of a robot named panda."""
    return RecordingSession(RecordingSettings("panda", "/gr00t_policy", **settings), TASK, 5)


def follow(one, now_ns, mode, episode=1, instruction=TASK):
    """The events of a status of the policy node."""
    return [e.name for e in one.follow(now_ns, PolicyNodeState(mode, episode, instruction))]


def names(events):
    """What happened."""
    return [event.name for event in events]


def test_an_episode_begins_ends_and_is_labelled():
    """With its index, instruction and times; the next one gets the next index."""
    one = session()
    (start,) = one.start(100, "open the door")
    assert (start.episode, start.name, start.text) == (5, "start", "open the door")
    assert names(one.end(300, "success")) == ["success"]
    assert one.episode is None and one.last is not None
    facts = one.last
    assert (facts.index, facts.instruction, facts.robot) == (5, "open the door", "panda")
    assert (facts.start_ns, facts.stop_ns, facts.outcome, facts.success) == (100, 300, "kept", True)
    one.start(400)
    assert one.episode is not None and one.episode.index == 6
    assert one.episode.instruction == "open the door", "it stays until another one is given"


def test_an_episode_can_be_labelled_after_its_end():
    """Success, failure, discarded; another stop is refused."""
    one = session()
    with pytest.raises(BagError, match="failure: no episode is open"):
        one.end(0, "failure")
    one.start(1)
    one.end(2, "stop")
    assert one.last is not None and one.last.success is None
    one.end(3, "failure")
    assert (one.last.success, one.last.stop_ns) == (False, 2)
    one.end(4, "discard")
    assert one.last.outcome == "discarded"
    one.end(5, "success")
    assert (one.last.outcome, one.last.success) == ("kept", True)
    with pytest.raises(BagError, match="stop: no episode is open"):
        one.end(6, "stop")


def test_two_episodes_are_never_open():
    """Nor does one begin while something is wrong."""
    one = session()
    one.start(1)
    with pytest.raises(BagError, match="episode 5 is open: stop or discard it first"):
        one.start(2)
    one.end(3, "stop")
    one.problem = "the disk is full"
    with pytest.raises(BagError, match="the disk is full"):
        one.start(4)


def test_teleop_is_a_person_all_the_time():
    """Whatever a policy node beside it says."""
    one = session(teleop=True)
    one.start(1)
    assert follow(one, 2, "replaying") == []
    one.end(3, "stop")
    assert one.last is not None and one.last.sources == [(1, HUMAN)]


def test_the_source_follows_the_mode_of_the_policy_node():
    """Each change is one event and one entry."""
    one = session()
    follow(one, 1, "ready")
    one.start(2)
    modes = ("blending_in", "replaying", "stopping", "holding", "replaying", "stopping", "paused")
    events = [follow(one, 10 * n, mode) for n, mode in enumerate(modes, 1)]
    assert events == [["source"], [], ["source"], ["source"], ["source"], ["source"], ["source"]]
    one.follow(80, None)
    facts = one.episode
    assert facts is not None
    assert [name for _, name in facts.sources] == [
        *(IDLE, POLICY, STOPPING, IDLE, POLICY, STOPPING, IDLE)
    ]
    assert [time_ns for time_ns, _ in facts.sources] == [2, 10, 30, 40, 50, 60, 70]
    one.end(100, "stop")
    assert facts.seconds_of(POLICY) == pytest.approx(30e-9)
    assert sum(map(facts.seconds_of, (POLICY, STOPPING, IDLE, HUMAN))) == pytest.approx(98e-9)


def test_a_takeover_is_human_once_the_policy_rests():
    """Before that it still commands, or stops; the interval is the operator's wish."""
    one = session()
    follow(one, 1, "replaying")
    one.start(2)
    assert names(one.take_over(10)) == ["intervene"]
    assert one.source == POLICY
    follow(one, 20, "stopping")
    assert follow(one, 30, "paused_by_operator") == ["source"]
    assert one.source == HUMAN
    assert names(one.hand_back(50)) == ["resume", "source"]
    assert follow(one, 60, "blending_in", episode=2) == ["source"]
    one.end(70, "stop")
    facts = one.last
    assert facts is not None and facts.interventions == [(10, 50)]
    sources = [(2, POLICY), (20, STOPPING), (30, HUMAN), (50, IDLE), (60, POLICY)]
    assert facts.sources == sources


def test_a_takeover_outlives_an_episode():
    """The interval ends with the episode, and begins with the next one."""
    one = session()
    one.start(1)
    one.take_over(2)
    one.end(3, "stop")
    one.start(4)
    one.hand_back(5)
    one.end(6, "stop")
    assert one.last is not None and one.last.interventions == [(4, 5)]


def test_somebody_else_resumes_the_policy():
    """The policy commands again, so the takeover is over, whoever called ~/resume."""
    one = session()
    follow(one, 1, "replaying")
    one.start(2)
    one.take_over(3)
    follow(one, 4, "paused_by_operator")
    assert follow(one, 5, "blending_in", episode=2) == ["resume", "source"]
    assert not one.taken_over and one.source == POLICY


def test_episodes_of_the_policy_begin_with_its_motion_and_end_with_it():
    """With its instruction; not again for the same episode of the policy."""
    one = session(by_policy=True)
    assert follow(one, 1, "ready", 0) == []
    assert follow(one, 2, "blending_in", 1, "new task") == ["start"]
    assert one.episode is not None and one.episode.instruction == "new task"
    assert one.episode.sources == [(2, POLICY)]
    follow(one, 3, "stopping", 1, "new task")
    assert follow(one, 4, "waiting", 1, "new task") == ["source", "stop"]
    assert follow(one, 5, "blending_in", 2, "new task") == ["start"]
    one.end(6, "success")
    assert follow(one, 7, "replaying", 2, "new task") == [], "it was ended by a person"
    assert follow(one, 8, "blending_in", 3, "new task") == ["start"]


def test_a_pause_of_a_watch_does_not_divide_an_episode():
    """The policy node counts another episode after it; the task is the same."""
    one = session(by_policy=True)
    follow(one, 1, "replaying", 1)
    follow(one, 2, "stopping", 1)
    follow(one, 3, "paused", 1)
    assert follow(one, 4, "blending_in", 2) == ["source"]
    follow(one, 5, "stopping", 2)
    assert follow(one, 6, "replaying", 3) == ["source"], "a short pause is not always seen"
    follow(one, 7, "stopping", 3)
    follow(one, 8, "paused", 3)
    assert follow(one, 9, "stopping", 4) == ["source"], "nor is a short motion"
    assert follow(one, 10, "replaying", 4) == ["source"]
    assert follow(one, 11, "replaying", 4) == []
    assert one.episode is not None and one.episode.index == 5


def test_a_new_instruction_is_a_new_episode():
    """The node counts it before it moves; the same text counts too."""
    one = session(by_policy=True)
    follow(one, 1, "replaying", 1)
    assert follow(one, 2, "stopping", 2) == ["source", "stop"]
    assert follow(one, 3, "blending_in", 2, "other") == ["start"]
    follow(one, 4, "paused", 2, "other")
    assert "stop" in follow(one, 5, "blending_in", 3, "another")


@pytest.mark.parametrize("end", ["fault", "waiting", "silent"])
def test_the_policys_end_ends_its_episode(end):
    """A fault, a deactivation, and a node that says nothing any more."""
    one = session(by_policy=True)
    follow(one, 1, "replaying", 1)
    events = one.follow(2, None if end == "silent" else PolicyNodeState(end, 1, TASK))
    assert names(events)[-1] == "stop" and one.episode is None


def test_what_follows_a_silence_is_another_episode():
    """Of the same episode of the node; but not of one that a person has ended."""
    one = session(by_policy=True)
    follow(one, 1, "replaying", 1)
    one.follow(2, None)
    assert follow(one, 3, "replaying", 1) == ["start"]
    one.end(4, "success")
    one.follow(5, None)
    assert follow(one, 6, "replaying", 1) == []


def test_a_takeover_keeps_the_policys_episode_open():
    """Also where the node is deactivated meanwhile."""
    one = session(by_policy=True)
    follow(one, 1, "replaying", 1)
    one.take_over(2)
    follow(one, 3, "paused_by_operator", 1)
    follow(one, 4, "waiting", 1)
    assert one.episode is not None and one.source == HUMAN


def test_no_episode_of_the_policy_begins_on_a_full_disk():
    """And it begins once there is room."""
    one = session(by_policy=True)
    one.problem = "full"
    assert follow(one, 1, "replaying") == []
    one.problem = ""
    assert follow(one, 2, "replaying") == ["start"]


def test_a_new_instruction_of_the_policy_divides_an_operators_episode():
    """Neither part has the other's label, nor has an episode that begins later."""
    one = session()
    follow(one, 1, "replaying", 1, "policy's first")
    one.start(2)
    assert follow(one, 3, "stopping", 2, "second") == ["source", "stop", "start"]
    assert one.last is not None and one.episode is not None
    first, second = one.last, one.episode
    assert (first.instruction, first.stop_ns, first.success) == (TASK, 3, None)
    assert (second.index, second.instruction, second.start_ns) == (6, "second", 3)
    assert second.sources == [(3, STOPPING)]
    one.end(4, "success")
    assert (first.success, second.success) == (None, True)
    one.start(5)
    assert one.episode.instruction == "second", "an older one of the operator is out of date"
    assert names(one.follow(6, None)) == ["source"]
    assert follow(one, 7, "ready", 1, "third") == ["stop", "start"], "also of a restarted node"
    one.end(8, "stop")
    follow(one, 9, "ready", 2, "fourth")
    one.start(10)
    assert one.episode.instruction == "fourth"


@pytest.mark.parametrize("by_policy", [False, True])
def test_a_new_instruction_divides_a_takeover_too(by_policy):
    """The person goes on, in both parts."""
    one = session(by_policy=by_policy)
    follow(one, 1, "replaying", 1)
    if not by_policy:
        one.start(1)
    one.take_over(2)
    follow(one, 3, "paused_by_operator", 1)
    assert follow(one, 4, "paused_by_operator", 2, "other") == ["stop", "start"]
    assert one.last is not None and one.episode is not None
    assert (one.last.instruction, one.last.interventions) == (TASK, [(2, 4)])
    assert (one.episode.instruction, one.episode.sources) == ("other", [(4, HUMAN)])
    assert follow(one, 5, "replaying", 3, "other") == ["resume", "source"]
    assert one.episode.interventions == [(4, 5)]


def test_what_does_not_contradict_the_label_divides_nothing():
    """The first status, silence, an empty text, the label itself, and a node beside teleop."""
    one = session()
    one.start(1, "second")
    assert follow(one, 2, "ready", 1, "policy's first") == []
    assert one.follow(3, None) == []
    assert follow(one, 4, "ready", 1, "") == []
    assert follow(one, 5, "ready", 2, "second") == []
    one = session(teleop=True)
    follow(one, 1, "ready", 1, "policy's first")
    one.start(2)
    assert follow(one, 3, "replaying", 2, "second") == []
    assert one.episode is not None and one.episode.instruction == TASK


def test_no_second_part_begins_on_a_full_disk():
    """The first one ends all the same."""
    one = session()
    follow(one, 1, "replaying", 1)
    one.start(2)
    one.problem = "full"
    assert follow(one, 3, "stopping", 2, "other") == ["source", "stop"]


@pytest.mark.parametrize(
    ("given", "by_policy", "asked", "expected"),
    [
        (TASK, False, ["a", ""], ["a", "a"]),
        (TASK, False, ["", "b"], [TASK, "b"]),
        ("", False, ["", "b", ""], ["policy's", "b", "b"]),
        (TASK, True, ["", "b", ""], ["policy's", "b", "policy's"]),
    ],
)
def test_an_episode_has_the_newest_instruction(given, by_policy, asked, expected):
    """The operator's, else the policy node's; the other way round in its own episodes."""
    one = RecordingSession(
        RecordingSettings("panda", "/gr00t_policy", by_policy=by_policy), given, 0
    )
    follow(one, 1, "ready", 1, "policy's")
    for text, label in zip(asked, expected, strict=True):
        one.start(2, text)
        assert one.episode is not None and one.episode.instruction == label
        one.end(3, "stop")
