"""A thread that calls one function on absolute deadlines of steady time, and measures itself.

The replay thread, the pull thread and the streamers use it. If a call raises, the error is logged
once for each kind of error, and the next call starts on time. Deadlines that have passed are
skipped and counted; they are never caught up in a burst. Another thread may wake it in between for
a second function, which moves no deadline. The deadlines slowly follow a phase that changes. The
spin loop logs what its callbacks raise by the same rule (`CrashLog`).
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable

from gr00t_ros.motion.clocks import Latencies
from gr00t_ros.watch.finding import without_numbers

LATENESS = "replay_jitter"
SWITCH_S = 0.0005
"""Python's thread switch interval in a process whose periodic threads must be punctual, whatever
their priority. The default of 5 ms is a whole period: too long to wait for another thread."""
ROBOT_PRIORITY = 1
"""Of SCHED_RR: the lowest, which is above every process without real-time priority."""
DRIFT = 20
"""Two deadlines are a period apart, give or take one of so many parts of it, while they drift. The
commit rule has a whole period more than the windows that may be lost need, at most ten of them
(motion/replay_settings): half of it is left."""
_JOIN_S = 5.0
FRAMES = 8
"""Innermost stack frames of a traceback in the log."""
_KINDS = 8  # kinds of errors that are told apart
_LINE_NS = 1_000_000_000  # least time between two tracebacks of further kinds
_QUIET_NS = 10_000_000_000  # an error that has not come for so long is news again


class CrashLog:
    """Logs what is raised with a traceback: each kind of error once, until it is quiet for 10 s."""

    def __init__(self, what: str, log: Callable[[str], None]) -> None:
        """`what` raised is the first line of each text for `log`."""
        self._what, self._log = what, log
        self._raised_ns: dict[str, int] = {}  # kind -> when it came last
        self._more_ns = 0

    def tell(self, error: Exception, now_ns: int) -> None:
        """Log the error, unless one that differs in numbers only keeps coming.

        After _KINDS kinds, which no text without numbers should have, only one a second is logged.
        """
        kind = without_numbers(f"{type(error).__name__}: {error}")
        quiet_ns = now_ns - self._raised_ns.get(kind, now_ns - _QUIET_NS)
        if kind in self._raised_ns or len(self._raised_ns) < _KINDS:
            self._raised_ns[kind] = now_ns
        elif now_ns < self._more_ns:
            return
        else:
            self._more_ns = now_ns + _LINE_NS
        if quiet_ns < _QUIET_NS:
            return
        lines = traceback.format_exception(type(error), error, error.__traceback__, -FRAMES)
        with contextlib.suppress(Exception):  # a failing log must not end what goes on
            self._log(f"{self._what}:\n{''.join(lines)}")


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
        between: Callable[[], None] | None = None,
        phase_ns: int = 0,
        grid_ns: int = 0,
    ) -> None:
        """Prepare to run `call` every `period_ns`; `realtime_priority` 0: ordinary scheduling.

        `log` receives error text and `after_crash` the exception that `call` raised; both are
        called from the thread. So is `between`, for each `wake` between two deadlines. grid_ns: the
        first deadline is a multiple of it plus `phase_ns`, steady time; 0: wherever it falls.
        """
        self._period_ns, self._priority = period_ns, realtime_priority
        self._grid_ns = grid_ns
        self.phase_ns = phase_ns
        """Calls may change it: the next deadlines drift there."""
        self._call, self._between, self._log = call, between, log
        self._crashes = CrashLog(f"{name}: a call raised, the next one starts on time", log)
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._after_crash = after_crash
        self._stopping = False
        self.due_ns = 0
        """The deadline of the current call, steady time."""
        self.latencies = Latencies()
        self.missed = 0
        self.realtime = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def thread_id(self) -> int:
        """The running thread's number in the system."""
        assert self._thread.native_id is not None, "started"
        return self._thread.native_id

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Have `between` called as soon as no call runs; from any thread."""
        self._wakes.put(None)

    def tell(self, error: Exception) -> None:
        """Log an error of this thread's work that nobody waits for, as one of `call`."""
        self._crashes.tell(error, time.monotonic_ns())

    def stop(self) -> None:
        """End the thread and wait for it; `call` does not run again afterwards."""
        self._stopping = True
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        refused = ask_for_fifo(self._priority) if self._priority else ""
        self.realtime = bool(self._priority) and not refused
        if refused:
            self._log(refused)
        self.due_ns = self._first_due_ns(time.monotonic_ns() + self._period_ns)
        while not self._stopping:
            if self._between is None:
                sleep_until(self.due_ns)
            else:
                self._wait(self._between)
            late_ns = time.monotonic_ns() - self.due_ns
            self._call_safely(self._call)
            self.latencies.add(LATENESS, late_ns)
            skipped = (time.monotonic_ns() - self.due_ns) // self._period_ns
            self.missed += skipped
            self.due_ns += skipped * self._period_ns
            self.due_ns = next_due_ns(self.due_ns, self._period_ns, self.phase_ns, self._grid_ns)

    def _first_due_ns(self, earliest_ns: int) -> int:
        if not self._grid_ns:
            return earliest_ns
        return earliest_ns + (self.phase_ns - earliest_ns) % self._grid_ns

    def _wait(self, between: Callable[[], None]) -> None:
        """Wait for the deadline, and call `between` for each wake until then."""
        while (left_ns := self.due_ns - time.monotonic_ns()) > 0:
            try:
                self._wakes.get(timeout=left_ns * 1e-9)
            except queue.Empty:
                continue
            self._call_safely(between)

    def _call_safely(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self._crashes.tell(error, time.monotonic_ns())
            try:
                if self._after_crash is not None:
                    self._after_crash(error)
            except Exception as another:
                self._crashes.tell(another, time.monotonic_ns())


def next_due_ns(due_ns: int, period_ns: int, phase_ns: int, grid_ns: int) -> int:
    """The deadline after `due_ns`, which drifts the shorter way to a multiple of the grid + phase.

    If the period is no multiple of the grid, some of the deadlines are there.
    """
    if not grid_ns:
        return due_ns + period_ns
    apart_ns, most_ns = math.gcd(period_ns, grid_ns), period_ns // DRIFT
    later_ns = (phase_ns - due_ns) % apart_ns
    shift_ns = later_ns if later_ns <= apart_ns // 2 else later_ns - apart_ns
    return due_ns + period_ns + min(max(shift_ns, -most_ns), most_ns)


def sleep_until(due_ns: int) -> None:
    """Sleep until steady time `due_ns`; return at once if it has passed."""
    remaining_ns = due_ns - time.monotonic_ns()
    if remaining_ns > 0:
        time.sleep(remaining_ns * 1e-9)


def ask_for_fifo(priority: int) -> str:
    """Request SCHED_FIFO for this thread; returns why it was not granted, empty if it was."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return f"no SCHED_FIFO {priority}: {error}; see rtprio in limits.conf"
    return ""


def run_in_real_time(*threads: int) -> bool:
    """Give these threads of this process real-time priority; False where that is not permitted.

    A robot's own computer does not wait for the policy's processes; the simulated one should not
    either. Its cameras are left out: rendering would keep the policy's processes waiting. Threads
    that these start later do not inherit it.
    """
    policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    try:
        for thread in threads:
            os.sched_setscheduler(thread, policy, os.sched_param(ROBOT_PRIORITY))
    except (PermissionError, ProcessLookupError):  # the latter: it raised, and `check` will say so
        return False
    return True
