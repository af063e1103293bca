"""The policy node with stalls in its replay thread, as the file of --plant-file says.

`between S`: the next tick sleeps S seconds between computing its window and sending it. `hold`: the
thread waits at the start of a tick for as long as the file says so.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from gr00t_ros.node import node
from gr00t_ros.node.replay_thread import ReplayThread
from gr00t_ros.ros.clock import PlanClock

POLL_S = 0.005


def held_file(file: Path) -> Path:
    """The file that is there once the thread waits because `file` says `hold`."""
    return file.with_suffix(".held")


def plant(file: Path) -> None:
    """Make this process do what `file` says from now on."""
    offset_ns, drain = PlanClock.offset_ns, ReplayThread._drain

    def said(word: str) -> list[str]:
        words = file.read_text().split() if file.exists() else []
        return words[1:] or [word] if words[:1] == [word] else []

    def stalled_offset_ns(clock: PlanClock) -> int:
        found = offset_ns(clock)
        in_tick = threading.current_thread().name == "gr00t_replay"
        makes_window = sys._getframe(1).f_code is ReplayThread._run.__code__
        if in_tick and makes_window and (stall := said("between")):
            file.unlink()
            time.sleep(float(stall[0]))
        return found

    def held_drain(thread: ReplayThread, now_ns: int) -> None:
        while said("hold"):
            held_file(file).touch()
            time.sleep(POLL_S)
        drain(thread, now_ns)

    PlanClock.offset_ns, ReplayThread._drain = (  # type: ignore[method-assign]
        stalled_offset_ns,
        held_drain,
    )


if __name__ == "__main__":
    plant(Path(sys.argv[1]))
    sys.exit(node.main(sys.argv[2:]))
