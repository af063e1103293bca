"""Whatever stalls, the replay thread sends only windows that arrive in time and splice.

Controllers are the sampler, played after the run at 1 kHz with each message at the instant at which
it was published.
"""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from ros_fixtures import wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from gr00t_ros.errors import StalledError  # noqa: E402
from gr00t_ros.motion import commit_time  # noqa: E402
from gr00t_ros.motion.chunk import ActionChunk  # noqa: E402
from gr00t_ros.motion.replay import Replay  # noqa: E402
from gr00t_ros.motion.replay_settings import ReplaySettings  # noqa: E402
from gr00t_ros.motion.sampler import JtcSampler  # noqa: E402
from gr00t_ros.node.outputs import Outputs  # noqa: E402
from gr00t_ros.node.replay_thread import LEAD_NS, ReplayThread  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.ros.windows import parse_trajectory  # noqa: E402
from gr00t_ros.session.mode import Mode  # noqa: E402
from gr00t_ros.session.schedule import SessionSettings  # noqa: E402
from gr00t_ros.session.session import Session  # noqa: E402

MS = 1_000_000


def stalls(*short_s, soak_s=()):
    """Lengths of stalls: some in every run, all of them in ./dev soak."""
    long = [pytest.param(one_s, marks=pytest.mark.soak) for one_s in soak_s]
    return pytest.mark.parametrize("stall_s", [*short_s, *long])


ROBOT = load_embodiment("franka_droid")
HOME = np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8, 0.4])  # 0.25 rad inside all limits
MOST_RAD_S2, MOST_RAD_S3 = 6.2, 420.0  # of the arm; limits.md's 6 and 400 and what clocks add


serialize_message(JointTrajectory())  # the first call loads libraries, which a publisher has done


class Publisher:
    """Takes the messages of one output."""

    def __init__(self, rig, topic):
        self.topic_name, self._rig = topic, rig

    def publish(self, message):
        """Note it with its time, then do what the test has planted."""
        self._rig.publishing(self.topic_name)
        at_ns = time.monotonic_ns()
        read = deserialize_message(message, JointTrajectory)
        self._rig.sent.append((self.topic_name, at_ns, read))
        self._rig.published(self.topic_name)


class CountedSession(Session):
    """A session that counts the ticks between two deadlines that it agrees to."""

    extra_ticks = 0

    def extra_pays(self, now_ns, next_ns):
        """As Session's."""
        pays = super().extra_pays(now_ns, next_ns)
        self.extra_ticks += pays
        return pays


