"""What the proxy does with each request: requests in, replies and frames to forward out.

Whatever a client sends ends in one reply: forwarded, refused with the reason, or busy. Clients
take turns whatever the number of their jobs; of one client's jobs the newest goes first, because
its older ones are stale. Pure: no socket, takes `now_ns`.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from gr00t_ros.errors import SettingsError, WireError
from gr00t_ros.serve.front import RateLimit
from gr00t_ros.wire import codec, messages
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.envelope import Bytes, Envelope, read_envelope

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


ALLOWED: Final = (
    messages.PING,
    messages.GET_MODALITY_CONFIG,
    messages.GET_ACTION,
    messages.RESET,
)
MAX_CLIENTS: Final = 64
MAX_JOBS: Final = 2  # of one client: the one it waits for, and one more where it reconnected
REFUSED_COST: Final = 10  # a refused request counts as so many: strangers take no more of us
_MAX_ECHO_BYTES: Final = 65_536  # replies up to this size are searched for the server's token

Route = tuple[bytes, ...]


# What each limit may be: beyond, it is a slip of the operator's, not a limit.
RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "max_request_bytes": (1024, 1024**3),
    "max_wait_ms": (1, 600_000),
    "deadline_ms": (1, 3_600_000),
    "rate_hz": (0.001, 1e6),
    "burst": (1, 1_000_000),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may do to the server behind the proxy; RANGES has what they may be.

    max_wait_ms: how long a request may wait for its turn before the answer is busy. deadline_ms:
    how long the server may take. rate_hz, burst: requests of one client. endpoints: those that
    are forwarded; kill never is. Raises `SettingsError`.
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
    """Raise `SettingsError` that names what was got and expected, where it is not in between."""
    if not lowest <= value <= highest:  # NaN is in no range
        raise SettingsError(f"{name}: got {value:g}, expected {lowest:g} to {highest:g}")


@dataclass(frozen=True, slots=True)
class ProxyReply:
    """One frame to one client."""

    route: Route
    frame: Bytes = field(repr=False)


@dataclass(slots=True)
class ProxyCounts:
    """What became of the requests; `refused` are those that were not worth forwarding."""

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
    """The rules and the queue. Every method's replies are to be sent, in their order.

    token: asked of every client. upstream_token: what the server behind asks for; a client's
    own is never passed on.
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
        """Take a request of a client; `route` is what its reply needs to find it."""
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
        """Return the next frame to forward, unless one is with the server."""
        if self._in_flight is not None:
            return None
        job = self._queue.pop()
        if job is None:
            return None
        self._in_flight = _InFlight(job, now_ns + self.limits.deadline_ms * 1_000_000)
        return job.frame

    def answered(self, frame: Bytes) -> ProxyReply:
        """Take the server's reply to the frame that is with it."""
        job = self._landed()
        if self._is_telling(frame):
            self.counts.failed += 1
            return _error(job.route, "the policy server's answer held a secret and was withheld")
        self.counts.answered += 1
        return ProxyReply(job.route, frame)

    def failed(self, why: str) -> ProxyReply:
        """Give up the frame that is with the server."""
        self.counts.failed += 1
        return _error(self._landed().route, why)

    def expired(self, now_ns: int) -> tuple[ProxyReply, ...]:
        """Answer busy to what has waited too long."""
        jobs = self._queue.expired(now_ns)
        waited = f"waited {self.limits.max_wait_ms} ms for its turn"
        return tuple(self._busy(job.route, waited) for job in jobs)

    def is_late(self, now_ns: int) -> bool:
        """Whether the server has had the frame that is with it for longer than it may."""
        return self._in_flight is not None and now_ns >= self._in_flight.until_ns

    def next_event_ns(self) -> int | None:
        """When `expired` or `is_late` will have something to say, if nothing else happens."""
        late_ns = None if self._in_flight is None else self._in_flight.until_ns
        times = (self._queue.next_expiry_ns(), late_ns)
        return min((time for time in times if time is not None), default=None)

    def _is_telling(self, frame: Bytes) -> bool:
        """Whether a reply quotes the token that only this proxy and the server know."""
        if self.upstream_token is None or len(frame) > _MAX_ECHO_BYTES:
            return False
        return self.upstream_token.reveal().encode() in bytes(frame)

    def _landed(self) -> _Job:
        assert self._in_flight is not None, "nothing is with the server"
        job, self._in_flight = self._in_flight.job, None
        return job

    def _forwardable(self, frames: Sequence[Bytes]) -> Bytes:
        """Return the frame to forward; raise WireError with what the client is told."""
        if len(frames) != 1:
            raise WireError(f"got a request of {len(frames)} frames, expected one")
        if len(frames[0]) > self.limits.max_request_bytes:
            raise WireError(
                f"request of {len(frames[0])} bytes, "
                f"expected at most {self.limits.max_request_bytes}"
            )
        envelope = read_envelope(frames[0])
        if not self._is_authorized(envelope):
            raise WireError("Unauthorized: Invalid API token")
        if envelope.endpoint not in self.limits.endpoints:
            raise WireError(f"endpoint {envelope.endpoint!r:.80} is not forwarded by this proxy")
        secret = None if self.upstream_token is None else self.upstream_token.reveal()
        return envelope.with_token(secret)

    def _is_authorized(self, envelope: Envelope) -> bool:
        if self.token is None:
            return True
        given, secret = (envelope.token or "").encode(), self.token.reveal().encode()
        return hmac.compare_digest(given, secret)

    def _busy(self, route: Route, why: str) -> ProxyReply:
        self.counts.busy += 1
        return _error(route, f"busy: {why}")


def _error(route: Route, text: str) -> ProxyReply:
    """The error reply that every generation's client understands."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return ProxyReply(route, codec.encode({"error": text}, "npy"))
