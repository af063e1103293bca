"""Which batches a server accepts, and whose rows it refuses: learnt from its replies.

A batch that fails is sent again row by row. If some rows fail alone, they are bad: their robots are
sent alone until one of their requests passes. If every row passes alone, the server refuses the
batch: smaller ones are sent for a while, down to single requests. A row may get no outcome, because
its turn comes too late or the server goes away. If no row failed beside it, it may be the bad one,
and its robot is sent alone once; but if that happens to two batches in a row, while requests alone
pass, the server refuses the batches. Pure: takes `now_ns`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final

AGAIN_S: Final = 600  # after which batches of full size are tried again
_MAX_ALONE: Final = 1024  # remembered: a client that changes its name fills no more
_STRIKES: Final = 2  # failed batches in a row without a bad row: their size is the reason


@dataclass(slots=True)
class BatchTrial:
    """A batch that failed, whose rows are sent alone; why: what the server answered.

    failed, unknown: clients of the rows that failed alone, and of those without an outcome.
    """

    size: int
    why: str = field(repr=False)
    left: int
    failed: list[Hashable] = field(default_factory=list)
    unknown: list[Hashable] = field(default_factory=list)


class SentAlone:
    """Clients whose requests are sent alone until one passes: a bad row costs others one batch."""

    def __init__(self) -> None:
        self._clients: dict[Hashable, None] = {}  # the oldest first

    def __contains__(self, client: Hashable) -> bool:
        return client in self._clients

    def add(self, client: Hashable) -> None:
        """Send this client's requests alone."""
        self._clients[client] = None
        if len(self._clients) > _MAX_ALONE:
            del self._clients[next(iter(self._clients))]

    def passed(self, client: Hashable) -> None:
        """A request of this client was accepted."""
        self._clients.pop(client, None)


class Acceptance:
    """The largest batch for now, and the clients that are sent alone.

    state: a text for clients and operators, without anything that a server said. news: texts for
    the log, taken by the caller; they quote the server.
    """

    def __init__(self, most: int) -> None:
        self._full = self._most = most
        self._again_ns = self._strikes = 0
        self._passes_alone = False  # a request sent alone, since the first of the strikes
        self._alone = SentAlone()
        self.news: list[str] = []

    @property
    def state(self) -> str:
        """What a ping says."""
        most = f"batches of at most {self._most}" if self._most > 1 else "single requests"
        return most if self._most == self._full else f"{most}, the server refuses larger ones"

    def most(self, now_ns: int) -> int:
        """The largest number of rows now."""
        if self._most < self._full and now_ns >= self._again_ns:
            self._most = self._full
            self.news.append(f"batches of {self._full} are tried again")
        return self._most

    def is_alone(self, client: Hashable) -> bool:
        """Whether this client's requests are sent alone."""
        return client in self._alone

    def accepted(self) -> None:
        """A batch was answered."""
        self._strikes = 0

    def refused(self, size: int, why: str) -> BatchTrial:
        """Begin the trial of a batch that failed with a reply."""
        self._note_failure()
        return BatchTrial(size, why, size)

    def unanswered(self, clients: Iterable[Hashable], size: int, why: str, now_ns: int) -> None:
        """A batch got no reply."""
        self._note_failure()
        self._strike(clients, size, f"gave no reply to batches of {size} ({why})", now_ns)

    def settled(
        self, client: Hashable, passed: bool, trial: BatchTrial | None, now_ns: int
    ) -> None:
        """Note that a request sent alone was answered. trial: the refused batch that had it."""
        if passed:
            self._alone.passed(client)
            self._passes_alone = True
        if trial is not None:
            trial.failed += [] if passed else [client]
            self._settle(trial, now_ns)

    def unsettled(self, client: Hashable, trial: BatchTrial, now_ns: int) -> None:
        """A row of a trial will have no outcome."""
        trial.unknown.append(client)
        self._settle(trial, now_ns)

    def _settle(self, trial: BatchTrial, now_ns: int) -> None:
        """A row of a trial was noted; the last one decides."""
        trial.left -= 1
        if trial.left:
            return
        if trial.failed:
            self._blame(trial)
        elif trial.unknown:
            what = f"refuses batches of {trial.size} of which no row failed alone ({trial.why})"
            self._strike(trial.unknown, trial.size, what, now_ns)
        else:
            what = f"refuses batches of {trial.size} whose rows it accepts alone ({trial.why})"
            self._lower(trial.size, what, now_ns)

    def _blame(self, trial: BatchTrial) -> None:
        """The rows that failed alone are bad, unless the server refuses everything now."""
        if len(trial.failed) < trial.size:
            self._strikes = 0
            for client in trial.failed:
                self._alone.add(client)

    def _note_failure(self) -> None:
        """A batch has failed: what passed alone before the first of several proves nothing."""
        if not self._strikes:
            self._passes_alone = False

    def _strike(self, unknown: Iterable[Hashable], size: int, what: str, now_ns: int) -> None:
        """A batch failed, and no row is known to be bad: the second time it is its size."""
        for client in unknown:
            self._alone.add(client)
        self._strikes += 1
        if self._strikes >= _STRIKES and self._passes_alone:
            self._lower(size, what, now_ns)

    def _lower(self, size: int, what: str, now_ns: int) -> None:
        self._strikes = 0
        self._most = max(1, min(self._most, size // 2))
        self._again_ns = now_ns + AGAIN_S * 1_000_000_000
        self.news.append(f"the policy server {what}: {self.state} for {AGAIN_S} s")