class Rig:
    """A session whose policy leads the joints to and fro; the parts around it can be broken."""

    simulated = tells = turns = False
    merged, answers_s = 0, 0.0

    def __init__(self, settings=None):
        self.sent, self.said, self.lost, self.asked = [], [], set(), []
        self.publishing = self.published = lambda topic: None
        self.between = self.watching = lambda: None
        node = SimpleNamespace(
            create_lifecycle_publisher=lambda _type, topic, _qos: Publisher(self, topic)
        )
        chosen = settings or ReplaySettings()
        replay = Replay(ROBOT.limits, chosen, ROBOT.workspace, ROBOT.command_limits)
        self.session = CountedSession(replay, SessionSettings())
        self.thread = ReplayThread(
            self.session, self, Outputs(node, ROBOT), self, 20 * MS, 0, self.said.append
        )

    # --- the thread's clock -----------------------------------------------------------------

    def now_ns(self):
        """Plan time."""
        return time.monotonic_ns()

    def offset_ns(self):
        """Both clocks are one; asked for between computing a window and sending it."""
        self.between()
        return 0

    # --- what the thread asks its node ------------------------------------------------------

    def findings(self, now_ns, mode):
        """None, unless the test plants something."""
        return self.watching() or ()

    def held(self):
        """What the controllers play of the last message that came, where they tell."""
        return np.concatenate([self._played(o) for o in ROBOT.outputs]) if self.tells else None

    def _played(self, output):
        """One controller's reference now: that of the last window that it has received."""
        received = [
            (at_ns, message)
            for number, (topic, at_ns, message) in enumerate(self.sent)
            if topic == output.topic and number not in self.lost
        ]
        home = HOME[:7] if output is ROBOT.outputs[0] else HOME[7:]
        jtc = JtcSampler(len(output.names))
        jtc.hold(home)
        if received:
            at_ns, message = received[-1]
            jtc.accept(parse_trajectory(message, output.names, 0), at_ns, home)
        return jtc.sample(time.monotonic_ns())[0]

    def ask(self, episode, times, followed):
        """A chunk from where the plan is, to one side or the other."""

        def merge(session, now_ns):
            session.merge(self._chunk(now_ns), now_ns, None)
            self.merged += 1

        self.asked.append(times)
        if self.answers_s:
            threading.Timer(self.answers_s, self.thread.post, (merge, True)).start()
        else:
            self.thread.post(merge)
        return True

    def _chunk(self, now_ns):
        """All joints 0.25 rad from home in a second and a half, then back; or with each chunk."""
        other = self.merged % 2 if self.turns else now_ns // (1500 * MS) % 2
        side = 0.25 if other else -0.25
        at = self.session.replay.position(now_ns)
        way = np.minimum(np.arange(24) / 20, 1.0)[:, None]
        rows = at + (HOME + side - at) * way
        return ActionChunk(0, self.session.episode, now_ns, 60 * MS, rows, {})

    # --- what a test does and sees ----------------------------------------------------------

    def start(self):
        """Begin to move."""
        self.session.set_ready(True, "")
        self.session.activate(time.monotonic_ns(), HOME)
        self.thread.start()
        self.wait_for_motion()

    def wait_for_motion(self):
        """Until the plan moves at 0.1 rad/s."""

        def fast(session, now_ns):
            return bool(np.abs(session.replay.velocity(now_ns)[:7]).max() > 0.1)

        def moves():
            try:
                return self.thread.snapshot.mode is Mode.REPLAYING and self.thread.call(fast)
            except StalledError:  # the whole process stood still
                return False

        try:
            wait_until(moves, "motion")
        except pytest.fail.Exception as failure:
            told = self.thread.snapshot
            pytest.fail(f"{failure}: {told.mode.value}, {told.reason}, {told.counts}, {self.said}")

    def windows_go_on(self, count=10):
        """Wait for more windows."""
        before = len(self.sent)
        wait_until(lambda: len(self.sent) >= before + 2 * count, "further windows")

    def assert_lawful(self):
        """Both controllers, each millisecond from the first message to 0.9 s after the last."""
        self.thread.stop()
        end_ns = self.sent[-1][1] + 900 * MS
        for output, home in zip(ROBOT.outputs, (HOME[:7], HOME[7:]), strict=True):
            jtc = JtcSampler(len(output.names))
            jtc.hold(home)
            waiting = [
                (at_ns, parse_trajectory(message, output.names, 0))
                for number, (topic, at_ns, message) in enumerate(self.sent)
                if topic == output.topic and number not in self.lost
            ]
            begin_ns, position = waiting[0][0] - waiting[0][0] % MS, [home] * 3
            for now_ns in range(begin_ns, end_ns, MS):
                while waiting and waiting[0][0] <= now_ns:
                    reason = jtc.accept(waiting.pop(0)[1], now_ns, position[-1])
                    assert reason is None
                position.append(jtc.sample(now_ns)[0])
            limits = ROBOT.limits
            names = [limits.names.index(name) for name in output.names]
            slack = MOST_RAD_S2 / 6.0, MOST_RAD_S3 / 400.0
            for order, limit in ((2, limits.acceleration), (3, limits.jerk)):
                most = np.abs(np.diff(np.array(position), n=order, axis=0)).max(axis=0) * 1e3**order
                assert (most <= limit[names] * slack[order - 2]).all(), (output.name, order, most)


