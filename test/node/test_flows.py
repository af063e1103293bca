"""The flow of each observation through a node, with integers for a clock and no thread."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.motion.guard import Verdict, refused  # noqa: E402
from gr00t_ros.motion.replay import SentParts  # noqa: E402
from gr00t_ros.node.tracing.flows import SEEN_WITHIN_NS, Flows  # noqa: E402
from gr00t_ros.trace.flow import DROPPED, EXECUTED, FAILED, MERGED, PUBLISHED, REFUSED  # noqa: E402

ACCEPTED = Verdict(True, False, "", "", 0, None)
JOINTS = SentParts(np.array([True, True]), np.zeros(0, dtype=bool), frozenset())
LOST = SentParts(np.array([False, False]), np.zeros(0, dtype=bool), frozenset())
POSES = SentParts(np.zeros(0, dtype=bool), np.zeros(0, dtype=bool), frozenset({"hand"}))
STEP = 10
CHANGED = 10_000


class Clocked:
    """Flows whose clock advances by STEP at each reading, and the newest controller state."""

    def __init__(self, seen=True):
        self.now_ns, self.state_ns = 1_000, 0
        self.flows = Flows((lambda: self.state_ns) if seen else None, self.read)

    def read(self):
        self.now_ns += STEP
        return self.now_ns

    def merged(self, verdict=ACCEPTED):
        """An observation whose chunk was handled by the replay thread."""
        marks = self.flows.begin(1, 900)
        marks.parsed_ns = self.read()
        self.flows.take(marks)
        self.flows.guarded()
        self.flows.judged(verdict)
        self.flows.shaped()
        return marks

    def published(self, changed_ns=CHANGED):
        marks = self.merged()
        self.flows.published(JOINTS, changed_ns, None)
        return marks

    def ended(self):
        """Outcome and reason of the flows that have ended."""
        self.flows.look()
        return [(flow.outcome, flow.reason) for flow in self.flows.done()]


def test_a_chunk_is_followed_until_a_controller_plays_its_part():
    """Each stage of the replay thread has its time; the percentiles know them."""
    node = Clocked()
    marks = node.published()
    node.state_ns = CHANGED
    assert node.ended() == []
    node.state_ns = CHANGED + 5
    assert node.ended() == [(EXECUTED, "")]
    assert marks.executed_ns == CHANGED + 5
    stages = ("handover", "guard", "merge", "shaping", "publish")
    assert [node.flows.latencies.summary(s).p50_ns for s in stages] == [STEP] * len(stages)
    assert node.flows.latencies.summary("controller").count == 1
    assert node.flows.done() == []


def test_the_first_window_with_something_new_counts():
    """Not one that was withheld, nor one that repeats what was sent before."""
    node = Clocked()
    marks = node.merged()
    for sent, changed in ((None, None), (LOST, CHANGED), (JOINTS, None)):
        node.flows.published(sent, changed, None)
        assert marks.published_ns == 0
    node.flows.published(JOINTS, CHANGED + 7, None)
    published_ns = marks.published_ns
    assert published_ns and marks.changed_from_ros_ns == CHANGED + 7
    node.flows.published(JOINTS, CHANGED + 27, None)
    assert (marks.published_ns, marks.changed_from_ros_ns) == (published_ns, CHANGED + 7)


def test_a_stop_ends_what_was_not_played():
    """Before the first window, and between it and the changed part; not after that."""
    node = Clocked()
    node.merged()
    node.flows.published(None, None, "e-stop")
    assert node.ended() == [(MERGED, "stopped before a window with it was published: e-stop")]
    node.published()
    node.flows.published(LOST, CHANGED - 5, "pause")  # the stop did not go out: the chunk plays on
    node.flows.published(JOINTS, CHANGED - 1, "pause")
    node.state_ns = CHANGED + 1
    assert node.ended() == [(PUBLISHED, "stopped before its part was played: pause")]
    node.published(2 * CHANGED)
    node.flows.published(JOINTS, 2 * CHANGED + 1, "pause")
    node.state_ns = 2 * CHANGED + 1
    assert node.ended() == [(EXECUTED, "")]


def test_without_a_state_of_its_part_a_flow_ends_as_published():
    """Controllers that publish none, or too late."""
    node = Clocked()
    node.published()
    node.now_ns += SEEN_WITHIN_NS
    assert node.ended() == [(PUBLISHED, "no controller's state of its part was received")]
    blind = Clocked(seen=False)
    blind.merged()
    blind.flows.published(POSES, None, None)
    assert blind.ended() == [(PUBLISHED, "no controller's state shows its motion")]


def test_what_gives_no_motion_ends_with_its_reason():
    """A failed query, a refused and a dropped chunk, and one that the next one overtook."""
    node = Clocked()
    node.flows.fail(node.flows.begin(1, 900), "no server")
    node.merged(refused("jump", "0.4 rad away"))
    node.merged(refused("late", "all steps due 33 ms or more ago"))
    node.merged(refused("unwanted", "of an older episode"))
    node.merged()
    node.published()
    assert [outcome for outcome, _ in node.ended()] == [
        *(FAILED, REFUSED, DROPPED, DROPPED, MERGED),
    ]
    node.state_ns = CHANGED + 1
    assert node.ended() == [(EXECUTED, "")]


def test_a_chunk_without_a_window_says_why():
    """Withheld under load, or there was nothing new to send; a window that went clears it."""
    node = Clocked()
    node.merged()
    node.flows.published(LOST, CHANGED, None)
    node.flows.published(None, None, None)
    node.merged()
    node.flows.published(JOINTS, None, None)
    node.merged()
    node.flows.published(LOST, CHANGED, None)
    node.flows.published(JOINTS, CHANGED, None)
    node.state_ns = CHANGED + 1
    (late, idle, played) = node.ended()
    assert late[0] == idle[0] == MERGED
    assert "withheld" in late[1] and "nothing new" in idle[1]
    assert played == (EXECUTED, "")


def test_flows_that_nobody_takes_are_bounded():
    """The newest remain; the oldest are forgotten."""
    node = Clocked()
    for _ in range(1_000):
        node.flows.fail(node.flows.begin(1, 900), "no server")
        node.flows.look()
    assert [flow.number for flow in node.flows.done()] == list(range(745, 1_001))
