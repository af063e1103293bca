"""A server's output as lines fit for a log: decoded, cleaned, cut, progress bars thinned out.

Pure: bytes and `now_ns` in, texts out.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

from gr00t_ros.sidecar.text_table import ESCAPES, printable

MAX_CHARACTERS: Final = 500
_MAX_PENDING_BYTES: Final = 65_536  # a server may never end a line
_PROGRESS_NS: Final = 1_000_000_000
_ENDS: Final = re.compile(rb"\r\n|\n|\r")


class LogLines:
    """Cuts a byte stream into lines; remembers the last `keep` of them.

    A line that ends in a carriage return is a progress bar's: one a second is passed on.
    """

    def __init__(self, keep: int = 20) -> None:
        self.last: deque[str] = deque(maxlen=keep)
        self._pending = b""
        self._progress_ns: int | None = None

    def feed(self, data: bytes, now_ns: int) -> list[str]:
        """Take what came; return the lines that are complete now, without empty ones."""
        # A carriage return at the very end may be half of \\r\\n: it waits for what follows.
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
        """Return what is left as a last line, where it is not empty."""
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
