"""Makes Ctrl-C end a process without a traceback while nothing needs a clean shutdown.

The imports of a node take about a second. Nothing that needs a clean shutdown exists before they
are done. This module imports little, so that it can be the first import of a program. Before it,
and while Python itself ends, Ctrl-C is Python's own: a traceback, or death by the signal.
"""

from __future__ import annotations

import os
import signal


class starting:  # noqa: N801 - used like a function: `with starting():`
    """Within this context SIGINT ends the process at once with the exit status `interrupted`.

    Nodes use 0: SIGINT is the normal way to end them, and launch shows any other status as an
    error. If SIGINT is ignored already, as after `nohup ... &`, it stays ignored.
    """

    def __init__(self, interrupted: int = 0) -> None:
        """Nothing changes before the context is entered."""
        self._interrupted = interrupted
        self._before = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> None:
        """Handle SIGINT by an exit, where it would raise KeyboardInterrupt."""
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, lambda *_: os._exit(self._interrupted))

    def __exit__(self, *_: object) -> None:
        """Restore what SIGINT did before."""
        signal.signal(signal.SIGINT, self._before)
