"""When a request that comes now is expected to be answered: admission by deadline.

Pure. A late answer is worse than none: the robot has played its chunk to the end by then, and the
work delays others. So a request is refused at once if its expected finish lies beyond its deadline.
A replica keeps to `longest_wait_ns`, with which its front counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_FAST: Final = 0.5
_SLOW: Final = 1 / 32


def _moved(value_ns: int, seen_ns: int, up: float, down: float) -> int:
    """Return an exponential average with one gain for larger and one for smaller values."""
    gain = up if seen_ns > value_ns else down
    return round(value_ns + gain * (seen_ns - value_ns))


def longest_wait_ns(rows: int, wait_ns: int, batch_ns: int) -> int:
    """How long a free policy waits at most for further rows of a batch.

    rows: most in one batch, of which each may come `wait_ns` after the one before. batch_ns: of one
    call of the policy; a wait that is longer costs more than the second call that it saves.
    """
    return min((rows - 1) * wait_ns, max(wait_ns, batch_ns))


@dataclass(slots=True)
class Expectation:
    """The expected time from a request to its answer.

    rows: most rows in one batch. wait_ns: longest wait for the next one. batch_ns: time of a full
    batch; rises fast and falls slowly, so that too few requests are admitted rather than too many.
    transport_ns: what a request takes beside its time in the replica; the other way round, because
    under load it contains waiting, which `after_ns` counts by itself. Both are 0 before the first
    answer.
    """

    rows: int
    wait_ns: int
    batch_ns: int = 0
    transport_ns: int = 0

    def saw_batch(self, batch_ns: int) -> None:
        """Take the time of one batch; 0: the policy was not called."""
        if batch_ns:
            self.batch_ns = _moved(self.batch_ns, batch_ns, _FAST, _SLOW)

    def saw_transport(self, transport_ns: int) -> None:
        """Take one request's time outside the replica."""
        self.transport_ns = _moved(self.transport_ns, max(0, transport_ns), _SLOW, _FAST)

    def after_ns(self, ahead: int, replicas: int) -> int:
        """Return the expected time of a request with `ahead` others before it.

        ``transport + wait + batch (1 + ceil(ahead / (replicas rows)))``: its own batch, and in the
        worst case every batch before it from its beginning. wait: `longest_wait_ns`, once, because
        a batch with another behind it is full. replicas: at least 1.
        """
        batches = 1 + -(-ahead // (replicas * self.rows))
        wait_ns = longest_wait_ns(self.rows, self.wait_ns, self.batch_ns)
        return self.transport_ns + wait_ns + batches * self.batch_ns
