"""What waits for a server that does one thing at a time: one client after the other, none stale.

Pure: takes `now_ns`, keeps jobs it knows nothing about. Clients take turns whatever the number
of their jobs; of one client's jobs the newest goes first, since its older ones are stale.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Job = TypeVar("Job")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Job]):
    job: Job
    until_ns: int


class FairQueue(Generic[Job]):
    """Jobs in turns of their clients; a job waits `max_wait_ns` at most."""

    def __init__(self, max_wait_ns: int, max_clients: int, max_jobs: int) -> None:
        """Keep jobs of `max_clients` clients, `max_jobs` of each."""
        self._max_wait_ns, self._max_clients, self._max_jobs = max_wait_ns, max_clients, max_jobs
        self._turns: dict[Hashable, deque[_Waiting[Job]]] = {}  # in the order of their turns

    def __len__(self) -> int:
        """How many jobs wait."""
        return sum(map(len, self._turns.values()))

    def push(self, client: Hashable, job: Job, now_ns: int) -> tuple[Job, ...]:
        """Take a job; return those that cannot wait on: the job itself, or the client's oldest."""
        if client not in self._turns and len(self._turns) >= self._max_clients:
            return (job,)
        jobs = self._turns.setdefault(client, deque())
        jobs.append(_Waiting(job, now_ns + self._max_wait_ns))
        return (jobs.popleft().job,) if len(jobs) > self._max_jobs else ()

    def pop(self) -> Job | None:
        """Return the newest job of the client whose turn it is, who then comes last."""
        if not self._turns:
            return None
        client = next(iter(self._turns))
        jobs = self._turns.pop(client)
        job = jobs.pop().job
        if jobs:
            self._turns[client] = jobs
        return job

    def expired(self, now_ns: int) -> tuple[Job, ...]:
        """Take out and return the jobs that have waited too long."""
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
