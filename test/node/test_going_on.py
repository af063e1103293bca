"""Controllers of which one publishes no state: where a plan starts, and how the others are judged.

The real watches, answers and session over stand-ins for the topics; nothing of ROS runs.
"""

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.inputs.controller_state import ControllerReading
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.clocks import Awake
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.node.answers import ReplyHandler
from gr00t_ros.node.queries import QueryReply
from gr00t_ros.node.robot_state import RobotState
from gr00t_ros.node.watches import RunningWatches
from gr00t_ros.node.wiring import Configured
from gr00t_ros.observe.buffer import Sample
from gr00t_ros.observe.readings import JointReading
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros.parameters import DEFAULTS
from gr00t_ros.session.mode import ACTIVE, MOVING, Mode
from gr00t_ros.session.schedule import SessionSettings
from gr00t_ros.session.session import Session
from gr00t_ros.session.start import HELD_UNKNOWN
from gr00t_ros.watch.finding import Finding, Reaction

EMBODIMENT = load_embodiment("franka_droid")
HOME = np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8, 0.4])
MOVED = HOME + [0.0, 0.04, 0, 0, 0, 0, 0, 0]
LATE = Finding("stream_age", Reaction.PAUSE, "camera is late")
TICK_NS = 20_000_000


class Topics:
    """What the node hears: controllers that tell `held` where they are in `tells`, joint states."""

    def __init__(self, tells):
        self.tells, self.held, self.measured = set(tells), HOME, HOME
        self.feedback = None  # of the controllers, where it is not what they hold
        self.awake = Awake(TICK_NS)
        self.cut, self._told = False, {}

    def controller(self, output):
        if output not in self.tells:
            return None
        if not self.cut:
            reading = JointReading(EMBODIMENT.joint_names, self.held)
            feedback = reading
            if self.feedback is not None:
                feedback = JointReading(EMBODIMENT.joint_names, self.feedback)
            self._told[output] = self._now(ControllerReading(reading, feedback, 1.0))
        return self._told[output]

    def pull_robot(self):
        """Nothing waits."""

    def joints(self, _names):
        return self._now(JointReading(EMBODIMENT.joint_names, self.measured))

    def pose(self, key):
        return None

    def cameras(self):
        return ()

    def streams(self, *_):
        return ()

    def _now(self, value):
        now_ns = time.monotonic_ns()
        return Sample(now_ns, now_ns, value)


class Node:
    """A session under way at HOME, on plan time of its own."""

    def __init__(self, *tells, robot=EMBODIMENT):
        self.topics = Topics(tells)
        clock = SimpleNamespace(
            ros_now_ns=time.monotonic_ns,
            now_ns=lambda: self.now_ns,
            offset_ns=lambda: 0,
            simulated=False,
            pair=lambda: None,
        )
        replay = Replay(robot.limits, ReplaySettings(), robot.workspace)
        self.session, self.now_ns = Session(replay, SessionSettings()), 10**12
        around = RobotState(self.topics, robot, clock, DEFAULTS)
        operator = SimpleNamespace(findings=lambda: ())
        self.watches = RunningWatches(
            around, operator, (), None, robot, clock, replay, DEFAULTS, "server"
        )
        self.verdicts, self.windows = [], []
        self.answers = ReplyHandler(
            self.watches, lambda _, verdict: self.verdicts.append(verdict), print
        )
        self.session.set_ready(True, "")
        self.session.activate(self.now_ns, around.start_position())

    def tick(self, *findings, count=1):
        for _ in range(count):
            self.now_ns += TICK_NS
            found = (*findings, *self.watches.findings(self.now_ns, self.session.mode))
            window = self.session.tick(self.now_ns, found, self.watches.held())
            self.session.keep()
            self.windows += [] if window is None else [window]
        return self

    def pause(self):
        """After a while at rest."""
        return self.tick(count=20).tick(LATE).until(Mode.PAUSED)

    def until(self, mode):
        for _ in range(100):
            if self.session.mode is mode:
                return self
            self.tick()
        raise AssertionError(f"{self.session.mode}: {self.session.reason}")

    def answer(self, start):
        """A chunk of an arm that stays at `start` and then moves joint 1."""
        rows = np.tile(start, (40, 1))
        rows[:, 0] += np.linspace(0.0, 0.3, 40)
        chunk = ActionChunk(0, self.session.episode, self.now_ns, EMBODIMENT.step_ns, rows, {})
        self.answers.apply(self.session, self.now_ns, QueryReply(chunk, 0, 0), None)
        return self.tick(count=3)


