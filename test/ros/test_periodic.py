"""A periodic thread keeps its grid of deadlines, survives a raising call, and stops on request."""

import math
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ros_fixtures import wait_until

from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.ros.periodic import (
    DRIFT,
    LATENESS,
    CrashLog,
    PeriodicThread,
    ask_for_fifo,
    next_due_ns,
    sleep_until,
)

MS = 1_000_000


def started(call, log=lambda _text: None, priority=0, period_ns=MS):
    """A running thread."""
    thread = PeriodicThread("test", period_ns, priority, call, log)
    thread.start()
    return thread


def test_calls_until_it_is_stopped():
    """Nothing is called after stop returns."""
    calls = []
    thread = started(lambda: calls.append(1))
    wait_until(lambda: len(calls) >= 5, "five calls")
    thread.stop()
    count = len(calls)
    assert thread.latencies.summary(LATENESS).count == count
    assert not [t for t in threading.enumerate() if t.name == "test"]


def test_goes_on_after_a_call_that_raises_and_says_it_once():
    """The same text is not repeated at 200 Hz, nor one of which only the numbers differ."""
    calls, said, told = [], [], []

    def call():
        calls.append(1)
        raise ValueError(f"broken at {len(calls)}")

    thread = PeriodicThread("test", MS, 0, call, said.append, told.append)
    thread.start()
    wait_until(lambda: len(calls) >= 5, "five calls")
    thread.stop()
    assert len(said) == 1 and "ValueError: broken at 1\n" in said[0] and "in call" in said[0]
    assert [str(error) for error in told] == [f"broken at {k + 1}" for k in range(len(calls))]


def test_errors_that_take_turns_are_not_told_each_time():
    """One trace a second at most, and what is done after a crash may raise as well."""
    calls, said = [], []

    def call():
        calls.append(1)
        raise (ValueError if len(calls) % 2 else KeyError)("broken")

    def after(_error):
        raise RuntimeError("so is what comes after it")

    thread = PeriodicThread("test", MS, 0, call, said.append, after)
    thread.start()
    wait_until(lambda: len(calls) >= 100, "a hundred calls")
    thread.stop()
    assert len(said) < 10


def test_a_log_that_raises_ends_neither_the_thread_nor_what_comes_after_a_crash():
    """That of rclpy raises for a text that is no UTF-8; what stops the arm must not hang on it."""
    told = []

    def broken(*_text):
        raise ValueError("broken")

    thread = PeriodicThread("test", MS, 0, broken, broken, told.append)
    thread.start()
    wait_until(lambda: len(told) >= 5, "five calls")
    thread.stop()


def test_a_long_call_costs_deadlines_that_are_counted_and_not_made_up_for():
    """The call that takes twenty periods is followed by one on the grid, not by twenty."""
    slept = threading.Event()
    calls = []

    def call():
        calls.append(1)
        if len(calls) == 3:
            threading.Event().wait(0.02)
            slept.set()

    thread = started(call)
    assert slept.wait(10.0)
    wait_until(lambda: thread.missed, "missed deadlines to be counted")
    thread.stop()
    assert thread.missed >= 19


def test_a_refused_priority_is_said_and_the_thread_runs_without_it():
    """Either the system grants SCHED_FIFO, or the log says why not."""
    calls, said = [], []
    thread = started(lambda: calls.append(1), said.append, priority=10)
    wait_until(lambda: calls, "a call")
    thread.stop()
    assert thread.realtime == (not said)
    assert all("no SCHED_FIFO 10" in text for text in said)


def test_an_impossible_priority_is_refused_with_its_reason():
    """1000 is above any system's range."""
    assert "no SCHED_FIFO 1000" in ask_for_fifo(1000)


def test_a_deadline_in_the_past_does_not_wait():
    """A negative sleep would raise."""
    sleep_until(0)


def test_a_wake_calls_the_other_function_and_moves_no_deadline():
    """In between, once for each wake; also for one that came while a call ran."""
    calls, between = [], []
    thread = PeriodicThread(
        "test", 50 * MS, 0, lambda: calls.append(thread.due_ns), print, None,
        lambda: between.append(thread.due_ns), phase_ns=7 * MS, grid_ns=20 * MS,
    )  # fmt: skip
    thread.start()
    wait_until(lambda: calls, "a call")
    thread.wake()
    wait_until(lambda: len(between) == 1, "the other function")
    thread.wake()
    thread.wake()
    wait_until(lambda: len(between) == 3 and len(calls) >= 3, "one for each wake")
    thread.stop()
    assert (calls[0] - 7 * MS) % (20 * MS) == 0, "the first deadline is on the grid"
    assert all((due - calls[0]) % (50 * MS) == 0 for due in calls)
    assert len(between) == 3


