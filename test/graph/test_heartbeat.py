"""A streamer is alive while its heartbeats come; what only waits in a queue is none."""

from collections import deque
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from std_msgs.msg import String

from gr00t_ros.errors import ObservationError
from gr00t_ros.graph import heartbeat
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros import qos
from gr00t_ros.ros.parameters import DEFAULTS

S = 10**9


class Queue:
    """Stands where PulledSubscription does: a queue of the newest messages."""

    depth = qos.READINGS.depth

    def __init__(self, *_args, **_more):
        self.waiting = deque(maxlen=self.depth)

    def take(self):
        message = self.waiting.popleft() if self.waiting else None
        if isinstance(message, Exception):
            raise message
        return message


@pytest.fixture
def now(monkeypatch):
    """Steady time, s."""
    found = SimpleNamespace(s=100.0)
    monkeypatch.setattr(heartbeat.time, "monotonic_ns", lambda: round(found.s * S))
    return found


@pytest.fixture
def hearts(now, monkeypatch):
    """The watch on the streamers of a robot that has some."""
    monkeypatch.setattr(heartbeat, "PulledSubscription", Queue)
    node = SimpleNamespace(resolve_topic_name=lambda name: name)
    robot = load_embodiment("unitree_g1")
    return heartbeat.Heartbeats(node, robot, DEFAULTS, lambda age_ns: age_ns)


def beat(hearts, *instances):
    """Let each streamer's queue have these heartbeats."""
    for one in hearts._streamed:
        one.subscription.waiting.extend(String(data=text) for text in instances)


def test_heartbeats_that_wait_since_the_last_look_keep_no_dead_streamer_alive(hearts, now):
    """A node that is inactive looks ten times a second, and a streamer beats fifty times."""
    beat(hearts, *["one"] * Queue.depth)
    assert hearts.silent() == ()
    for _ in range(8):  # it has died: the queue gets nothing more
        now.s += 0.1
        found = hearts.silent()
    assert len(found) == len(hearts._streamed) > 0


def test_a_streamer_that_began_before_the_activation_is_the_one_that_is_expected(hearts):
    """The heartbeats of the one before it may wait in front of its own."""
    beat(hearts, *["one"] * 5, "two", "two")
    hearts.silent()
    hearts.begin()
    beat(hearts, "two")
    assert hearts.findings() == ()


def test_a_second_streamer_is_seen_whichever_beats_last(hearts):
    """Both beat between two looks."""
    beat(hearts, "one")
    hearts.silent()
    hearts.begin()
    beat(hearts, "two", "one")
    assert len(hearts.findings()) == len(hearts._streamed)


def test_an_unreadable_message_is_no_heartbeat_and_hides_none(hearts):
    """What comes behind it counts."""
    for one in hearts._streamed:
        one.subscription.waiting.extend([ObservationError("cut"), String(data="one")])
    assert hearts.silent() == ()
