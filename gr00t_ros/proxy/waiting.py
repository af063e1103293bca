"""Requests that wait in the proxy: clients take turns, and a batch waits for robots to come back.

A client's newest request goes first, because its older ones are stale.

A batch leaves at once, unless robots that come back at once are still missing. Without a wait, the
first robot that comes back after a batch would be sent alone or with few, and the others would be
the next batch: two half batches would alternate for ever. So after a reply the next batch waits for
those of its robots that came back at once before. Each that comes prolongs the wait, so it has a
bound: one wait before the first request that waits anywhere expires, all leave.
Pure: takes `now_ns`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

Job = TypeVar("Job")
_MAX_KEPT: Final = 1024  # of each kind: a client that changes its name fills no more


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Job]):
    job: Job
    until_ns: int


class FairQueue(Generic[Job]):
    """Jobs of several clients, which take turns; a job waits `max_wait_ns` at most."""

    def __init__(self, max_wait_ns: int, max_clients: int, max_jobs: int) -> None:
        """Keep jobs of at most `max_clients` clients, and at most `max_jobs` of each."""
        self._max_wait_ns, self._max_clients, self._max_jobs = max_wait_ns, max_clients, max_jobs
        self._turns: dict[Hashable, deque[_Waiting[Job]]] = {}  # the next client is first

    def push(self, client: Hashable, job: Job, now_ns: int) -> tuple[Job, ...]:
        """Add a job; return the jobs that it leaves no room for: itself or the client's oldest."""
        if client not in self._turns and len(self._turns) >= self._max_clients:
            return (job,)
        jobs = self._turns.setdefault(client, deque())
        jobs.append(_Waiting(job, now_ns + self._max_wait_ns))
        return (jobs.popleft().job,) if len(jobs) > self._max_jobs else ()

    def put_back(self, client: Hashable, job: Job, until_ns: int) -> None:
        """Return a job that was taken: its client is next, and it waits until `until_ns`.

        The client's newer jobs still go before it. There is always room for it.
        """
        jobs = self._turns.pop(client, deque())
        jobs.appendleft(_Waiting(job, until_ns))
        self._turns = {client: jobs, **self._turns}

    def first_jobs(self) -> Iterator[tuple[Hashable, Job]]:
        """Each client and its newest job, in the order of their turns."""
        return ((client, jobs[-1].job) for client, jobs in self._turns.items())

    def take(self, client: Hashable) -> Job:
        """Remove and return this client's newest job; the client is last then."""
        jobs = self._turns.pop(client)
        job = jobs.pop().job
        if jobs:
            self._turns[client] = jobs
        return job

    def expired(self, now_ns: int) -> tuple[Job, ...]:
        """Remove and return the jobs that have waited too long."""
        found: list[Job] = []
        for client, jobs in list(self._turns.items()):
            while jobs and jobs[0].until_ns <= now_ns:
                found.append(jobs.popleft().job)
            if not jobs:
                del self._turns[client]
        return tuple(found)

    def next_expiry_ns(self) -> int | None:
        """When the next job will have waited too long."""
        return min((jobs[0].until_ns for jobs in self._turns.values()), default=None)


class Gathering:
    """The robots that are expected to ask again at once.

    Those of one key, whose requests can be in one batch, wait for each other. The wait ends when
    all of them are there, when none came for `wait_ns`, or `wait_ns` before a request expires. A
    robot that did not come for `wait_ns` is not expected again until it comes in such a time by
    itself.
    """

    def __init__(self, wait_ns: int) -> None:
        self._wait_ns = wait_ns
        self._expected: dict[Hashable, Hashable] = {}  # client -> key of its last request
        self._slow: dict[Hashable, None] = {}  # the oldest first
        # Key -> the last reply, or the last arrival of one expected; the oldest key first.
        self._since_ns: dict[Hashable, int] = {}

    def landed(self, rows: Iterable[tuple[Hashable, Hashable]], now_ns: int) -> None:
        """Each client of these (client, key) has got its reply now."""
        keys = dict(rows)
        for key in keys.values():
            self._wait_from(key, now_ns)
        self._expected |= {client: key for client, key in keys.items() if client not in self._slow}
        _forget_oldest(self._expected)

    def arrived(self, client: Hashable, key: Hashable, now_ns: int) -> None:
        """A request of this key, which may be in a batch, has come."""
        since_ns = self._since_ns.get(key)
        in_time = since_ns is not None and now_ns <= since_ns + self._wait_ns
        if client in self._expected:
            del self._expected[client]
            self._wait_from(key, now_ns)
        elif in_time and client in self._slow:
            del self._slow[client]
            self._wait_from(key, now_ns)

    def until_ns(self, key: Hashable, expiry_ns: int) -> int | None:
        """How long a batch of this key waits if nobody comes; None: it does not wait.

        expiry_ns: when the first of all requests that wait expires.
        """
        since_ns = self._since_ns.get(key)
        if since_ns is None or key not in self._expected.values():
            return None
        return min(since_ns + self._wait_ns, expiry_ns - self._wait_ns)

    def is_over(self, key: Hashable, expiry_ns: int, now_ns: int) -> bool:
        """Whether a batch of this key may leave; those whom it waited for in vain are slow."""
        until_ns = self.until_ns(key, expiry_ns)
        if until_ns is not None and now_ns < until_ns:
            return False
        if until_ns is not None and now_ns >= self._since_ns[key] + self._wait_ns:
            self._give_up(key)
        return True

    def _give_up(self, key: Hashable) -> None:
        for client in [client for client, of in self._expected.items() if of == key]:
            del self._expected[client]
            self._slow[client] = None
        _forget_oldest(self._slow)

    def _wait_from(self, key: Hashable, now_ns: int) -> None:
        self._since_ns.pop(key, None)
        self._since_ns[key] = now_ns
        _forget_oldest(self._since_ns)


def _forget_oldest(kept: dict[Hashable, Any]) -> None:
    while len(kept) > _MAX_KEPT:
        del kept[next(iter(kept))]
