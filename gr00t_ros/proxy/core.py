"""The proxy's rules: requests in, replies and frames to forward out.

Each request gets one reply: the server's, a refusal with the reason, or busy. Clients take turns,
however many requests each has waiting. A client's newest request goes first, because its older
ones are stale. Pure: no socket, takes `now_ns`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from gr00t_ros.errors import SettingsError, WireError
from gr00t_ros.serve.front import RateLimit
from gr00t_ros.wire import codec, messages
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.envelope import Bytes, read_envelope

Job = TypeVar("Job")
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
_MAX_ECHO_BYTES: Final = 65_536  # replies up to this size are searched for the server's token

# The range of each limit; a value outside is an operator's mistake.
RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "max_request_bytes": (1024, 1024**3),
    "max_wait_ms": (1, 600_000),
    "deadline_ms": (1, 3_600_000),
    "rate_hz": (0.001, 1e6),
    "burst": (1, 1_000_000),
}


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

    def __len__(self) -> int:
        """The number of waiting jobs."""
        return sum(map(len, self._turns.values()))

    def push(self, client: Hashable, job: Job, now_ns: int) -> tuple[Job, ...]:
        """Add a job; return the jobs that it leaves no room for: itself or the client's oldest."""
        if client not in self._turns and len(self._turns) >= self._max_clients:
            return (job,)
        jobs = self._turns.setdefault(client, deque())
        jobs.append(_Waiting(job, now_ns + self._max_wait_ns))
        return (jobs.popleft().job,) if len(jobs) > self._max_jobs else ()

    def pop(self) -> Job | None:
        """Return the newest job of the client whose turn it is; this client is last then."""
        if not self._turns:
            return None
        client = next(iter(self._turns))
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


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for requests to the server behind the proxy; each must lie in its range of RANGES.

    max_wait_ms: how long a request may wait for its turn before it is answered busy. deadline_ms:
    how long the server may take. rate_hz, burst: requests of one client. endpoints: the forwarded
    ones; kill is not allowed. Raises `SettingsError`.
    """

    max_request_bytes: int = 16 * 1024 * 1024
    max_wait_ms: int = 500
    deadline_ms: int = 15_000
    rate_hz: float = 50.0
    burst: int = 100
    endpoints: tuple[str, ...] = ALLOWED

    def __post_init__(self) -> None:
        if messages.KILL in self.endpoints:
            raise SettingsError("endpoint kill: it ends the server, expected any other")
        for name, (lowest, highest) in RANGES.items():
            check_range(name, getattr(self, name), lowest, highest)


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
    """Counts of requests and their outcomes; `refused`: invalid ones, which are not forwarded."""

    requests: int = 0
    answered: int = 0
    refused: int = 0
    busy: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class _Job:
    route: Route
    frame: Bytes = field(repr=False)  # the server's token may be in it


@dataclass(slots=True)
class _InFlight:
    job: _Job
    until_ns: int


@dataclass(slots=True)
class ProxyCore:
    """The rules and the queue. The caller sends the replies that each method returns, in order.

    token: every client must send it. upstream_token: the token for the server behind the proxy; a
    client's own token is never passed on.
    """

    limits: Limits = field(default_factory=Limits)
    token: Token | None = None
    upstream_token: Token | None = None
    counts: ProxyCounts = field(default_factory=ProxyCounts)
    _rate: RateLimit = field(init=False)
    _queue: FairQueue[_Job] = field(init=False)
    _in_flight: _InFlight | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._rate = RateLimit(self.limits.rate_hz, self.limits.burst)
        self._queue = FairQueue(self.limits.max_wait_ms * 1_000_000, MAX_CLIENTS, MAX_JOBS)

    def request(
        self, client: Hashable, route: Route, frames: Sequence[Bytes], now_ns: int
    ) -> tuple[ProxyReply, ...]:
        """Take a client's request; `route` is the return address for its reply."""
        self.counts.requests += 1
        if not self._rate.allows(client, now_ns):
            return (self._busy(route, f"more than {self.limits.rate_hz:g} requests a second"),)
        try:
            frame = self._forwardable(frames)
        except WireError as error:
            self.counts.refused += 1
            self._rate.charge(client, REFUSED_COST - 1)
            return (_error(route, str(error)),)
        left_out = self._queue.push(client, _Job(route, frame), now_ns)
        return tuple(self._busy(job.route, "too many requests wait") for job in left_out)

    def next_frame(self, now_ns: int) -> Bytes | None:
        """Return the next frame to forward; None while the server has one."""
        if self._in_flight is not None:
            return None
        job = self._queue.pop()
        if job is None:
            return None
        self._in_flight = _InFlight(job, now_ns + self.limits.deadline_ms * 1_000_000)
        return job.frame

    def answered(self, frame: Bytes) -> ProxyReply:
        """Take the server's reply to the forwarded frame."""
        job = self._landed()
        if self._quotes_token(frame):
            self.counts.failed += 1
            return _error(job.route, "the policy server's answer held a secret and was withheld")
        self.counts.answered += 1
        return ProxyReply(job.route, frame)

    def failed(self, why: str) -> ProxyReply:
        """Give up the forwarded frame; `why` goes to its client."""
        self.counts.failed += 1
        return _error(self._landed().route, why)

    def expired(self, now_ns: int) -> tuple[ProxyReply, ...]:
        """Answer busy to the requests that have waited too long."""
        jobs = self._queue.expired(now_ns)
        waited = f"waited {self.limits.max_wait_ms} ms for its turn"
        return tuple(self._busy(job.route, waited) for job in jobs)

    def is_late(self, now_ns: int) -> bool:
        """Whether the server has exceeded the deadline for the forwarded frame."""
        return self._in_flight is not None and now_ns >= self._in_flight.until_ns

    def next_event_ns(self) -> int | None:
        """When `expired` or `is_late` will next have a result, if nothing else happens."""
        late_ns = None if self._in_flight is None else self._in_flight.until_ns
        times = (self._queue.next_expiry_ns(), late_ns)
        return min((time for time in times if time is not None), default=None)

    def _quotes_token(self, frame: Bytes) -> bool:
        """Whether a reply contains the token that only this proxy and the server may know."""
        if self.upstream_token is None or len(frame) > _MAX_ECHO_BYTES:
            return False
        return self.upstream_token.reveal().encode() in bytes(frame)

    def _landed(self) -> _Job:
        assert self._in_flight is not None, "nothing is with the server"
        job, self._in_flight = self._in_flight.job, None
        return job

    def _forwardable(self, frames: Sequence[Bytes]) -> Bytes:
        """Return the frame to forward; raise WireError with the text for the client."""
        if len(frames) != 1:
            raise WireError(f"got a request of {len(frames)} frames, expected one")
        if len(frames[0]) > self.limits.max_request_bytes:
            raise WireError(
                f"request of {len(frames[0])} bytes, "
                f"expected at most {self.limits.max_request_bytes}"
            )
        envelope = read_envelope(frames[0])
        if self.token is not None and not self.token.matches(envelope.token):
            raise WireError("Unauthorized: Invalid API token")
        if envelope.endpoint not in self.limits.endpoints:
            raise WireError(f"endpoint {envelope.endpoint!r:.80} is not forwarded by this proxy")
        secret = None if self.upstream_token is None else self.upstream_token.reveal()
        return envelope.with_token(secret)

    def _busy(self, route: Route, why: str) -> ProxyReply:
        self.counts.busy += 1
        return _error(route, f"busy: {why}")


def _error(route: Route, text: str) -> ProxyReply:
    """Return an error reply that clients of every generation understand."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return ProxyReply(route, codec.encode({"error": text}, "npy"))
