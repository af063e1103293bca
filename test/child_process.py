"""One child process of a test: its output in a file, its end certain. Knows nothing of ROS."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

TAIL_LINES = 40
# How long each signal may take; a loaded machine is slow, and a passing test waits for none.
ESCALATION = ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
GRACE_S = 5.0  # for descendants that end because their parent did


class Child:
    """A running interpreter in a session of its own, so that its descendants can be told."""

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self.pid = self.popen.pid

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal, None while it runs."""
        return self.popen.poll()

    def text(self) -> str:
        """All output so far."""
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        """The last lines of the output."""
        return "\n".join(self.text().splitlines()[-TAIL_LINES:])

    def wait_for_line(self, pattern: str, limit_s: float = 30.0) -> re.Match[str]:
        """The first match of a regular expression in the output.

        Fails the test when the child ends without it, or after `limit_s` seconds.
        """
        end = time.monotonic() + limit_s
        while True:
            ended = self.status is not None  # asked before reading: its last words count
            match = re.search(pattern, self.text(), re.MULTILINE)
            if match:
                return match
            if ended or time.monotonic() > end:
                why = f"ended with {self.status}" if ended else f"took over {limit_s:.0f} s"
                pytest.fail(f"no line like {pattern!r}, {self.log.name} {why}:\n{self.tail()}")
            time.sleep(0.01)

    def wait(self, limit_s: float = 30.0) -> int:
        """Exit status, once the child has ended by itself; fails the test after `limit_s`."""
        try:
            return self.popen.wait(limit_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.log.name} still runs after {limit_s:.0f} s:\n{self.tail()}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this child alone."""
        self.popen.send_signal(number)

    def stop(self) -> int:
        """Exit status after SIGINT, or SIGTERM where that does not help, or SIGKILL."""
        for number, limit_s in ESCALATION:
            if self.status is not None:
                break
            self.signal(signal.SIGCONT)  # a test may have frozen it
            self.signal(number)
            try:
                self.popen.wait(limit_s)
            except subprocess.TimeoutExpired:
                continue
        return self.popen.wait(ESCALATION[-1][1])

    def kill_leftovers(self) -> list[str]:
        """Kill what the child has started and left behind; their command lines."""
        end = time.monotonic() + GRACE_S
        while (left := self._descendants()) and time.monotonic() < end:
            time.sleep(0.01)
        commands = [_command(pid) for pid in left]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return commands

    def _descendants(self) -> list[int]:
        processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in processes if _session(pid) == self.pid]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _command(pid: int) -> str:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return f"process {pid}"
    return line.replace(b"\0", b" ").decode(errors="replace")
