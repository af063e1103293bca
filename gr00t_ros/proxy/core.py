"""The proxy's rules: requests in, replies and frames to forward out.

Each request gets one reply: the server's, a refusal with the reason, or busy. Clients take turns,
and with batches, requests of several clients are forwarded as one (batch.py): a batch may wait for
robots that come back at once (waiting.py), and one that fails is sent again row by row
(acceptance.py). Pure: no socket, takes `now_ns`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gr00t_ros.errors import SettingsError, WireError
from gr00t_ros.proxy.acceptance import Acceptance, BatchTrial
from gr00t_ros.proxy.batch import BatchMemory, BatchRow, is_error, read_row, split
from gr00t_ros.proxy.pictures import PictureTranscoder
from gr00t_ros.proxy.waiting import FairQueue, Gathering
from gr00t_ros.serve.front import RateLimit
from gr00t_ros.wire import codec, messages
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.envelope import Bytes, Envelope, read_envelope

Route = tuple[bytes, ...]

ALLOWED: Final = (
    messages.PING,
    messages.GET_MODALITY_CONFIG,
    messages.GET_ACTION,
    messages.RESET,
)
MAX_CLIENTS: Final = 64
MAX_JOBS: Final = 2  # of one client: its present request, and one more after it reconnected
REFUSED_COST: Final = 10  # a refused request counts as this many, so that abuse costs us little
MAX_BATCH_BYTES: Final = codec.MAX_BYTES  # of the requests in one batch: our servers read as much
_MAX_ECHO_BYTES: Final = 65_536  # replies up to this size are searched for the server's token

# Not forwarded: a server that has state would reset it for all robots that share it. Upstream's
# Gr00tPolicy has none and answers an empty map (wire.md 3).
_SKIPPED_RESET: Final = codec.encode({messages.SKIPPED: "several robots share this server"}, "npy")

# The range of each limit; a value outside is an operator's mistake.
RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "max_request_bytes": (1024, 1024**3),
    "max_wait_ms": (1, 600_000),
    "deadline_ms": (1, 3_600_000),
    "rate_hz": (0.001, 1e6),
    "burst": (1, 1_000_000),
    "batch": (1, MAX_CLIENTS),
    "wait_ms": (0.1, 1_000),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for requests to the server behind the proxy; each must lie in its range of RANGES.

    max_wait_ms: how long a request may wait for its turn before it is answered busy. deadline_ms:
    how long the server may take. rate_hz, burst: requests of one client. endpoints: the forwarded
    ones; kill is not allowed. batch: requests of so many clients may be forwarded as one. wait_ms:
    how long a batch waits for the next of the robots that usually come back at once. Raises
    `SettingsError`.
    """

    max_request_bytes: int = 16 * 1024 * 1024
    max_wait_ms: int = 500
    deadline_ms: int = 15_000
    rate_hz: float = 50.0
    burst: int = 100
    endpoints: tuple[str, ...] = ALLOWED
    batch: int = 1
    wait_ms: float = 5.0

    def __post_init__(self) -> None:
        if messages.KILL in self.endpoints:
            raise SettingsError("endpoint kill: it ends the server, expected any other")
        for name, (lowest, highest) in RANGES.items():
            check_range(name, getattr(self, name), lowest, highest)
        if self.batch > 1 and self.wait_ms >= self.max_wait_ms:
            raise SettingsError(
                f"wait_ms: got {self.wait_ms:g}, expected less than max_wait_ms, {self.max_wait_ms}"
            )


def check_range(name: str, value: float, lowest: float, highest: float) -> None:
    """Raise `SettingsError` if `value` is not between `lowest` and `highest`."""
    if not lowest <= value <= highest:  # also true for NaN
        raise SettingsError(f"{name}: got {value:g}, expected {lowest:g} to {highest:g}")


@dataclass(frozen=True, slots=True)
class ProxyReply:
    """One frame to one client."""

    route: Route
    frame: Bytes = field(repr=False)


@dataclass(slots=True)
class ProxyCounts:
    """Counts of requests and their outcomes; `refused`: invalid ones, which are not forwarded.

    batches: those that were answered; batched: the requests that were their rows.
    """

    requests: int = 0
    answered: int = 0
    refused: int = 0
    busy: int = 0
    failed: int = 0
    batches: int = 0
    batched: int = 0


