"""When a takeover asks the policy node to pause or to resume, and what its answers mean."""

import asyncio
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags.rosbag2", reason="rosbags is not installed")

from std_srvs.srv import Trigger  # noqa: E402

from gr00t_ros.record import node as record_node  # noqa: E402
from gr00t_ros.record.node import RecordNode  # noqa: E402
from gr00t_ros.record.session import (  # noqa: E402
    PolicyNodeState,
    RecordingSession,
    RecordingSettings,
)

REFUSED = "mode is ready: there is no motion to pause"


class Recorder:
    """A recorder without a node, an hour after its start; its policy node serves or does not."""

    def __init__(self, monkeypatch, mode=None, serves=True, teleop=False):
        self.now_s = 3600.0
        clock = SimpleNamespace(monotonic=lambda: self.now_s)
        monkeypatch.setattr(record_node, "time", clock)
        self.session = RecordingSession(RecordingSettings("r", "/policy", teleop), "task", 0)
        self.recorder = SimpleNamespace(
            session=self.session,
            status_topic="/policy/status",
            change=lambda change: change(1),
        )
        self.policy_name, self._begun_s, self._paused_s = "/policy", 0.0, float("-inf")
        self.publishers = 0
        self.asked: list[str] = []
        self.answer: Trigger.Response | None = Trigger.Response(success=True)
        self._beside = None
        self._policy_services = {
            name: SimpleNamespace(
                service_is_ready=lambda: serves, call_async=lambda _, name=name: self.call(name)
            )
            for name in ("pause", "resume")
        }
        if mode is not None:
            self.say(mode)

    intervene, _why_not = RecordNode.intervene, RecordNode._why_not
    _ask, _may_run, _stops = RecordNode._ask, RecordNode._may_run, RecordNode._stops

    def call(self, name):
        """The answer of one of the policy node's services; None comes too late."""
        self.asked.append(name)

        class Answer:
            cancel = None

            def __await__(answer):
                yield from ()
                return self.answer

        return Answer()

    def create_timer(self, *_args, **_more):
        """Nothing waits here."""

    def destroy_timer(self, _timer):
        """Nor has it to be ended."""

    def count_publishers(self, topic):
        """Of the status."""
        assert topic == "/policy/status"
        return self.publishers

    def say(self, mode):
        """A status; None: the node is silent."""
        policy = None if mode is None else PolicyNodeState(mode, 3, "task")
        self.session.follow(1, policy)

    def refuse(self, message):
        """Say no from now on."""
        self.answer = Trigger.Response(success=False, message=message)

    def press(self):
        """Space; returns why not."""
        return asyncio.run(self.intervene(not self.session.taken_over))


@pytest.fixture
def recorder(monkeypatch):
    """Makes a recorder in front of a policy node."""
    return lambda *args, **settings: Recorder(monkeypatch, *args, **settings)


@pytest.mark.parametrize("mode", ["replaying", "stopping", "holding", "paused"])
def test_an_active_policy_is_paused_and_resumed(recorder, mode):
    """At rest its pause is still to be made the operator's."""
    one = recorder(mode)
    assert one.press() == "" and one.session.taken_over
    one.say("paused_by_operator")
    assert one.press() == "" and not one.session.taken_over
    assert one.asked == ["pause", "resume"]


def test_a_silent_policy_is_paused_too(recorder):
    """It may move the arm; without its answer nobody takes over."""
    one = recorder(None)
    one.answer = None
    text = one.press()
    assert text.startswith("/policy/pause: no answer within 5 s; stop the arm at the robot")
    one.refuse(REFUSED)
    assert one.press() == f"/policy/pause: {REFUSED}"
    assert not one.session.taken_over
    one.answer = Trigger.Response(success=True)
    assert one.press() == "" and one.session.taken_over
    assert one.asked == ["pause"] * 3


def test_a_policy_whose_service_is_not_found_yet_may_move_the_arm(recorder):
    """Right after the recorder's start, and where only its status is seen."""
    one = recorder(None, serves=False)
    one.publishers = 1
    text = one.press()
    assert "/policy/pause: no such service" in text and "try again" in text
    one.publishers, one.now_s = 0, 1.0
    assert one.press() == text and not one.session.taken_over


def test_without_a_policy_node_a_person_takes_over_and_hands_back(recorder):
    """Nobody is asked."""
    one = recorder(None, serves=False)
    assert one.press() == "" and one.session.taken_over
    assert one.press() == "" and not one.session.taken_over
    assert one.asked == []


@pytest.mark.parametrize("mode", ["ready", "waiting", "fault_inactive"])
def test_an_inactive_policy_is_not_asked(recorder, mode):
    """It moves nothing."""
    one = recorder(mode)
    assert (one.press(), one.press(), one.asked) == ("", "", [])


def test_a_node_that_is_not_configured_has_nothing_to_pause(recorder):
    """It is silent, because it publishes its status only once."""
    one = recorder(None)
    one.refuse(record_node.NOT_CONFIGURED)
    assert one.press() == "" and one.session.taken_over
    assert one.press() == "" and not one.session.taken_over
    assert one.asked == ["pause", "resume"]


@pytest.mark.parametrize("mode", ["replaying", "holding", "stopping"])
def test_nobody_hands_back_before_the_pause_is_there(recorder, mode):
    """The policy would stay paused; the status may be from before the pause."""
    one = recorder("replaying")
    one.press()
    one.say(mode)
    assert "the arm still stops" in one.press() and one.session.taken_over
    one.say("paused_by_operator")
    assert one.press() == "" and one.asked == ["pause", "resume"]


def test_a_long_stop_is_waited_for(recorder):
    """However long ago the pause was asked for."""
    one = recorder("replaying")
    one.press()
    one.say("stopping")
    one.now_s += 60.0
    assert "the arm still stops" in one.press() and one.session.taken_over


def test_a_policy_that_was_activated_in_a_takeover_ends_it(recorder):
    """No pause is under way: there is nothing to resume."""
    one = recorder("ready")
    one.press()
    one.say("replaying")
    assert (one.press(), one.session.taken_over, one.asked) == ("", False, [])


def test_a_silent_policy_is_resumed(recorder):
    """It would stay paused; where it does not answer the takeover goes on."""
    one = recorder("replaying")
    one.press()
    one.say(None)
    one.answer = None
    assert "no answer within" in one.press() and one.session.taken_over
    one.answer = Trigger.Response(success=True)
    assert one.press() == "" and not one.session.taken_over
    assert one.asked == ["pause", "resume", "resume"]


def test_a_fault_is_reset_first(recorder):
    """As is said."""
    one = recorder("replaying")
    one.press()
    one.say("fault")
    assert "/policy has latched a fault" in one.press() and one.session.taken_over


def test_in_teleop_there_is_nothing_to_take_over(recorder):
    """Whatever runs beside it."""
    one = recorder("replaying", teleop=True)
    assert "nothing to take over" in one.press() and one.asked == []