@pytest.fixture
def rig():
    """A rig whose thread has ended afterwards."""
    made = Rig()
    yield made
    made.thread.stop()


def once(stall_s, count=1):
    """Something that sleeps at its first `count` calls."""
    left = [count]

    def sleep(*_arguments):
        if left[0]:
            left[0] -= 1
            time.sleep(stall_s)

    return sleep


def test_a_session_moves_both_outputs_inside_their_limits(rig):
    """Each window leaves for both, and not before the time for which it was made."""
    rig.start()
    rig.windows_go_on(50)
    rig.assert_lawful()
    arm, gripper = ([m for topic, _, m in rig.sent if topic == one.topic] for one in ROBOT.outputs)
    assert abs(len(arm) - len(gripper)) <= 1
    assert rig.session.counts.windows == len(arm)


def test_an_error_is_logged_if_nobody_waits_for_the_action_and_raised_if_somebody_does(rig):
    """None is lost, and none is told twice."""

    def fails(text):
        def action(_session, _now_ns):
            raise ValueError(text)

        return action

    rig.thread.start()
    rig.thread.post(fails("of a posted action"))
    with pytest.raises(ValueError, match="of a called action"):
        rig.thread.call(fails("of a called action"))
    (said,) = rig.said
    assert "of a posted action" in said


def test_an_extra_tick_for_a_reply_is_lawful_and_leaves_the_grid_alone():
    """With knots of 10 ms a reply between two ticks is new 10 ms earlier; with 20 ms never."""
    rig = Rig(ReplaySettings(knot_ns=10 * MS))
    rig.turns, rig.answers_s = True, 0.003
    try:
        rig.start()
        wait_until(lambda: rig.session.extra_ticks >= 5, "ticks for replies")
    finally:
        rig.assert_lawful()
    stamps = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for _, _, m in rig.sent]
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("knot_ns", [10 * MS, 20 * MS])
def test_ticks_follow_a_commit_time_that_changes(knot_ns, monkeypatch):
    """A window is sent a commit time before a knot: a measured 52 ms does not act as 60."""
    monkeypatch.setattr(commit_time, "EVIDENCE_NS", 0)
    monkeypatch.setattr(commit_time, "SHORTER", 2)
    rig = Rig(ReplaySettings(knot_ns=knot_ns, commit="measured"))
    rig.turns = True
    commit, transit_ns = rig.session.replay.commit, [MS]
    rig.watching = lambda: commit.received(time.monotonic_ns(), transit_ns[0])
    monkeypatch.setattr(commit, "late", lambda _now_ns, _late_ns: None)  # as the machine is busy

    def follows(needed_ns):
        in_phase = (rig.thread.due_ns + needed_ns + LEAD_NS) % knot_ns == 0
        return in_phase and commit.commit_ns == needed_ns

    try:
        rig.start()
        for transit_ns[0], needed_ns in (
            (MS, 52 * MS),
            (6_300_000, 54_600_000),
            (13 * MS, 68 * MS),
        ):
            wait_until(lambda needed_ns=needed_ns: follows(needed_ns), "ticks in phase")
            rig.windows_go_on()
    finally:
        rig.assert_lawful()


def test_without_a_finer_grid_a_reply_waits_for_the_tick(rig):
    """The tick's window is new from the same knot, so a second one would say the same."""
    rig.turns, rig.answers_s = True, 0.007
    rig.start()
    wait_until(lambda: rig.merged >= 10, "replies")
    assert not rig.session.extra_ticks


def test_a_query_is_told_when_it_is_due_and_when_its_time_runs_out(rig):
    """At most one tick before."""
    rig.start()
    rig.windows_go_on()
    asked, now_ns = list(rig.asked), time.monotonic_ns()
    assert asked and all(times.earliest_ns <= now_ns + 40 * MS for times in asked)
    assert all(times.earliest_ns <= times.latest_ns for times in asked)


