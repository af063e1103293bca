"""What ends a process's poll: from another thread, and from a signal without a race.

A signal that comes between Python's last look and the poll would only be handled when the poll
ends, so the interpreter's C handler itself writes to the socket pair that ends the poll.
"""

import contextlib
import signal
import socket


class Wake:
    """A socket pair that ends a poll: set from any thread or signal handler, and never drained."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._signals_were: int | None = None
        self.asked = False

    def set(self) -> None:
        """Ask to stop, for good."""
        self.asked = True
        with contextlib.suppress(OSError):  # full: already woken; closed: already stopped
            self._writer.send(b"\0")

    def set_on(self, *numbers: signal.Signals) -> None:
        """Let these signals call `set`; from the main thread, until `close`."""
        self._signals_were = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: self.set())

    def close(self) -> None:
        """Release the pair; idempotent."""
        if self._signals_were is not None:
            signal.set_wakeup_fd(self._signals_were)
            self._signals_were = None
        self.reader.close()
        self._writer.close()