@pytest.mark.parametrize("tells", [("arm",), ("arm", "gripper")])
def test_an_automatic_resume_goes_on_from_where_the_arm_was_moved_to(tells) -> None:
    """By its controller's word, though the gripper's never tells: no step back to our own rest."""
    node = Node(*tells).pause()
    node.topics.held = node.topics.measured = MOVED
    node.until(Mode.BLENDING_IN).answer(MOVED)
    assert [verdict.accepted for verdict in node.verdicts] == [True]
    np.testing.assert_allclose(node.windows[0].positions[0], MOVED, atol=1e-9)


def test_without_any_word_the_arm_goes_on_from_our_own_rest_and_not_from_its_sag() -> None:
    """Measured a little lower: a plan from there would be a step up."""
    node = Node()
    node.topics.measured = HOME - [0.0, 0.03, 0, 0, 0, 0, 0, 0.2]
    node.pause().until(Mode.BLENDING_IN).answer(HOME)
    np.testing.assert_allclose(node.windows[0].positions[0], HOME, atol=1e-9)


def test_an_arm_that_was_moved_past_a_controller_that_never_tells_stays_paused() -> None:
    """Nobody but a person knows where its controller holds it; put back, it goes on."""
    node = Node("gripper").pause()
    node.topics.measured = HOME + [0.0, 0.06, 0, 0, 0, 0, 0, 0]
    node.tick(count=100)
    (found,) = node.watches.findings(node.now_ns, node.session.mode)
    assert (node.session.mode, found.reaction) == (Mode.PAUSED, Reaction.PAUSE)
    assert found.reason.startswith("fr3_joint2: held at -0.6000, measured -0.5400, at most 0.050")
    node.topics.measured = HOME
    node.until(Mode.BLENDING_IN)


def test_a_pause_does_not_end_while_a_controller_that_has_told_is_late() -> None:
    """It may have moved the arm since."""
    node = Node("arm", "gripper").pause()
    node.topics.tells = {"gripper"}
    node.tick(count=50)
    found = node.watches.findings(node.now_ns, node.session.mode)
    assert HELD_UNKNOWN in [one.reason for one in found] and node.session.mode is Mode.PAUSED
    node.topics.tells = {"arm", "gripper"}
    node.until(Mode.BLENDING_IN)


def test_a_chunk_begins_no_motion_while_a_controller_that_has_told_is_late() -> None:
    """It is dropped, the next one finds the controller back."""
    node = Node("arm", "gripper")
    node.tick()
    node.topics.tells = {"gripper"}
    node.answer(HOME)
    assert [verdict.dropped for verdict in node.verdicts] == [True] and node.windows == []
    counts = node.session.counts
    assert (counts.failures, counts.dropped, counts.refused) == (1, 1, 0)
    node.topics.tells = {"arm", "gripper"}
    node.answer(HOME)
    assert node.verdicts[1].accepted and node.windows


