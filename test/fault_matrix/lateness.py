"""When this machine was late, by witnesses that know nothing of the node's own checks.

A bare thread on each processor that only sleeps, the simulated robot's joint states on their own
topic, and the kernel's count of how long the node's threads were ready and got no processor. All
times are steady time, as those of the statuses.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.node.replay_thread import STARVED_PERIODS
from gr00t_ros.ros.periodic import PeriodicThread
from gr00t_ros.sim.loop import TICK_NS
from gr00t_ros.sim.robot import SENSOR_TICKS

WAKE_NS = 5_000_000
REFRESH_NS = ReplaySettings().refresh_ns
LATE_NS = (STARVED_PERIODS - 1) * REFRESH_NS
"""The shortest lateness that a check of the node reacts to: a tick that did not come for so many
periods was due after one. The other checks allow 100 ms or more for what comes every 20 ms: one of
the two processes in between, node and robot, was then at least this late at once."""
MOST_CPUS = 8  # more threads would make this process late
KERNEL_NS = 20_000_000
"""Time between two looks at the kernel's counts."""
KERNEL_WITHIN_NS = STARVED_PERIODS * REFRESH_NS + 2 * KERNEL_NS
"""The waits of this time count together: the shortest such gap lies between two of the looks."""
BEFORE_NS = 500_000_000
"""How long before a status its cause may lie: 0.2 s is the largest limit of these checks, and the
node publishes its status ten times a second."""


class Lateness:
    """When the machine was late; a context manager that runs the bare threads.

    The host may take one processor alone: one thread could sleep on another one meanwhile.
    """

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []
        self._pid: int | None = None
        self._robot_ns, self._looked_ns = 0, 0
        self._waits: deque[tuple[int, dict[str, int]]] = deque()  # when looked, what was counted
        self._threads = {
            cpu: PeriodicThread(f"lateness_{cpu}", WAKE_NS, 0, partial(self._look, cpu), print)
            for cpu in sorted(os.sched_getaffinity(0))[:MOST_CPUS]
        }
        self._pinned: set[int] = set()

    def __enter__(self) -> Lateness:
        for thread in self._threads.values():
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for thread in self._threads.values():
            thread.stop()

    def watch(self, pid: int) -> None:
        """Look at the threads of this process from now on, the node's."""
        self._pid = pid

    def robot_spoke(self) -> None:
        """Take the arrival of the robot's joint states."""
        now_ns, last_ns = time.monotonic_ns(), self._robot_ns
        self._robot_ns = now_ns
        if last_ns:
            self.note(last_ns + SENSOR_TICKS * TICK_NS, now_ns)

    def note(self, due_ns: int, came_ns: int) -> None:
        """Something that was due came; nothing is kept of what was in time."""
        if came_ns - due_ns >= LATE_NS:
            self._spans.append((due_ns, came_ns))

    def kernel_said(self, waited_ns: dict[str, int], now_ns: int) -> None:
        """Take what each of the node's threads has waited since it began, by its number.

        The waits of all threads count: the one that holds the interpreter lock keeps those waiting
        that need it, one after the other.
        """
        self._waits.append((now_ns, waited_ns))
        while len(self._waits) > 2 and self._waits[1][0] <= now_ns - KERNEL_WITHIN_NS:
            self._waits.popleft()
        since_ns, known = self._waits[0]
        if sum(waited_ns[one] - known[one] for one in waited_ns.keys() & known.keys()) >= LATE_NS:
            self._spans.append((since_ns, now_ns))

    def before(self, at_ns: int) -> bool:
        """Whether the machine was late in the time of which a status of `at_ns` can speak."""
        spans = list(self._spans)
        return any(begin <= at_ns and end >= at_ns - BEFORE_NS for begin, end in spans)

    def _look(self, cpu: int) -> None:
        now_ns = time.monotonic_ns()
        self.note(self._threads[cpu].due_ns, now_ns)
        if cpu not in self._pinned:
            os.sched_setaffinity(0, {cpu})  # of this thread
            self._pinned.add(cpu)
        if cpu != min(self._threads):
            return
        if now_ns - self._looked_ns >= KERNEL_NS and self._pid is not None:
            self._looked_ns = now_ns
            self.kernel_said(dict(waits_ns(self._pid)), now_ns)


def waits_ns(pid: int) -> Iterator[tuple[str, int]]:
    """(thread, time since its start that it was ready and waited for a processor, ns).

    The second number of schedstat, see Documentation/scheduler/sched-stats.rst of Linux.
    """
    with suppress(OSError):  # the process, or one of its threads, has ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            yield thread.name, int((thread / "schedstat").read_text().split()[1])