def test_an_answer_that_waits_is_merged_before_the_next_query(rig):
    """It came while the tick ran: the query after it is due by it, and continues its chunk."""
    waiting, asked_with, ask = [False], [], rig.ask
    ticks = itertools.count()

    def comes():
        if next(ticks) % 2:
            return  # in each second tick: after a late machine's pause, motion needs a query
        waiting[0] = True
        rig.thread.post(lambda session, now_ns: waiting.__setitem__(0, False))

    def asked(*arguments):
        asked_with.append(waiting[0])
        return ask(*arguments)

    rig.start()
    rig.ask = asked
    rig.watching = comes
    rig.windows_go_on(30)
    rig.watching = lambda: None
    wait_until(lambda: asked_with, "a query")
    assert not any(asked_with)


@stalls(0.06, 0.15, 0.47, soak_s=(0.03, 0.1, 0.3, 1.0))
def test_a_stall_between_computing_and_sending_sends_no_stale_window(rig, stall_s):
    """What did not leave is no part of the plan; a long one pauses, and goes on by itself."""
    rig.start()
    for _ in range(4):
        rig.between = once(stall_s)
        rig.windows_go_on()
        rig.wait_for_motion()
    assert rig.thread.withheld >= (8 if stall_s > 0.06 else 0)
    rig.assert_lawful()


class Slow(Rig):
    """On simulated time that is slow; between two reads it goes on by `most_ns` at most.

    So a busy machine adds no stall of its own to those of the test.
    """

    simulated, factor, most_ns = True, 0.1, 20 * MS

    def now_ns(self):
        """Plan time, which began with the steady clock when that was first read."""
        steady_ns = time.monotonic_ns()
        read_ns, plan_ns = getattr(self, "read", (steady_ns, steady_ns))
        plan_ns += min(round((steady_ns - read_ns) * self.factor), self.most_ns)
        self.read = steady_ns, plan_ns
        return plan_ns


def test_a_stall_in_slow_simulated_time_is_as_short_as_it_is_there():
    """A fifth of a second is 20 ms of the plan: it goes on. Two seconds are a pause."""
    rig = Slow()
    try:
        rig.start()
        stops = []

        def watch():
            if rig.session.mode is Mode.STOPPING:
                stops.append(rig.session.reason)
            return ()

        rig.watching = watch
        for _ in range(4):
            rig.between = once(0.2)
            rig.windows_go_on()
        assert not stops
        rig.most_ns, rig.between = 200 * MS, once(2.0)
        wait_until(lambda: stops, "a stop")
        assert stops[0].startswith("replay thread: "), stops
    finally:
        rig.thread.stop()


def test_the_preview_reads_what_was_sent(rig):
    """A window that was withheld from both outputs is not in it."""
    seen = []
    rig.published = lambda topic: seen.extend(rig.thread.played)  # those of the ticks before
    rig.start()
    for _ in range(4):
        rig.between = once(0.1)
        rig.windows_go_on()
        rig.wait_for_motion()
    rig.thread.stop()
    assert rig.thread.withheld >= 8 and len(rig.thread.played) <= 8
    stamps = {m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for _, _, m in rig.sent}
    assert seen and {one.window.stamp_ns for one in seen} <= stamps


@stalls(0.15, soak_s=(0.06, 0.3))
def test_a_stall_between_two_outputs_keeps_each_lawful(rig, stall_s):
    """The arm's window has left, the gripper's has not: each goes on from its own."""
    rig.start()
    for _ in range(4):
        sleep = once(stall_s)
        rig.published = lambda topic, sleep=sleep: topic == ROBOT.outputs[0].topic and sleep()
        rig.windows_go_on()
        rig.wait_for_motion()
    rig.assert_lawful()


