"""A signal that comes while the interrupted thread waits for its event, or sets it, is no hang."""

import signal
import subprocess
import sys

import pytest

from gr00t_ros.signals import StopEvent

WAITS = """
import signal
from gr00t_ros.signals import stop_on_signals

stop, seen = stop_on_signals(signal.SIGALRM), 0
signal.setitimer(signal.ITIMER_REAL, 1e-3, 2e-4)
while seen < 1000:
    seen += stop.wait(1e-5)
    stop.clear()
signal.setitimer(signal.ITIMER_REAL, 0.0)
print("ended")
"""


def test_a_thousand_signals_in_the_middle_of_waits_hang_no_program():
    """With the plain event of Python's threading it does not end well."""
    done = subprocess.run(
        [sys.executable, "-c", WAITS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr[-2000:]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_event_that_is_being_set_can_be_set_by_a_handler(number):
    """Ctrl-C in a terminal, and launch's own SIGINT right behind it."""
    stop = StopEvent()
    before = signal.signal(number, lambda *_: stop.set())
    try:
        with stop._cond:  # as in `set` and `wait`
            signal.raise_signal(number)
            assert stop.is_set()
    finally:
        signal.signal(number, before)
    assert stop.wait(0.0)


@pytest.mark.timeout(60)
def test_a_signal_just_before_the_wait_begins_ends_it(monkeypatch):
    """Its handler finds nobody to wake: the wait has looked at the event already."""
    stop = StopEvent()
    owned = stop._cond._is_owned

    def pressed():
        stop._cond._is_owned = owned
        stop.set()
        return owned()

    monkeypatch.setattr(stop._cond, "_is_owned", pressed)
    assert stop.wait(600.0)


def test_a_wait_ends_at_its_time():
    """Longer than one look, and without any time."""
    stop = StopEvent()
    assert not stop.wait(0.25) and not stop.wait(0.0) and not stop.wait(-1.0)
    stop.set()
    assert stop.wait() and stop.wait(0.0)
