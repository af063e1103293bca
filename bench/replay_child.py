"""The child processes of `bench replay`: the real streamer, and a bare loop to compare it with.

    python -m bench.replay_child bare|streamer PRIORITY FILE [ROS arguments]

On SIGTERM each writes the times of its ticks to FILE (.npy, int64 ns of CLOCK_MONOTONIC) and ends.
The bare loop only wakes up: the ticks that it misses are missed because of the machine.
"""

from __future__ import annotations

import signal
import sys
import time

import numpy as np

from gr00t_ros.ros.periodic import SWITCH_S, ask_for_fifo, sleep_until
from gr00t_ros.ros.process import run_node
from gr00t_ros.stream.joints import Streamer

PERIOD_NS = 5_000_000
TIMES: list[int] = []


class Stamped(Streamer):
    """The streamer, which also stores the time of each tick."""

    def _stream(self, now_ns: int, steady_ns: int) -> None:
        TIMES.append(time.monotonic_ns())
        super()._stream(now_ns, steady_ns)


def _bare(priority: int) -> None:
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: ended.append(number))
    if priority:
        ask_for_fifo(priority)
    due_ns = time.monotonic_ns()
    while not ended:
        sleep_until(due_ns := due_ns + PERIOD_NS)
        TIMES.append(time.monotonic_ns())
        due_ns = max(due_ns, TIMES[-1] - PERIOD_NS)


def main() -> None:
    """Run the loop that the command line names, then write its times."""
    kind, priority, file, *arguments = sys.argv[1:]
    if kind == "bare":
        _bare(int(priority))
    else:
        sys.setswitchinterval(SWITCH_S)
        options = ["--ros-args", "-p", f"realtime_priority:={priority}", *arguments]
        run_node(Stamped, options, lambda node: node.leave())  # type: ignore[attr-defined]  # a Stamped
    np.save(file, np.array(TIMES, dtype=np.int64))


if __name__ == "__main__":
    main()
