"""A signal that comes while the interrupted thread waits for its event, or sets it, is no hang."""

import signal
import subprocess
import sys

import pytest

from gr00t_ros.signals import StopEvent

WAITS = """
import os, signal, sys, threading
from gr00t_ros.signals import stop_on_signals

stop = stop_on_signals()
def press():
    for _ in range(5000):
        os.kill(os.getpid(), signal.SIGTERM)
presses = threading.Thread(target=press)
presses.start()
seen = 0
while presses.is_alive():
    seen += stop.wait(0.0)
    stop.clear()
print("ended", bool(seen))
"""


def test_thousands_of_signals_in_the_middle_of_waits_end_no_program_in_a_hang():
    """The plain event of Python's threading hangs here within some hundred of them."""
    done = subprocess.run(
        [sys.executable, "-c", WAITS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "ended True\n"), done.stderr


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
