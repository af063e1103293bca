"""How a process begins: while it imports or loads, Ctrl-C ends it without a traceback.

The imports of a node take about a second, and nothing that would have to be ended exists by then.
Refuses to know what is imported.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def starting(interrupted: int = 0) -> Iterator[None]:
    """While it lasts, SIGINT ends the process at once with the exit status `interrupted`.

    0 for nodes, which a person or a launch ends so; launch shows any other status as an error.
    A SIGINT that is ignored, as behind `nohup ... &`, stays ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(interrupted))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
