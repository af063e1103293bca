"""One server, several robots: the episode of each is what it would be with a server of its own."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

from gr00t_ros.errors import SettingsError
from gr00t_ros.observe.modality import ModalityEntry
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.inpaint import Inpainting
from gr00t_ros.serve.policies import HoldPolicy
from gr00t_ros.serve.robots import IDLE_S, MAX_ROBOTS, Robots
from gr00t_ros.session.overlap import Overlap
from gr00t_ros.watch.server import OTHER, kind_of
from gr00t_ros.wire.robot_id import MAX_CHARACTERS, checked_id
from gr00t_ros.wire.rtc import RtcDialect, rtc_options

HORIZON = 4
NAMES = ("", "left arm", "right arm")


class Counting:
    """Answers how often it was asked since its reset, in all values; a reset says how often."""

    modality = {"action": ModalityEntry(tuple(range(HORIZON)), ("arm",))}

    def __init__(self):
        self.count = 0

    def __call__(self, observation, options):
        self.count += 1
        return {"arm": np.full((1, HORIZON, 1), self.count, np.float32)}, {"count": self.count}

    def reset(self, options):
        before, self.count = self.count, 0
        return {"before": before}


@dataclass
class Clock:
    """Seconds that a test sets."""

    now_s: float = 0.0

    def __call__(self):
        return self.now_s


def options(name):
    """As a robot of that name sends them; without a name none."""
    return {"robot_id": name} if name else None


def ask(policy, name=""):
    """The number that the robot of that name is answered."""
    return policy({}, options(name))[1]["count"]


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=30),
)
@settings(max_examples=examples(60), deadline=None)
def test_robots_that_take_turns_get_what_servers_of_their_own_would_answer(turns):
    """Queries and resets in any order; the replies to a reset are the policy's own, and the id."""
    shared, alone = Robots(Counting), {name: Counting() for name in NAMES}
    for name in NAMES[1:]:
        shared.reset(options(name))
    for name, resets in turns:
        if resets:
            id_too = {"robot_id": name} if name else {}
            assert shared.reset(options(name)) == alone[name].reset(None) | id_too
        else:
            assert ask(shared, name) == ask(alone[name])


def test_rtc_continues_the_robot_s_own_chunk():
    """Another robot asks in between: the one chunk that a server without ids remembers is its."""
    shared, free = (
        Robots(lambda: Inpainting(Counting())),
        rtc_options(RtcDialect.MAP, HORIZON, None),
    )
    for name in NAMES[1:]:
        shared.reset(options(name))
    shared({}, free | options("left arm"))
    for _ in range(5):
        shared({}, free | options("right arm"))
    asked = rtc_options(RtcDialect.MAP, HORIZON, Overlap(2, 2, 2))
    action, info = shared({}, asked | options("left arm"))
    assert info["rtc_applied"] and action["arm"][0, :, 0].tolist() == [1.0, 1.0, 2.0, 2.0]


def test_a_robot_that_was_not_reset_is_refused_and_nothing_begins():
    """After a restart of the server its memory is gone: the arm must not follow a new one."""
    shared = Robots(Counting)
    with pytest.raises(SettingsError, match="expected its reset before") as refusal:
        ask(shared, "left arm")
    assert kind_of(str(refusal.value)) is OTHER, "the node asks again, then pauses"
    shared.reset(options("left arm"))
    assert ask(shared, "left arm") == 1


def test_one_robot_more_is_refused_unless_another_is_idle():
    """None loses its memory while it works; what was idle for long gives way, and is told."""
    clock = Clock()
    shared = Robots(Counting, clock)
    for number in range(MAX_ROBOTS):
        clock.now_s = float(number)
        shared.reset(options(f"arm {number}"))
    ask(shared, "arm 0")  # arm 1 asked longest ago now, at 1 s
    clock.now_s = 1.0 + IDLE_S - 0.5
    with pytest.raises(SettingsError, match=f"expected at most {MAX_ROBOTS}") as refusal:
        shared.reset(options("late"))
    assert kind_of(str(refusal.value)) is OTHER
    assert shared.reset(options("arm 0")) == {"before": 1, "robot_id": "arm 0"}, "known: no place"
    assert ask(shared) == 1, "without an id there is always room"
    clock.now_s += 0.5
    shared.reset(options("late"))
    assert ask(shared, "late") == 1 and ask(shared, "arm 2") == 1
    with pytest.raises(SettingsError, match="expected its reset before"):
        ask(shared, "arm 1")


@pytest.mark.parametrize("wrong", ["", "a" * (MAX_CHARACTERS + 1), "é", "a\n", 7, None, ["a"]])
def test_what_is_no_id_is_refused_and_resets_nobody(wrong):
    """Also not the robots without an id."""
    shared = Robots(Counting)
    ask(shared)
    for call in (shared.reset, lambda given: shared({}, given)):
        with pytest.raises(SettingsError, match="robot_id: got .* expected a text of 1 to 64"):
            call({"robot_id": wrong})
    assert ask(shared) == 2


def test_the_longest_id_and_a_blank_are_ids():
    """Printable ASCII."""
    assert checked_id("~ " * (MAX_CHARACTERS // 2)) and checked_id("a") == "a"


def test_a_reset_that_fails_gives_no_place():
    """The text of the policy's error is the reply."""

    class Failing(Counting):
        def reset(self, options):
            raise SettingsError("step_index 9: expected 0")

    shared = Robots(Failing)
    with pytest.raises(SettingsError, match="step_index 9"):
        shared.reset(options("left arm"))
    with pytest.raises(SettingsError, match="reset before"):
        ask(shared, "left arm")


def test_it_announces_what_the_policy_announces():
    """The modality config is that of the policy without an id."""
    robot = load_embodiment("franka_droid")
    assert Robots(lambda: HoldPolicy(robot)).modality == HoldPolicy(robot).modality
