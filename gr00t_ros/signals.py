"""Ctrl-C and SIGTERM as an event, for programs that end in order; imports nothing of ROS."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Final

_LOOK_S: Final = 0.1


class StoppedBySignal(Exception):
    """The event of `stop_on_signals` was set: for a program to end a wait within many calls."""


class StopEvent(threading.Event):
    """An event that a signal handler may set, whatever the thread that it interrupts is doing.

    That thread may wait for the same event or set it. It then holds the event's lock, and with the
    plain lock of `threading.Event` the handler would wait for that for ever. This one's lock can be
    taken again by the thread that holds it. A handler that runs just before a wait begins wakes
    nobody, so no wait is longer than 0.1 s without a look.
    """

    def __init__(self) -> None:
        """Not set yet."""
        super().__init__()
        self._cond = threading.Condition(threading.RLock())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set, at most `timeout` s; returns whether it is set."""
        end_s = float("inf") if timeout is None else time.monotonic() + timeout
        while not self.is_set() and (left_s := end_s - time.monotonic()) > 0.0:
            super().wait(min(_LOOK_S, left_s))
        return self.is_set()


def stop_on_signals(*more: signal.Signals) -> StopEvent:
    """Install handlers of SIGINT, SIGTERM and `more`; each sets the event that is returned."""
    stop = StopEvent()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, *more):
        signal.signal(number, on_signal)
    return stop
