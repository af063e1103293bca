"""Makes Ctrl-C end a process without a traceback while nothing needs a clean shutdown.

The imports of a node take about a second. Nothing that needs a clean shutdown exists before they
are done.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def starting(interrupted: int = 0) -> Iterator[None]:
    """Within this context SIGINT ends the process at once with the exit status `interrupted`.

    Nodes use 0: SIGINT is the normal way to end them, and launch shows any other status as an
    error. If SIGINT is ignored already, as after `nohup ... &`, it stays ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(interrupted))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
