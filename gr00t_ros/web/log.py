"""The log of the page's server: its own thread writes it, so that nobody waits for a terminal."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from gr00t_ros.text_table import one_line, printable

_MOST_WAITING: Final = 1000
_LAST_S: Final = 1.0
_MOST_PROBLEM: Final = 300


class Log:
    """Writes lines to a file descriptor; a call never waits.

    A terminal that was halted (Ctrl-S) or a pipe that nobody reads would otherwise stop the event
    loop, and with it every e-stop. Lines without room in the queue are lost, and counted.
    """

    def __init__(self, descriptor: int = 2) -> None:
        """descriptor: by default stderr."""
        self._descriptor = descriptor
        self._lines: queue.Queue[str] = queue.Queue(_MOST_WAITING)
        self._lost = 0
        self._problem = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, name="web log", daemon=True)
        self._thread.start()

    def __call__(self, text: str) -> None:
        """Say who did what, in one line."""
        try:
            self._lines.put_nowait(_line(text))
        except queue.Full:
            self._lost += 1

    def problem(self, _loop: object, context: Mapping[str, Any]) -> None:
        """Log a problem that asyncio reports nowhere else, such as too many open files.

        Many connections cause it once a second each: the same text in a row is logged once.
        """
        error = context.get("exception")
        text = f"{context['message']}: {error}" if error else context["message"]
        if text != self._problem:
            self._problem = text
            self(one_line(text, _MOST_PROBLEM))

    def close(self) -> None:
        """Write what waits, unless that takes longer than a second."""
        self._ended.set()
        self._thread.join(_LAST_S)

    def _write(self) -> None:
        while not (self._ended.is_set() and self._lines.empty()):
            with suppress(queue.Empty):
                self._put(self._lines.get(timeout=0.05))
            lost, self._lost = self._lost, 0
            if lost:
                self._put(_line(f"{lost} lines were lost: nobody read this log in time"))

    def _put(self, line: str) -> None:
        with suppress(OSError):  # a closed stderr must not keep anybody from a stop
            os.write(self._descriptor, line.encode(errors="backslashreplace"))


def _line(text: str) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {printable(text)}\n"
