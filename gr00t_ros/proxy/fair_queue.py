"""FairQueue: clients take turns, however many requests each has waiting.

A client's newest request goes first, because its older ones are stale. Pure: takes `now_ns`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Job = TypeVar("Job")


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
