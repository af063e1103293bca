"""When the next query is due, by what became of those before it.

Counts refused answers and errors in a row, remembers latencies; refuses to know what the arm does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gr00t_ros.core.replay import Replay
from gr00t_ros.core.session_settings import SessionSettings
from gr00t_ros.core.watchdog import Finding, consecutive_refusals

_SHORTEST_WAIT_NS = 100_000_000  # also where retry_ms is 0
_LONGEST_WAIT_NS = 4_000_000_000


@dataclass(slots=True)
class Asking:
    """One session's queries; `last_failure` is why the newest of them gave no chunk, or empty."""

    last_failure: str = ""
    _refusals: int = 0
    _errors: int = 0
    _retry_at_ns: int = 0
    _latencies_ns: deque[int] = field(default_factory=deque)
    _warmed_up: bool = False

    def begin(self) -> None:
        """An episode begins: what failed before is forgotten, latencies are not."""
        self.last_failure, self._retry_at_ns = "", 0
        self._refusals = self._errors = 0

    def at_once(self) -> None:
        """No wait after a failure any more: the next query is another one."""
        self._retry_at_ns = 0

    def answered(self, latency_ns: int, settings: SessionSettings) -> None:
        """A chunk came, `latency_ns` after its observation; the first one is warm-up."""
        if self._warmed_up:
            self._latencies_ns.append(latency_ns)
            if len(self._latencies_ns) > settings.latency_memory:
                self._latencies_ns.popleft()
        self._warmed_up = True

    def accepted(self) -> None:
        """The chunk was good: the row of refusals ends."""
        self.last_failure, self._refusals, self._errors = "", 0, 0

    def failed(self, reason: str, now_ns: int, settings: SessionSettings) -> None:
        """A query gave no chunk that can be played; the next waits."""
        self.last_failure, self._retry_at_ns = reason, now_ns + settings.retry_ns

    def put_off(self, reason: str, now_ns: int, settings: SessionSettings) -> None:
        """As `failed`, by an error that may pass: each in a row makes the wait twice as long."""
        self.failed(reason, now_ns, settings)
        first_ns = max(settings.retry_ns, _SHORTEST_WAIT_NS)
        wait_ns = max(settings.retry_ns, min(first_ns << self._errors, _LONGEST_WAIT_NS))
        self._retry_at_ns = now_ns + wait_ns
        self._errors = min(self._errors + 1, 10)

    def refused(self, reason: str, now_ns: int, settings: SessionSettings) -> Finding | None:
        """As `failed`, of a server that answered; a finding when it is one too many in a row."""
        self.failed(reason, now_ns, settings)
        self._refusals += 1
        return consecutive_refusals(self._refusals, settings.refusals_to_fault, reason)

    @property
    def delay_p99_ns(self) -> int:
        """p99 of the newest delays from an observation to its chunk, warm-up left out; 0: none."""
        delays_ns = sorted(self._latencies_ns)
        return delays_ns[-(-99 * len(delays_ns) // 100) - 1] if delays_ns else 0

    def due(self, now_ns: int, replay: Replay, has_chunk: bool, settings: SessionSettings) -> bool:
        """Whether to ask now, in a mode that wants chunks."""
        if now_ns < self._retry_at_ns:
            return False
        if not has_chunk or 0 < settings.execute_steps <= replay.consumed_steps(now_ns):
            return True
        return now_ns >= (replay.query_by_ns(max(self._latencies_ns, default=0)) or 0)
