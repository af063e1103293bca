"""What a client of a policy server has counted; refuses to know sockets and time."""

from __future__ import annotations

from dataclasses import dataclass

from gr00t_ros.core.errors import (
    DeadlineError,
    RefusedError,
    RemoteError,
    UnreachableError,
    WireError,
)


@dataclass(slots=True)
class ClientCounts:
    """Since the client was made; each ends in one of the fields after it.

    connections: opened so far, behind a new one there may be another server. timeouts: sent and
    not answered by the deadline; the reply that comes late is dropped with its connection and
    never read. unreachable: nobody there, or lost before the reply. errors: the server's own
    error texts, a refused token or key included. invalid: replies that are no valid message.
    """

    connections: int = 0
    requests: int = 0
    replies: int = 0
    timeouts: int = 0
    unreachable: int = 0
    errors: int = 0
    invalid: int = 0

    def note(self, error: Exception | None) -> None:
        """Count how one request ended, None for a reply."""
        if error is None:
            self.replies += 1
        elif isinstance(error, DeadlineError):
            self.timeouts += 1
        elif isinstance(error, UnreachableError):
            self.unreachable += 1
        elif isinstance(error, RemoteError | RefusedError):
            self.errors += 1
        elif isinstance(error, WireError):
            self.invalid += 1