@stalls(0.13, soak_s=(0.3,))
def test_a_stall_after_a_lost_window_is_lawful(rig, stall_s):
    """The node cannot know of the loss: it goes on from what the controller holds in the end."""
    rig.tells = rig.turns = True
    rig.start()
    for _ in range(4):
        sleep, arm, merged = once(stall_s), ROBOT.outputs[0].topic, rig.merged

        def lose(topic, sleep=sleep, arm=arm, merged=merged):
            if topic == arm and rig.merged > merged and rig.watching is not sleep:
                rig.lost.add(len(rig.sent) - 1)
                rig.watching = sleep

        rig.published = lose
        wait_until(lambda sleep=sleep: rig.watching is sleep, "a lost window of a new chunk")
        rig.published = lambda topic: None
        rig.windows_go_on()
        rig.wait_for_motion()
    assert len(rig.lost) == 4
    rig.assert_lawful()


@pytest.mark.parametrize("output", [0, 1])
@pytest.mark.parametrize("left", [False, True])
def test_a_message_of_which_nobody_knows_whether_it_left_ends_the_plan(rig, output, left):
    """The middleware raises before or after it has sent: the tail plays, and a fault."""
    rig.start()

    def broken(topic):
        if topic == ROBOT.outputs[output].topic:
            raise RuntimeError("the context is invalid")

    if left:
        rig.published = broken
    else:
        rig.publishing = broken
    wait_until(lambda: rig.thread.snapshot.mode is Mode.FAULT, "the fault")
    assert "the context is invalid" in rig.thread.snapshot.reason
    rig.publishing = rig.published = lambda topic: None
    rig.assert_lawful()


def test_a_tick_that_raises_is_told_once_faults_and_is_reset_when_the_cause_is_gone(rig):
    """Status follows, numbers that change make no new trace, and the arm is stopped lawfully."""
    rig.start()
    count = [0]

    def broken():
        count[0] += 1
        raise ValueError(f"no lawful motion at {count[0]}")

    rig.watching = broken
    wait_until(lambda: rig.thread.snapshot.mode is Mode.FAULT, "the fault")
    assert rig.thread.snapshot.at_rest
    assert "internal error: ValueError: no lawful motion" in rig.thread.snapshot.reason
    wait_until(lambda: count[0] > 100, "a hundred ticks that raise")
    assert len(rig.said) == 1 and "ValueError: no lawful motion" in rig.said[0]
    rig.watching = lambda: None
    assert rig.thread.call(lambda session, now_ns: session.reset(now_ns, None, ())) == ""
    rig.wait_for_motion()
    rig.assert_lawful()


def test_the_tick_that_activates_may_raise(rig):
    """Its plan begins at the time for which windows are made, milliseconds ahead of the clock."""
    modes = []

    def broken():
        modes.append(rig.session.mode)
        raise ValueError("no such joint")

    rig.watching = broken
    rig.session.set_ready(True, "")
    rig.thread.start()
    rig.thread.call(lambda session, now_ns: session.activate(now_ns, HOME))
    wait_until(lambda: len(modes) >= 2, "two ticks that raise")
    assert modes[1] is Mode.FAULT


def test_what_raises_in_a_tick_may_raise_in_its_fault_as_well(rig):
    """What the controllers hold is asked for by both: the fault is latched without it."""
    rig.start()

    def broken():
        raise ValueError("no such joint")

    rig.held = broken
    wait_until(lambda: rig.thread.snapshot.mode is Mode.FAULT, "the fault")
    assert rig.thread.snapshot.reason == "internal error: ValueError: no such joint"
    rig.assert_lawful()