def raised(text, kind=ValueError):
    """An error that was raised somewhere."""
    try:
        raise kind(text)
    except kind as error:
        return error


def test_what_keeps_coming_is_told_once_and_what_comes_again_is_told_again():
    """For days; numbers make no other kind, and a kind that was quiet for ten seconds is news."""
    said = []
    log = CrashLog("a call raised", said.append)
    for tenth in range(10_000):
        log.tell(raised(f"broken at {tenth}"), tenth * 100 * MS)
    assert len(said) == 1 and said[0].startswith("a call raised:\nTraceback")
    log.tell(raised("broken at 1"), 10_000 * 100 * MS + 10_000 * MS)
    assert len(said) == 2


def test_kinds_that_take_turns_are_told_once_each():
    """An error of an operator's service is told beside one of a timer that comes all the time."""
    said = []
    log = CrashLog("a call raised", said.append)
    for tenth in range(100):
        log.tell(raised("broken", (ValueError, KeyError, TypeError)[tenth % 3]), tenth * 100 * MS)
    assert [text.splitlines()[-1].split(":")[0] for text in said] == [
        "ValueError",
        "KeyError",
        "TypeError",
    ]


def test_of_very_many_kinds_one_a_second_is_told():
    """Such as a text that has another name in it each time."""
    said = []
    log = CrashLog("a call raised", said.append)
    for tenth in range(100):
        log.tell(raised("broken " + "x" * tenth), tenth * 100 * MS)
    assert 10 <= len(said) <= 20


def test_a_trace_ends_where_it_was_raised():
    """The innermost lines, however deep the call was."""
    said = []

    def deep(calls):
        return deep(calls - 1) if calls else raised_here()

    def raised_here():
        raise ValueError("broken")

    try:
        deep(50)
    except ValueError as error:
        CrashLog("a call raised", said.append).tell(error, 0)
    assert "in raised_here" in said[0] and said[0].count("\n") < 40


@given(
    begin_ns=st.integers(10**12, 10**12 + 20 * MS),
    phase_ns=st.integers(-400 * MS, 0),
    period_ns=st.sampled_from([5, 10, 15, 20, 50]).map(lambda ms: ms * MS),
    grid_ns=st.sampled_from([10 * MS, 20 * MS]),
)
def test_deadlines_drift_to_their_phase_and_stay_there(begin_ns, phase_ns, period_ns, grid_ns):
    """No two are further from a period apart than a twentieth of one."""
    dues, apart_ns = [begin_ns], math.gcd(period_ns, grid_ns)
    for _ in range(DRIFT // 2 * apart_ns // period_ns + 3):
        dues.append(next_due_ns(dues[-1], period_ns, phase_ns, grid_ns))
    most_ns = period_ns // DRIFT
    assert all(abs(after - before - period_ns) <= most_ns for before, after in pairwise(dues))
    assert (dues[-1] - phase_ns) % apart_ns == 0
    assert next_due_ns(dues[-1], period_ns, phase_ns, grid_ns) == dues[-1] + period_ns


@given(
    begin=st.integers(10**5, 10**5 + 100),
    period_ns=st.integers(5, 50).map(lambda ms: ms * MS),
    grid_ns=st.sampled_from([0, 10 * MS, 20 * MS]),
)
def test_deadlines_in_phase_are_a_period_apart(begin, period_ns, grid_ns):
    """Whatever the period is, as long as the phase does not change."""
    due_ns, phase_ns = begin * (grid_ns or 1) - 103 * MS, -103 * MS
    for _ in range(50):
        after_ns = next_due_ns(due_ns, period_ns, phase_ns, grid_ns)
        assert after_ns == due_ns + period_ns
        due_ns = after_ns


@pytest.mark.parametrize("lost", range(11))
def test_windows_of_drifting_ticks_keep_the_commit_rule(lost):
    """So many are lost in a row, and half a period of the rule's own rounds is left."""
    for period_ns in (5 * MS, 20 * MS, 50 * MS):
        rounds_ns = ReplaySettings(lost_windows=lost, refresh_ns=period_ns).rounds_ns
        assert lost * (period_ns + period_ns // DRIFT) + period_ns // 2 <= rounds_ns
