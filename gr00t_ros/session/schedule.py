"""The settings and counts of a session, and when its next query is due.

QuerySchedule counts refused answers and errors in a row and stores latencies. The session decides
what they mean for the arm.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gr00t_ros.motion.replay import Replay
from gr00t_ros.observe.moment import QueryTimes
from gr00t_ros.watch.finding import Finding
from gr00t_ros.watch.server import consecutive_refusals, growing_wait_ns
from gr00t_ros.watch.table import default, default_ns

LATENCY_MEMORY = 32
"""Newest queries whose latencies count: the longest sets the latest time of a query."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Thresholds of a session; ros/parameters.py has their ranges."""

    execute_steps: int = 8  # from query to query; 0: query as late as is safe
    blend_in_ns: int = 300_000_000  # time until a first chunk counts as blended in
    healthy_ticks: int = 10  # ticks without a finding before a pause ends
    retry_ns: int = 200_000_000  # wait after a failed query
    refusals_to_fault: int = default("refusals_to_fault")  # in a row
    collision_patience_ns: int = default_ns("collision_patience_s")  # in front of an obstacle
    rebase_rad: float = 1e-6  # held position further from the plan: the arm was moved
    shadow: bool = False  # nothing is commanded: the plan follows the arm, moved by others
    latency_memory: int = LATENCY_MEMORY


@dataclass(slots=True)
class SessionCounts:
    """Counts of the chunks and queries of this configuration, by their outcome."""

    accepted: int = 0
    clamped: int = 0
    refused: int = 0
    refusal: str = ""  # why the newest of them was refused
    dropped: int = 0
    failures: int = 0
    windows: int = 0
    restarts: int = 0  # in shadow: plan restarted at the arm, moved by others


_SHORTEST_WAIT_NS = 100_000_000  # after an error that may pass, also where retry_ms is 0


@dataclass(slots=True)
class QuerySchedule:
    """One session's queries.

    Call `begin` at each episode and ask `due` at each tick. Report each result: a chunk by
    `answered`, then `accepted` or `refused`; an error by `failed` or, if it may pass, `put_off`.
    `last_failure`: why the newest query gave no chunk, else empty.
    """

    last_failure: str = ""
    lead_ns: int = 0
    """How much earlier a query that is as late as is safe may leave, with a new picture."""
    _refusals: int = 0
    _errors: int = 0
    _retry_at_ns: int = 0
    _latencies_ns: deque[int] = field(default_factory=deque)
    _warmed_up: bool = False

    def begin(self) -> None:
        """Begin an episode: clear failures, keep latencies."""
        self.last_failure, self._retry_at_ns = "", 0
        self._refusals = self._errors = 0

    def at_once(self) -> None:
        """End the wait after a failure, because the next query has another instruction."""
        self._retry_at_ns = 0

    def answered(self, latency_ns: int, settings: SessionSettings) -> None:
        """Record a chunk that arrived `latency_ns` after its observation; the first is warm-up.

        A stamp that is a little ahead, as freshness allows, makes no time below 0.
        """
        if self._warmed_up:
            self._latencies_ns.append(max(0, latency_ns))
            if len(self._latencies_ns) > settings.latency_memory:
                self._latencies_ns.popleft()
        self._warmed_up = True

    def accepted(self) -> None:
        """Record that the chunk was accepted: this ends refusals and errors in a row."""
        self.last_failure, self._refusals, self._errors = "", 0, 0

    def failed(self, reason: str, now_ns: int, settings: SessionSettings) -> None:
        """Record a query without a usable chunk; the next query waits `retry_ns`."""
        self.last_failure, self._retry_at_ns = reason, now_ns + settings.retry_ns

    def put_off(self, reason: str, now_ns: int, settings: SessionSettings) -> None:
        """As `failed`, for an error that may pass: each in a row doubles the wait."""
        self.failed(reason, now_ns, settings)
        first_ns = max(settings.retry_ns, _SHORTEST_WAIT_NS)
        wait_ns = max(settings.retry_ns, growing_wait_ns(first_ns, self._errors))
        self._retry_at_ns = now_ns + wait_ns
        self._errors += 1

    def refused(self, reason: str, now_ns: int, settings: SessionSettings) -> Finding | None:
        """As `failed`, for an answer that was refused; a finding if it is one too many in a row."""
        self.failed(reason, now_ns, settings)
        self._refusals += 1
        return consecutive_refusals(self._refusals, settings.refusals_to_fault, reason)

    @property
    def delay_p99_ns(self) -> int:
        """p99 delay from observation to chunk, ns, without the warm-up; 0 if none is known."""
        delays_ns = sorted(self._latencies_ns)
        return delays_ns[-(-99 * len(delays_ns) // 100) - 1] if delays_ns else 0

    def times(self, replay: Replay, has_chunk: bool, settings: SessionSettings) -> QueryTimes:
        """From when on, and until when at the latest, the next query should leave; plan time.

        Until the latest time its chunk comes before the last one ends, as far as is known. Ask it
        only in a mode that takes chunks.
        """
        if not has_chunk:
            return QueryTimes(self._retry_at_ns)
        by_ns = replay.query_by_ns(max(self._latencies_ns, default=0))
        if by_ns is None:
            return QueryTimes(self._retry_at_ns)
        consumed_ns = replay.consumed_at_ns(settings.execute_steps)
        earliest_ns = by_ns - self.lead_ns if consumed_ns is None else min(consumed_ns, by_ns)
        return QueryTimes(max(earliest_ns, self._retry_at_ns), by_ns)

    def due(self, now_ns: int, replay: Replay, has_chunk: bool, settings: SessionSettings) -> bool:
        """Whether to query now; ask it only in a mode that takes chunks."""
        return self.times(replay, has_chunk, settings).earliest_ns <= now_ns
