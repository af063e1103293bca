"""A question that a child process asks, so that its end is told whatever ends it.

Middleware can end its process from inside C, by exit, by abort or by a signal, and then no line of
Python runs any more. The parent process has no middleware, and sees how the child ends.
"""

from __future__ import annotations

import os
import select
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

_HANDLERS_RUN_S: Final = 0.1
"""Longest delay of a signal's handler."""
Tell = Callable[[int], object]
"""Takes the exit status as soon as it is known; the last one that it gets counts."""


def witnessed(ask: Callable[[Tell], object]) -> tuple[int | None, str]:
    """Ask in a child process; return the last status that it told, and how the process ended.

    The status is None if it told none: the exit status of the process itself may be that of the
    middleware. SIGINT and SIGTERM are passed on to it. This process must not have threads, nor
    ignore SIGCHLD (`command_line.program` sees to that). Raises
    OSError, with nothing asked, if the system has no pipe or no process for it.
    """
    reader, writer = os.pipe()
    passed_on = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)  # until each of the two can take them
    try:
        child = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
        os.close(reader)
        os.close(writer)
        raise
    if child == 0:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
            ask(lambda status: os.write(writer, bytes([status])))
        except BaseException:  # nothing of the parent's may run a second time
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)

    def pass_on(number: int, _frame: Any) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    before = {number: signal.signal(number, pass_on) for number in passed_on}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
    told = _all_of(reader)  # until the child has ended; it can be signalled until waitpid
    for number, handler in before.items():
        signal.signal(number, handler)
    return (told[-1] if told else None), _end_of(child)


def _all_of(reader: int) -> bytes:
    """Read a pipe to its end, and close it.

    A signal that comes just before a system call that waits does not end that call, and its handler
    runs only after it. So no call waits for long.
    """
    told = b""
    with open(reader, "rb", buffering=0) as pipe:
        while True:
            if select.select([pipe], [], [], _HANDLERS_RUN_S)[0]:
                part = pipe.read(4096)
                if not part:
                    return told
                told += part


def _end_of(child: int) -> str:
    """Wait for a child process and return how it ended: by a signal, or with a status."""
    try:
        _, ended = os.waitpid(child, 0)
    except ChildProcessError:  # somebody else waited for it
        return "with an unknown status"
    code = os.waitstatus_to_exitcode(ended)
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
