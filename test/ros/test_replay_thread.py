"""The replay thread: windows leave when they were made for, calls are answered, crashes fault."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from ros_fixtures import wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.core.mode import Mode  # noqa: E402
from gr00t_ros.core.session import Counts  # noqa: E402
from gr00t_ros.core.watchdog import Finding, Reaction  # noqa: E402
from gr00t_ros.ros.replay_thread import ReplayThread  # noqa: E402

MS = 1_000_000


class Session:
    """An active session that makes a window of each tick: the plan time that it was told."""

    def __init__(self):
        self.active, self.mode, self.reason, self.episode = True, Mode.REPLAYING, "", 1
        self.counts, self.broken = Counts(), ""
        self.commands = None
        self.replay = SimpleNamespace(
            at_rest=lambda now_ns: False,
            command_window=lambda now_ns: self.commands,
            pose_windows=lambda now_ns: {},
        )
        self.faults = []

    def tick(self, now_ns, findings, held):
        """What it was told, or what is broken."""
        if self.broken:
            raise ValueError(self.broken)
        return now_ns

    def query_due(self, now_ns):
        """Never."""
        return False

    def fault(self, now_ns, reason):
        """Latches it."""
        self.faults.append(reason)
        self.mode = Mode.FAULT


class Clock:
    """Steady time, or a simulated time that stands still."""

    def __init__(self, simulated=False):
        self.simulated = simulated

    def now_ns(self):
        """Plan time."""
        return 5 * MS if self.simulated else time.monotonic_ns()

    def offset_ns(self):
        """Both clocks are one."""
        return 0


class Windows(list):
    """Pairs of the plan time that a window was made for and the time at which it left."""

    def __init__(self):
        super().__init__()
        self.commands = []

    def publish(self, window, offset_ns, commands=None, poses=None):
        """Note it."""
        if commands is not None:
            self.commands.append((window, commands))
        else:
            self.append((window, time.monotonic_ns()))


AROUND = SimpleNamespace(findings=lambda now_ns, mode: (), held=lambda: np.zeros(1))


@pytest.fixture
def started():
    """Make running threads, each with its windows and what it logged; stopped afterwards."""
    threads = []

    def start(session, clock):
        windows, said = Windows(), []
        thread = ReplayThread(session, clock, windows, AROUND, 5 * MS, 0, said.append)
        threads.append(thread)
        thread.start()
        return thread, windows, said

    yield start
    for thread in threads:
        thread.stop()


def test_a_window_leaves_at_the_plan_time_it_was_made_for_and_not_before(started):
    """However long it took to compute; their plan times rise."""
    _, windows, _ = started(Session(), Clock())
    wait_until(lambda: len(windows) >= 20, "windows")
    made_for, left = np.array(windows[:20]).T
    assert (left >= made_for - 100_000).all()  # two readings of one clock
    assert (np.diff(made_for) > 0).all()


def test_on_simulated_time_nothing_is_foretold(started):
    """The clock stands: so does what windows are made for."""
    _, windows, _ = started(Session(), Clock(simulated=True))
    wait_until(lambda: len(windows) >= 5, "windows")
    assert {window for window, _ in windows} == {5 * MS}


def test_calls_are_made_by_the_thread_with_the_ticks_own_time(started):
    """What they return comes back, what they raise is raised, and the thread lives on."""
    session = Session()
    thread, windows, _ = started(session, Clock())
    assert thread.call(lambda session, now_ns: (session, now_ns))[0] is session
    with pytest.raises(KeyError, match="mine"):
        thread.call(lambda session, now_ns: {}["mine"])
    count = len(windows)
    wait_until(lambda: len(windows) > count, "a further window")
    assert thread.snapshot.mode is Mode.REPLAYING
    assert thread.latencies.summary("replay_jitter").count > 0


def test_a_tick_that_raises_sends_nothing_and_faults_once(started):
    """The controllers play the tail; the text is logged once."""
    session = Session()
    thread, windows, said = started(session, Clock())
    wait_until(lambda: windows, "a window")
    session.broken = "no lawful motion"
    wait_until(lambda: session.faults, "the fault")
    count = len(windows)
    assert thread.call(lambda session, now_ns: session.faults) == [
        "internal error: ValueError: no lawful motion"
    ]
    assert len(windows) == count
    assert len(said) == 1 and "no lawful motion" in said[0]


def test_after_a_tick_that_raised_a_base_is_told_what_the_fault_made_of_it(started):
    """Joints have a tail; what has none gets its zero although no window can be made."""
    session = Session()
    _, windows, _ = started(session, Clock())
    wait_until(lambda: windows, "a window")
    session.commands, session.broken = "zero", "no lawful motion"
    wait_until(lambda: (None, "zero") in windows.commands, "the zero")


def test_a_process_that_slept_in_the_middle_of_a_tick_says_so_first():
    """Its inputs aged meanwhile: that is no fault, and not what an operator has to look for."""
    told, old = [], Finding("stream_age", Reaction.FAULT, "camera is 2 s old")

    def asleep(now_ns, mode):
        time.sleep(0.03)
        return (old,)

    session = Session()
    session.tick = lambda now_ns, findings, held: told.extend(findings)
    around = SimpleNamespace(findings=asleep, held=lambda: np.zeros(1))
    thread = ReplayThread(session, Clock(), Windows(), around, 5 * MS, 0, told.append)
    thread._tick_safely()
    assert [(f.watch, f.reaction) for f in told] == [
        ("replay_starvation", Reaction.PAUSE),
        ("stream_age", Reaction.PAUSE),
    ]


def test_after_stop_nothing_is_published(started):
    """The caller may destroy the publishers."""
    thread, windows, _ = started(Session(), Clock())
    wait_until(lambda: windows, "a window")
    thread.stop()
    count = len(windows)
    time.sleep(0.02)
    assert len(windows) == count
