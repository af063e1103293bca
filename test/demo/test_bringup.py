"""The processes of a simulated robot end with the one that started them, however it ends."""

import os
import signal
import sys

from ros_fixtures import wait_until

from gr00t_ros.demo.bringup import Bringup

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


def test_a_role_that_is_started_anew_ends_its_old_process(tmp_path):
    """Nobody would end it later: a robot must not have two commanders of one role."""
    bringup = Bringup(tmp_path)
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    try:
        bringup.start("sleeper", sleeper)
        old = bringup.children["sleeper"].pid
        bringup.start("sleeper", sleeper)
        assert not runs(old) and runs(bringup.children["sleeper"].pid)
    finally:
        bringup.end()
