"""The processes of a simulated robot end with the one that started them, however it ends."""

import os
import signal

from ros_fixtures import wait_until

STARTER = """
import sys, time
from pathlib import Path
from gr00t_ros.demo.bringup import Bringup

bringup = Bringup(Path(sys.argv[1]))
bringup.start("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"])
print(f"STARTED {bringup.children['sleeper'].pid}", flush=True)
time.sleep(600)
"""


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_bringup_leaves_no_process(processes, tmp_path):
    """It cannot end its children any more: the kernel does."""
    starter = processes.start("-c", STARTER, str(tmp_path), name="starter")
    pid = int(starter.wait_for_line(r"STARTED (\d+)").group(1))
    assert runs(pid)
    os.kill(starter.pid, signal.SIGKILL)
    wait_until(lambda: not runs(pid), "the end of the child")
