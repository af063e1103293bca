"""A thread that calls one function on absolute deadlines of steady time, and measures itself.

The replay thread and the streamers run on it. Refuses to know what it calls. A call that raises is
logged, once for each kind of error, and the next one comes on time; deadlines that have passed are
skipped and counted, never made up for in a burst.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import traceback
from collections.abc import Callable

from gr00t_ros.motion.clocks import Latencies
from gr00t_ros.watch.finding import without_numbers

LATENESS = "replay_jitter"
_JOIN_S = 5.0
_FRAMES = 8  # of a trace in the log
_LINE_NS = 1_000_000_000  # between two traces, whatever they say


class PeriodicThread:
    """Runs from `start` to `stop`; `latencies` has the lateness of its calls, ns."""

    def __init__(
        self,
        name: str,
        period_ns: int,
        realtime_priority: int,
        call: Callable[[], None],
        log: Callable[[str], None],
        after_crash: Callable[[Exception], None] | None = None,
    ) -> None:
        """`call` runs every `period_ns`; `realtime_priority` 0: ordinary scheduling.

        `log` takes error text, and `after_crash` what the call has raised, both from the thread.
        """
        self._period_ns, self._priority = period_ns, realtime_priority
        self._call, self._log = call, log
        self._after_crash = after_crash
        self._stopping = False
        self._crash, self._said_ns = "", 0
        self.due_ns = 0
        """The deadline of the call that is under way, steady time."""
        self.latencies = Latencies()
        self.missed = 0
        self.realtime = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it; nothing is called afterwards."""
        self._stopping = True
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        refused = ask_for_fifo(self._priority) if self._priority else ""
        self.realtime = bool(self._priority) and not refused
        if refused:
            self._log(refused)
        self.due_ns = time.monotonic_ns() + self._period_ns
        while not self._stopping:
            sleep_until(self.due_ns)
            late_ns = time.monotonic_ns() - self.due_ns
            self._call_safely()
            self.latencies.add(LATENESS, late_ns)
            skipped = (time.monotonic_ns() - self.due_ns) // self._period_ns
            self.missed += skipped
            self.due_ns += (skipped + 1) * self._period_ns

    def _call_safely(self) -> None:
        try:
            self._call()
        except Exception as error:
            self._say(error)
            try:
                if self._after_crash is not None:
                    self._after_crash(error)
            except Exception as another:
                self._say(another)

    def _say(self, error: Exception) -> None:
        """Log the error with its trace, unless only its numbers differ from the last one's."""
        kind, now_ns = without_numbers(f"{type(error).__name__}: {error}"), time.monotonic_ns()
        if kind == self._crash or (self._crash and now_ns - self._said_ns < _LINE_NS):
            return
        self._crash, self._said_ns = kind, now_ns
        told = traceback.format_exception(type(error), error, error.__traceback__, _FRAMES)
        trace = "".join(told)
        with contextlib.suppress(Exception):  # a log that fails must not end the thread
            self._log(f"{self._thread.name}: a call raised, the next one comes on time:\n{trace}")


def sleep_until(due_ns: int) -> None:
    """Sleep until `due_ns` of steady time; returns at once when that has passed."""
    remaining_ns = due_ns - time.monotonic_ns()
    if remaining_ns > 0:
        time.sleep(remaining_ns * 1e-9)


def ask_for_fifo(priority: int) -> str:
    """Have this thread scheduled SCHED_FIFO; returns why not, empty when it is."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return f"no SCHED_FIFO {priority}: {error}; see rtprio in limits.conf"
    return ""