def test_what_was_told_to_have_failed_is_never_carried_out(rig):
    """A thread that is stalled at the time of a call, and goes on afterwards."""
    rig.start()
    stalled, go_on = threading.Event(), threading.Event()

    def stall():
        stalled.set()
        go_on.wait(20.0)

    rig.watching = stall
    assert stalled.wait(10.0)
    done = []
    with pytest.raises(StalledError, match="not carried out, and never will be") as failure:
        rig.thread.call(lambda session, now_ns: done.append("pause"))
    assert not failure.value.begun
    with pytest.raises(StalledError, match="carried out once it does"):
        rig.thread.call(lambda session, now_ns: done.append("estop"), stops=True)
    rig.watching = lambda: None
    go_on.set()
    rig.thread.call(lambda session, now_ns: done.append("next"))
    assert done == ["estop", "next"]


def test_what_has_begun_is_waited_for(rig, monkeypatch):
    """It takes longer than a call that has not begun may wait."""
    monkeypatch.setattr("gr00t_ros.node.replay_thread._CALL_TIMEOUT_S", 3.0)
    rig.start()
    with ThreadPoolExecutor() as pool:
        begun = threading.Event()

        def slow(session, now_ns):
            begun.set()
            time.sleep(3.2)
            return "done"

        answer = pool.submit(rig.thread.call, slow)
        assert begun.wait(10.0) and answer.result(20.0) == "done"


def test_calls_are_made_by_the_thread_with_the_session(rig):
    """What they return comes back, what they raise is raised, and the thread lives on."""
    rig.start()
    assert rig.thread.call(lambda session, now_ns: session) is rig.session
    with pytest.raises(KeyError, match="mine"):
        rig.thread.call(lambda session, now_ns: {}["mine"])
    rig.windows_go_on()
    assert rig.thread.latencies.summary("replay_jitter").count > 0


def test_what_a_call_has_done_is_in_the_snapshot_when_it_returns(rig):
    """Else a status has the new instruction and the old episode."""
    rig.start()
    before, begun, seen = rig.thread.snapshot.episode, threading.Event(), threading.Event()

    def watching():
        if begun.is_set():
            seen.wait(30.0)  # the rest of this tick takes as long as the reader needs

    rig.watching = watching

    def change(session, now_ns):
        session.change_instruction(now_ns)
        begun.set()

    rig.thread.call(change)
    episode = rig.thread.snapshot.episode
    seen.set()
    assert episode == before + 1


def test_others_are_told_of_each_change_of_mode_or_reason_and_of_nothing_else(rig):
    """A tick that changes neither wakes nobody up."""
    told = []
    rig.thread.on_event = lambda: told.append(
        (rig.thread.snapshot.mode, rig.thread.snapshot.reason)
    )
    rig.start()
    rig.windows_go_on()
    rig.thread.call(lambda session, now_ns: session.fault(now_ns, "planted"))
    wait_until(lambda: (Mode.FAULT, "planted") in told, "the fault")
    for text in ("planted, 3 s", "planted, 4 s"):
        rig.thread.call(lambda session, now_ns, text=text: setattr(session, "reason", text))
        wait_until(lambda text=text: rig.thread.snapshot.reason == text, "the reason")
    rig.thread.call(lambda session, now_ns: None)  # the tick of the last reason has ended
    assert told[-1] == (Mode.FAULT, "planted, 3 s"), "only its number has changed since"
    assert all(before != after for before, after in itertools.pairwise(told))
    assert len(told) < len(rig.sent)


def test_an_event_that_cannot_be_told_is_logged_and_the_motion_goes_on(rig):
    """It only wakes up whoever publishes the status."""

    def broken():
        raise RuntimeError("planted: nobody to wake up")

    rig.thread.on_event = broken
    rig.start()
    rig.windows_go_on()
    assert any("planted: nobody to wake up" in text for text in rig.said)
    assert rig.thread.snapshot.mode is not Mode.FAULT


def test_after_stop_nothing_is_published(rig):
    """The caller may destroy the publishers."""
    rig.start()
    rig.thread.stop()
    count = len(rig.sent)
    time.sleep(0.05)
    assert len(rig.sent) == count
