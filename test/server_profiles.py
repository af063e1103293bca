"""Servers for tests of watcher and supervisor: scripts, profiles of them, and what is left."""

import os
import time
from pathlib import Path

import pytest

from gr00t_ros.sidecar.profile import Profile, parse

LIMIT_S = 30.0
FAMILY = """
import os, signal, subprocess, sys, time
if sys.argv[1:] == ["stubborn"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
daemon = subprocess.Popen([sys.executable, "-S", "-c", child], start_new_session=True)
plain = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
print("FAMILY", os.getpid(), daemon.pid, plain.pid, flush=True)
time.sleep(600)
"""
"""A server with a child that left its session and ignores SIGTERM, and a plain one."""


def profile_of(*command: str, **keys) -> Profile:
    """A profile named `test`, of this interpreter; needs no license."""
    content = {"command": ["{python}", *command], "model_version": "none", **keys}
    return parse(content, "test", "test.yaml")


def hold(**keys) -> Profile:
    """A profile of our own server."""
    options = ("--host", "{host}", "--port", "{port}")
    return profile_of("-m", "gr00t_ros.sidecar", "hold", *options, **keys)


def script(code: str, *words: str, **keys) -> Profile:
    """A profile that runs some Python without site-packages: up in 20 ms."""
    return profile_of("-S", "-c", code, *words, **keys)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie has no hold on anything."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def family_of(line: str) -> list[int]:
    """The pids in the line that FAMILY prints."""
    assert line.startswith("FAMILY"), line
    return [int(word) for word in line.split()[1:]]


def until(condition, what: str, limit_s: float = LIMIT_S):
    """The first true value of `condition()`."""
    end = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"waited {limit_s:.0f} s in vain for {what}")
        time.sleep(0.005)
    return value


def until_gone(pids) -> None:
    """Until none of the processes is left."""
    until(lambda: not [pid for pid in pids if alive(pid)], f"the end of {pids}")


def open_descriptors() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))