def test_a_fault_is_left_from_our_own_rest_unless_somebody_has_moved_the_arm() -> None:
    """A reset is not refused for an arm that never tells, and does not lift its sag."""
    node = Node()
    start = HOME - [0.0, 0.03, 0, 0, 0, 0, 0, 0]
    node.topics.measured = start
    np.testing.assert_array_equal(node.watches.leave_from(node.now_ns, start), HOME)
    start = HOME - [0.0, 0.06, 0, 0, 0, 0, 0, 0]
    node.topics.measured = start
    np.testing.assert_array_equal(node.watches.leave_from(node.now_ns, start), start)
    assert node.watches.leave_from(node.now_ns, None) is None


def test_a_fault_whose_joint_states_were_silent_is_left_from_the_measured_position(
    monkeypatch,
) -> None:
    """Which windows an arm that never tells has played then is unknown, and so where it rests."""
    node = Node()
    node.tick().answer(HOME).until(Mode.REPLAYING)
    monkeypatch.setattr(node.watches._robot, "joints_received", lambda _output: (1, 10**9))
    node.until(Mode.FAULT)
    monkeypatch.undo()
    rest = node.session.replay.position(node.now_ns)
    start = node.topics.measured = rest - [0.03, 0, 0, 0, 0, 0, 0, 0]
    node.tick(count=10)  # also once they are heard again
    np.testing.assert_array_equal(node.watches.leave_from(node.now_ns, start), start)
    node.watches.begin()  # it was left
    np.testing.assert_array_equal(node.watches.leave_from(node.now_ns, start), rest)


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode in ACTIVE])
def test_a_request_to_go_on_that_is_refused_in_motion_leaves_the_poses_alone(mode) -> None:
    """A chunk that has just come would be lost to the hand, or its tail be cut short."""
    started, around = [], SimpleNamespace(poses=lambda: {"hand": "measured"})
    replay = SimpleNamespace(
        at_rest=lambda now_ns: True, start_poses=lambda *told: started.append(told)
    )
    session = SimpleNamespace(mode=mode, active=True, replay=replay)
    watches = SimpleNamespace(
        findings=lambda *_: (), leave_from=lambda _now_ns, start: start, begin=lambda: None
    )
    parts = SimpleNamespace(
        _checks=SimpleNamespace(start=lambda: (HOME, [])),
        _operator=SimpleNamespace(clear=lambda: None),
        _collision=SimpleNamespace(attach=lambda _: None, against=lambda *_: []),
        _hearts=SimpleNamespace(begin=lambda: None, doubled=lambda: []),
        _others=SimpleNamespace(look=lambda: None),
        server=SimpleNamespace(check=SimpleNamespace(against=lambda: [])),
        replay=SimpleNamespace(call=lambda action: action(session, 7)),
        robot_state=around,
        watches=watches,
    )
    assert Configured.leave(parts, lambda *_: "refused") == "refused"
    assert started == ([] if mode in MOVING else [(7, {"hand": "measured"})])


def test_an_activation_looks_for_other_publishers_once_more() -> None:
    """Otherwise a publisher that has gone since the last look would fault the new motion."""
    done = []
    parts = SimpleNamespace(
        robot_state=SimpleNamespace(start_position=lambda: HOME, poses=lambda: {}),
        _checks=SimpleNamespace(limits=SimpleNamespace(begin=lambda: SimpleNamespace(workspace=0))),
        _others=SimpleNamespace(look=lambda: done.append("look")),
        replay=SimpleNamespace(call=lambda action: done.append("activate")),
    )
    Configured.activate(parts)
    assert done == ["look", "activate"]


@pytest.mark.parametrize("cut", [False, True])
def test_a_change_that_was_sent_into_a_short_silence_ends_the_plan(cut) -> None:
    """It may be lost, though the way is whole again before the silence is too long."""
    node, said = Node("arm", "gripper"), []
    node.tick(count=20)
    rows = np.tile(HOME, (40, 1))
    rows[:, 0] += np.linspace(0.0, 0.3, 40)
    chunk = ActionChunk(0, 1, node.now_ns, EMBODIMENT.step_ns, rows, {})
    assert node.session.replay.accept(chunk, node.now_ns).accepted
    for tick in range(8):
        node.now_ns += TICK_NS
        node.topics.cut = cut and tick < 4
        found = node.watches.findings(node.now_ns, Mode.REPLAYING)
        said.append([one for one in found if "a window that changed the motion" in one.reason])
        node.session.replay.tick(node.now_ns)
    assert not any(said[:5])
    assert [(one.watch, one.stop_ramp_only) for one in said[-1]] == cut * [
        ("controller_late", True)
    ]