@dataclass(frozen=True, slots=True)
class _Job:
    """A request that waits or is with the server; row: None if it is sent alone."""

    client: Hashable
    route: Route
    endpoint: str
    until_ns: int
    frame: Bytes = field(repr=False)  # the server's token may be in it
    row: BatchRow | None = None
    trial: BatchTrial | None = None


@dataclass(slots=True)
class _InFlight:
    jobs: tuple[_Job, ...]
    until_ns: int


@dataclass(slots=True)
class ProxyCore:
    """The rules and the queue. The caller sends the replies that each method returns, in order.

    token: every client must send it. upstream_token: the token for the server behind the proxy; a
    client's own token is never passed on. pictures: changes what is forwarded, where given.
    """

    limits: Limits = field(default_factory=Limits)
    token: Token | None = None
    upstream_token: Token | None = None
    pictures: PictureTranscoder | None = None
    counts: ProxyCounts = field(default_factory=ProxyCounts)
    _rate: RateLimit = field(init=False)
    _queue: FairQueue[_Job] = field(init=False)
    _gathering: Gathering = field(init=False)
    _acceptance: Acceptance = field(init=False)
    _memory: BatchMemory = field(init=False, default_factory=BatchMemory, repr=False)
    _in_flight: _InFlight | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._rate = RateLimit(self.limits.rate_hz, self.limits.burst)
        self._queue = FairQueue(self.limits.max_wait_ms * 1_000_000, MAX_CLIENTS, MAX_JOBS)
        self._gathering = Gathering(round(self.limits.wait_ms * 1e6))
        self._acceptance = Acceptance(self.limits.batch)

    def request(
        self, client: Hashable, route: Route, frames: Sequence[Bytes], now_ns: int
    ) -> tuple[ProxyReply, ...]:
        """Take a client's request; `route` is the return address for its reply."""
        self.counts.requests += 1
        if not self._rate.allows(client, now_ns):
            return (self._busy(route, f"more than {self.limits.rate_hz:g} requests a second"),)
        try:
            envelope = self._allowed(frames)
            if self._is_batching and envelope.endpoint == messages.RESET:
                self.counts.answered += 1
                return (ProxyReply(route, _SKIPPED_RESET),)
            job = self._job(client, route, envelope, now_ns)
        except WireError as error:
            self.counts.refused += 1
            self._rate.charge(client, REFUSED_COST - 1)
            return (error_reply(route, str(error)),)
        if job.row is not None and not self._acceptance.is_alone(client):
            self._gathering.arrived(client, job.row.key, now_ns)
        left_out = self._queue.push(client, job, now_ns)
        return tuple(self._dropped(job, "too many requests wait", now_ns) for job in left_out)

    def next_frame(self, now_ns: int) -> Bytes | None:
        """Return the next frame to forward; None while the server has one, or a batch gathers."""
        chosen = self._departing(now_ns) if self._in_flight is None else ()
        if not chosen:
            return None
        for job in chosen:
            self._queue.take(job.client)
        self._in_flight = _InFlight(chosen, now_ns + self.limits.deadline_ms * 1_000_000)
        rows = [job.row for job in chosen if job.row is not None]
        return chosen[0].frame if len(chosen) == 1 else self._memory.stack(rows)

    def answered(self, frame: Bytes, now_ns: int) -> tuple[ProxyReply, ...]:
        """Take the server's reply to the forwarded frame; none if a batch is sent row by row."""
        jobs = self._landed()
        if len(jobs) == 1:
            self._landed_rows(jobs, now_ns)
            return (self._answer(jobs[0], self._single(jobs[0], frame, now_ns)),)
        try:
            frames = split(frame, len(jobs), len(frame))
        except WireError as error:
            is_secret = self._quotes_token(frame, len(frame))  # the log gets a part of any length
            why = "an answer that held a secret" if is_secret else str(error)
            self._send_again(jobs, why)
            return ()
        self._landed_rows(jobs, now_ns)
        self._acceptance.accepted()
        self.counts.batches += 1
        self.counts.batched += len(jobs)
        return tuple(self._answer(job, own) for job, own in zip(jobs, frames, strict=True))

    def failed(self, why: str, now_ns: int) -> tuple[ProxyReply, ...]:
        """Give up the forwarded frame, which got no reply; `why` goes to its clients."""
        jobs = self._landed()
        self._landed_rows(jobs, now_ns)
        if len(jobs) > 1:
            clients = [job.client for job in jobs]
            self._memory.drop()
            self._acceptance.unanswered(clients, len(jobs), why, now_ns)
        self.counts.failed += len(jobs)
        for job in jobs:
            self._settle(job, now_ns)
        return tuple(error_reply(job.route, why) for job in jobs)

    def expired(self, now_ns: int, spare_ns: int = 0) -> tuple[ProxyReply, ...]:
        """Return the replies for requests whose turn did not come in time and `spare_ns` more.

        Call `next_frame` before, if nothing is to spare: then no request is busy while the server
        is idle.
        """
        why = f"waited {self.limits.max_wait_ms} ms for its turn"
        late = self._queue.expired(now_ns - spare_ns)
        return tuple(self._dropped(job, why, now_ns) for job in late)

    def is_late(self, now_ns: int) -> bool:
        """Whether the server has exceeded the deadline for the forwarded frame."""
        return self._in_flight is not None and now_ns >= self._in_flight.until_ns

    def next_event_ns(self) -> int | None:
        """When a method of this class will next have a result, if nothing else happens."""
        times = (self._queue.next_expiry_ns(), self._next_departure_ns())
        return min((time for time in times if time is not None), default=None)

    def take_news(self) -> tuple[str, ...]:
        """Return and forget what the log should say."""
        news = tuple(self._acceptance.news)
        self._acceptance.news.clear()
        return news

    @property
    def _is_batching(self) -> bool:
        return self.limits.batch > 1

    def _next_departure_ns(self) -> int | None:
        """When the server is late, or the next batch that gathers leaves."""
        if self._in_flight is not None:
            return self._in_flight.until_ns
        expiry_ns = self._queue.next_expiry_ns()
        if expiry_ns is None:
            return None
        keys = {job.row.key for _, job in self._queue.first_jobs() if job.row is not None}
        times = [self._gathering.until_ns(key, expiry_ns) for key in keys]
        return min((time for time in times if time is not None), default=None)

    def _departing(self, now_ns: int) -> tuple[_Job, ...]:
        """The first in the order of turns that may leave: while one form gathers, another goes."""
        expiry_ns = self._queue.next_expiry_ns()
        if expiry_ns is None:
            return ()
        for jobs, is_full in self._batches(self._acceptance.most(now_ns)):
            row = jobs[0].row
            if row is None or is_full or self._gathering.is_over(row.key, expiry_ns, now_ns):
                return jobs
        return ()

    def _batches(self, most: int) -> Iterator[tuple[tuple[_Job, ...], bool]]:
        """Each job or batch that could be next, in the order of turns; whether no more row fits."""
        # Asked now, not when it came: a batch that had its robot may have failed since.
        jobs = [
            replace(job, row=None) if self._acceptance.is_alone(client) else job
            for client, job in self._queue.first_jobs()
        ]
        forms: dict[bytes, list[_Job]] = {}
        for job in jobs:
            if job.row is not None:
                forms.setdefault(job.row.key, []).append(job)
        for job in jobs:
            if job.row is None:
                yield (job,), True
            elif (rows := forms.pop(job.row.key, None)) is not None:
                yield _batch(rows, most)

    def _send_again(self, jobs: Sequence[_Job], why: str) -> None:
        """Put the rows of a failed batch back, to be sent alone before all others."""
        trial = self._acceptance.refused(len(jobs), why)
        for job in reversed(jobs):
            self._queue.put_back(job.client, replace(job, row=None, trial=trial), job.until_ns)

    def _single(self, job: _Job, frame: Bytes, now_ns: int) -> Bytes:
        """Learn from the reply to a single request; return what its client gets."""
        if not self._is_batching:
            return frame
        if job.endpoint == messages.PING:
            return _with_state(frame, self._acceptance.state)
        if job.endpoint == messages.GET_ACTION:
            passed = not is_error(frame, len(frame))
            self._acceptance.settled(job.client, passed, job.trial, now_ns)
        return frame

    def _answer(self, job: _Job, frame: Bytes) -> ProxyReply:
        if self._quotes_token(frame):
            self.counts.failed += 1
            return error_reply(
                job.route, "the policy server's answer held a secret and was withheld"
            )
        self.counts.answered += 1
        return ProxyReply(job.route, frame if self.pictures is None else self.pictures.reply(frame))

    def _quotes_token(self, frame: Bytes, most: int = _MAX_ECHO_BYTES) -> bool:
        """Whether a reply of so many bytes has the token that only proxy and server may know."""
        if self.upstream_token is None or len(frame) > most:
            return False
        return self.upstream_token.reveal().encode() in bytes(frame)

    def _landed(self) -> tuple[_Job, ...]:
        assert self._in_flight is not None, "nothing is with the server"
        jobs, self._in_flight = self._in_flight.jobs, None
        return jobs

    def _landed_rows(self, jobs: Sequence[_Job], now_ns: int) -> None:
        """The clients of these get their replies now, and may ask again at once."""
        rows = ((job.client, job.row.key) for job in jobs if job.row is not None)
        self._gathering.landed(rows, now_ns)

    def _allowed(self, frames: Sequence[Bytes]) -> Envelope:
        """Return the request's envelope; raise WireError with the text for the client."""
        envelope = read_request(frames, self.limits.max_request_bytes, self.token)
        if envelope.endpoint not in self.limits.endpoints:
            raise WireError(f"endpoint {envelope.endpoint!r:.80} is not forwarded by this proxy")
        return envelope

    def _job(self, client: Hashable, route: Route, envelope: Envelope, now_ns: int) -> _Job:
        """Return the job to forward, as a row if it may be in a batch; WireError if it must not."""
        secret = None if self.upstream_token is None else self.upstream_token.reveal()
        frame, endpoint = envelope.with_token(secret), envelope.endpoint
        if self.pictures is not None:
            frame = self.pictures.request(frame)
            endpoint = read_envelope(frame).endpoint
        until_ns = now_ns + self.limits.max_wait_ms * 1_000_000
        row = None
        if self._is_batching and endpoint == messages.GET_ACTION:
            row = read_row(frame, len(frame))
        return _Job(client, route, endpoint, until_ns, frame, row)

    def _dropped(self, job: _Job, why: str, now_ns: int) -> ProxyReply:
        """Answer busy to a request that will not be forwarded."""
        self._settle(job, now_ns)
        return self._busy(job.route, why)

    def _settle(self, job: _Job, now_ns: int) -> None:
        """A request has no reply from the server: nothing is learnt about its row."""
        if job.trial is not None:
            self._acceptance.unsettled(job.client, job.trial, now_ns)

    def _busy(self, route: Route, why: str) -> ProxyReply:
        self.counts.busy += 1
        return error_reply(route, f"busy: {why}")


