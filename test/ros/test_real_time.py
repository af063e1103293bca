"""A simulated robot's threads come before ordinary processes, and what they start does not."""

import os
import threading

import pytest

from gr00t_ros.ros.periodic import ROBOT_PRIORITY, run_in_real_time


def test_a_thread_gets_the_priority_and_those_that_it_starts_do_not() -> None:
    """SCHED_RR for the thread itself only; False where it is not permitted."""
    ready, go = threading.Event(), threading.Event()
    policies = []

    def inner() -> None:
        policies.append(os.sched_getscheduler(0))

    def outer() -> None:
        ready.set()
        go.wait()
        policies.append(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)
        policies.append(os.sched_getparam(0).sched_priority)
        started = threading.Thread(target=inner)
        started.start()
        started.join()

    thread = threading.Thread(target=outer)
    thread.start()
    ready.wait()
    assert thread.native_id is not None
    given = run_in_real_time(thread.native_id)
    go.set()
    thread.join()
    if not given:
        pytest.skip("real-time priority is not permitted here")
    assert policies == [os.SCHED_RR, ROBOT_PRIORITY, os.SCHED_OTHER]


def test_a_thread_that_has_ended_is_no_error() -> None:
    """It may have raised at once; its own error is reported elsewhere."""
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.native_id is not None
    assert not run_in_real_time(thread.native_id)
