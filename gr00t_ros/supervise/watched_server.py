"""One run of a server under its watcher: its output lines, its pid, and how it ended.

The output becomes lines for a log: decoded, cleaned and cut, with few lines of progress bars. Use
it from one thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from gr00t_ros.supervise import watcher
from gr00t_ros.supervise.watcher import DOCKER_LIMIT_S, Spec
from gr00t_ros.text_table import ESCAPES, printable

MAX_CHARACTERS: Final = 500
_MAX_PENDING_BYTES: Final = 65_536  # for a server that never ends a line
_READ_BYTES: Final = 65_536
_REAP_LIMIT_S: Final = 5.0
_PROGRESS_NS: Final = 1_000_000_000
_ENDS: Final = re.compile(rb"\r\n|\n|\r")


class LogLines:
    """Splits a byte stream into lines; keeps the last `keep` of them.

    A line that ends in a carriage return belongs to a progress bar: one per second is passed on.
    """

    def __init__(self, keep: int = 20) -> None:
        self.last: deque[str] = deque(maxlen=keep)
        self._pending = b""
        self._progress_ns: int | None = None

    def feed(self, data: bytes, now_ns: int) -> list[str]:
        """Take received bytes; return the lines that are now complete, without empty ones."""
        # A carriage return at the very end may be half of \r\n: it waits for the next bytes.
        pending = self._pending + data
        lines: list[str] = []
        start = 0
        for end in _ENDS.finditer(pending):
            if end.group() == b"\r" and end.end() == len(pending):
                break
            self._add(lines, pending[start : end.start()], end.group() == b"\r", now_ns)
            start = end.end()
        self._pending = pending[start:]
        if len(self._pending) > _MAX_PENDING_BYTES:
            lines.extend(self.flush())
        return lines

    def flush(self) -> list[str]:
        """Return the remaining bytes as a last line, unless it is empty."""
        lines: list[str] = []
        self._add(lines, self._pending, False, 0)
        self._pending = b""
        return lines

    def _add(self, lines: list[str], raw: bytes, progress: bool, now_ns: int) -> None:
        if progress:
            if self._progress_ns is not None and now_ns - self._progress_ns < _PROGRESS_NS:
                return
            self._progress_ns = now_ns
        text = clean(raw)
        if text:
            self.last.append(text)
            lines.append(text)


def clean(raw: bytes) -> str:
    """Return `raw` as one printable line of at most MAX_CHARACTERS, without terminal escapes."""
    text = printable(ESCAPES.sub("", raw.decode("utf-8", "replace")).expandtabs(4)).rstrip()
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 3] + "..."


class WatchedServer:
    """A server process that cannot outlive this process.

    pid: the server's, after it has started. ended: it and all its child processes are gone.
    exit_code: negative for a signal, None if it never started. problem: the reason as a text, if
    the exit code does not show it.
    """

    def __init__(self, spec: Spec, redact: Callable[[str], str] = str) -> None:
        """Start it; what the watcher reports is never raised. Lines pass through `redact`."""
        self._spec, self._redact = spec, redact
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", watcher.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            start_new_session=True,
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._events, self._output = self._process.stdout.fileno(), self._process.stderr.fileno()
        for descriptor in (self._events, self._output):
            os.set_blocking(descriptor, False)
        self._lines, self._reported = LogLines(), b""
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.problem, self.ended = "", False
        self._send(spec.line())

    def wait(self, timeout_s: float, wake: socket.socket | None = None) -> list[str]:
        """Return the server's new lines; ends early at a new line, the server's end, or `wake`."""
        poller = select.poll()
        for descriptor in (self._events, self._output, *([wake.fileno()] if wake else [])):
            poller.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poller.poll(timeout_s * 1e3)}
        lines = self._read_output()[0] if self._output in ready else []
        if self._events in ready and not self._read_events():
            lines += self._finish()
        return [self._redact(line) for line in lines]

    def last_lines(self) -> tuple[str, ...]:
        """Return the last lines of its output."""
        return tuple(self._redact(line) for line in self._lines.last)

    def end(self) -> None:
        """Ask the watcher to end it; call `wait` until `ended`."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]  # checked in __init__

    def _send(self, line: bytes) -> None:
        descriptor = self._process.stdin.fileno()  # type: ignore[union-attr]  # as above
        with contextlib.suppress(BrokenPipeError):  # then `_finish` reports the watcher's end
            while line:
                line = line[os.write(descriptor, line) :]

    def _read_output(self) -> tuple[list[str], bool]:
        """Return the lines that are now complete, and whether there was anything to read."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._output, _READ_BYTES)
            return self._lines.feed(data, time.monotonic_ns()), bool(data)
        return [], False

    def _read_events(self) -> bool:
        """Take the watcher's events; return False after its end."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._events, _READ_BYTES)
            *lines, self._reported = (self._reported + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
            return bool(data)
        return True

    def _take(self, event: dict[str, object]) -> None:
        pid, code, left = event.get("pid"), event.get("exit"), event.get("left")
        if isinstance(pid, int):
            self.pid = pid
        if isinstance(code, int):
            self.exit_code = code
        if left:
            self.problem = f"{left} of its processes cannot be killed and may hold the GPU"
        self.problem = str(event.get("error", self.problem))

    def _finish(self) -> list[str]:
        """After the watcher's end: read the rest, reap it, and clean up if it could not."""
        lines, more = self._read_output()
        while more:
            rest, more = self._read_output()
            lines += rest
        lines += self._lines.flush()
        if self.exit_code is None and not self.problem:
            self.problem = "its watcher was killed"
            self._end_unwatched()
        self.end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_LIMIT_S)
        for pipe in (self._process.stdout, self._process.stderr):
            pipe.close()  # type: ignore[union-attr]  # as above
        self.ended = True
        return lines

    def _end_unwatched(self) -> None:
        """Kill the server's group and container; its parent-death signal has killed the server."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        if self._spec.container is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [self._spec.docker, "rm", "--force", self._spec.container],
                    env=dict(self._spec.environment),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=DOCKER_LIMIT_S,
                    check=False,
                )