def _batch(rows: Sequence[_Job], most: int) -> tuple[tuple[_Job, ...], bool]:
    """Return the first of these that fit into one batch; whether it has no room for another."""
    size = 0
    for count, job in enumerate(rows):
        size += len(job.frame)
        if count and (count == most or size > MAX_BATCH_BYTES):
            return tuple(rows[:count]), True
    return tuple(rows), len(rows) >= most


def _with_state(frame: Bytes, state: str) -> Bytes:
    """Return the reply to a ping with the proxy's state; an error or another form as it is."""
    try:
        reply = codec.decode(frame, len(frame))
        is_ok = isinstance(reply, dict) and "error" not in reply
        return codec.encode({**reply, messages.PROXY: state}, "npy") if is_ok else frame
    except WireError:
        return frame


def read_request(frames: Sequence[Bytes], most: int, token: Token | None) -> Envelope:
    """Return the envelope of a request of at most `most` bytes that has the token.

    Raises WireError with the text for the client.
    """
    if len(frames) != 1:
        raise WireError(f"got a request of {len(frames)} frames, expected one")
    if len(frames[0]) > most:
        raise WireError(f"request of {len(frames[0])} bytes, expected at most {most}")
    envelope = read_envelope(frames[0])
    if token is not None and not token.matches(envelope.token):
        raise WireError("Unauthorized: Invalid API token")
    return envelope


def error_reply(route: Route, text: str) -> ProxyReply:
    """Return an error reply that clients of every generation understand."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return ProxyReply(route, codec.encode({"error": text}, "npy"))