GRIPPER_FIRST = replace(
    EMBODIMENT,
    outputs=EMBODIMENT.outputs[::-1],
    limits=EMBODIMENT.limits.of([n for o in EMBODIMENT.outputs[::-1] for n in o.names]),
)
in_each_order = pytest.mark.parametrize("robot", [EMBODIMENT, GRIPPER_FIRST])
who_tells = pytest.mark.parametrize("tells", [("arm",), ("arm", "gripper")])


def found_for(node, monkeypatch, seconds):
    """The findings of each tick of this time."""
    clock = SimpleNamespace(steady_ns=10**12)
    steady = SimpleNamespace(monotonic_ns=lambda: clock.steady_ns)
    monkeypatch.setattr("gr00t_ros.node.watches.time", steady)
    for _ in range(round(seconds * 50)):
        clock.steady_ns += TICK_NS
        yield node.watches.findings(node.now_ns, Mode.BLENDING_IN)


@who_tells
@in_each_order
def test_a_blocked_arm_faults_though_the_grippers_controller_never_tells(
    monkeypatch, tells, robot
) -> None:
    """Each output is judged alone, whatever their order."""
    node = Node(*tells, robot=robot)
    node.topics.feedback = HOME + [0.0, 0.3, 0, 0, 0, 0, 0, 0]
    found = list(found_for(node, monkeypatch, 0.24))
    assert found[0] == found[10] == ()
    assert [(one.watch, one.reaction) for one in found[11]] == [("tracking_error", Reaction.FAULT)]
    assert found[11][0].reason.startswith("fr3_joint2: commanded -0.6000, measured -0.3000")


def test_a_silent_controller_does_not_renew_the_time_of_a_blocked_arm(monkeypatch) -> None:
    """The gripper's ends in the middle of it, and comes back."""
    node = Node("arm", "gripper")
    node.topics.feedback = HOME + [0.0, 0.3, 0, 0, 0, 0, 0, 0]
    said = []
    for tick, found in enumerate(found_for(node, monkeypatch, 0.4)):
        node.topics.tells = {"arm"} if 3 <= tick < 7 else {"arm", "gripper"}
        said.append([one for one in found if one.watch == "tracking_error"])
    assert not any(said[:11]) and all(said[11:])


@who_tells
@in_each_order
def test_a_reference_that_is_no_number_is_found_beside_an_output_that_never_tells(
    monkeypatch, tells, robot
) -> None:
    """It pauses, wherever the other output stands in the file."""
    node = Node(*tells, robot=robot)
    node.topics.held = HOME + [np.nan, 0, 0, 0, 0, 0, 0, 0]
    (found,) = found_for(node, monkeypatch, 0.02)
    assert [one.watch for one in found] == ["stream_content"]
    assert found[0].reason.startswith("controller: joints not finite: fr3_joint1")


def test_a_state_that_cannot_be_used_hides_no_other_output(monkeypatch) -> None:
    """The gripper's is no number, and the arm is blocked."""
    node = Node("arm", "gripper", robot=GRIPPER_FIRST)
    node.topics.held = HOME + [0, 0, 0, 0, 0, 0, 0, np.nan]
    node.topics.feedback = HOME + [0.0, 0.3, 0, 0, 0, 0, 0, 0]
    *_, last = found_for(node, monkeypatch, 0.24)
    assert [one.watch for one in last] == ["stream_content", "tracking_error"]
