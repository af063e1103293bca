"""The pool's rules: requests in, jobs for replicas and replies out.

Pure: no socket and no ray, takes `now_ns`. Token, envelope and endpoint are checked as the proxy
does, before anything is decoded. Each request gets one reply: a replica's, a refusal with the
reason, or busy. Only get_action goes to a replica, and it changes nothing there. So if a replica is
lost, its requests are sent to another one once more, and their robots see only a longer answer.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from gr00t_ros.errors import SettingsError, WireError
from gr00t_ros.pool.admission import Expectation
from gr00t_ros.proxy.core import (
    ALLOWED,
    MAX_JOBS,
    REFUSED_COST,
    ProxyReply,
    Route,
    check_range,
    error_reply,
    read_request,
)
from gr00t_ros.serve.front import RateLimit
from gr00t_ros.wire import codec, messages
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.envelope import Bytes, Envelope

MAX_REPLICAS: Final = 1024
BATCHES: Final = 8  # that a replica takes at once, with the one that its policy has
# The range of each limit; a value outside is an operator's mistake.
RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "max_request_bytes": (1024, 1024**3),
    "deadline_ms": (1, 600_000),
    "rows": (1, 256),
    "wait_ms": (0, 1000),
    "rate_hz": (0.001, 1e6),
    "burst": (1, 1_000_000),
}
# Not passed on: it would reset the policy of all robots. Gr00tPolicy has no state (wire.md 3).
_SKIPPED_RESET: Final = codec.encode({messages.SKIPPED: "several robots share this server"}, "npy")

NO_REPLICA: Final = "no replica of the policy is ready"


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Limits of a pool; each must lie in its range of RANGES. Raises `SettingsError`.

    deadline_ms: from a request to its answer; what cannot keep it is refused. rows: most rows in
    one batch. wait_ms: how long a batch waits for further rows. rate_hz, burst: of one client.
    """

    max_request_bytes: int = 16 * 1024 * 1024
    deadline_ms: int = 1_000
    rows: int = 8
    wait_ms: float = 5.0
    rate_hz: float = 50.0
    burst: int = 100

    def __post_init__(self) -> None:
        for name, (lowest, highest) in RANGES.items():
            check_range(name, getattr(self, name), lowest, highest)
        if self.wait_ms >= self.deadline_ms:
            raise SettingsError(
                f"wait_ms: got {self.wait_ms:g}, expected less than deadline_ms, {self.deadline_ms}"
            )


@dataclass(frozen=True, slots=True)
class ReplicaJob:
    """One get_action for a replica; `tries` counts the replicas that it was sent to."""

    client: Hashable
    route: Route
    frame: Bytes = field(repr=False)
    began_ns: int
    until_ns: int
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Answered:
    """A replica's answer. in_replica_ns: all its time there. batch_ns: of the policy's call."""

    frame: bytes = field(repr=False)
    error: bool
    replica: str
    in_replica_ns: int
    batch_ns: int


@dataclass(slots=True)
class PoolCounts:
    """Counts of requests and their outcomes.

    refused: invalid ones. busy: those whose deadline could not be kept. late: busy after the
    deadline had passed. errors: a replica's error replies. lost: jobs whose replica was lost;
    retried: those of them that were sent once more. failed: those that were answered by an error.
    """

    requests: int = 0
    answered: int = 0
    refused: int = 0
    busy: int = 0
    late: int = 0
    errors: int = 0
    lost: int = 0
    retried: int = 0
    failed: int = 0


class PoolCore:
    """The rules. The caller sends replies, and gives jobs to replicas.

    `replicas` is set by the caller: how many can take a request now. `modality` too: the reply to
    get_modality_config, which is the same from every replica.
    """

    def __init__(self, limits: PoolLimits, token: Token | None = None) -> None:
        self.limits, self._token = limits, token
        self.counts = PoolCounts()
        self.expected = Expectation(limits.rows, round(limits.wait_ms * 1e6))
        self.answers: dict[str, int] = {}
        """Answers by replica, of those that answered last."""
        self.replicas = 0
        self.modality = b""
        self._rate = RateLimit(limits.rate_hz, limits.burst)
        self._jobs: dict[int, ReplicaJob] = {}  # with the replicas, by their numbers; oldest first
        self._given_up: set[int] = set()  # too late, and still with the replicas
        self._number = 0

    def request(
        self, client: Hashable, route: Route, frames: Sequence[Bytes], now_ns: int
    ) -> ProxyReply | int:
        """Take a request; return its reply, or the number of the job that it has become."""
        self.counts.requests += 1
        if not self._rate.allows(client, now_ns):
            return self._busy(route, f"more than {self.limits.rate_hz:g} requests a second")
        try:
            envelope = self._admitted(frames)
        except WireError as error:
            self.counts.refused += 1
            self._rate.charge(client, REFUSED_COST - 1)
            return error_reply(route, str(error))
        if envelope.endpoint == messages.PING:
            return self._answer(route, codec.encode(self._ping(), "npy"))
        if envelope.endpoint == messages.GET_MODALITY_CONFIG:
            return self._answer(route, self.modality)
        if envelope.endpoint == messages.RESET:
            return self._answer(route, _SKIPPED_RESET)
        why = self._why_busy(client)
        if why:
            return self._busy(route, why)
        until_ns = now_ns + self.limits.deadline_ms * 1_000_000
        return self._send(ReplicaJob(client, route, envelope.with_token(None), now_ns, until_ns))

    def job(self, number: int) -> ReplicaJob:
        """Return a job that is with the replicas."""
        return self._jobs[number]

    def answered(self, number: int, answer: Answered, now_ns: int) -> ProxyReply | None:
        """Take a replica's answer; None: it is too late, and the client has had its reply."""
        job = self._taken(number)
        self.expected.saw_batch(answer.batch_ns)  # of a late answer too
        if job is None:
            return None
        self.answers[answer.replica] = self.answers.pop(answer.replica, 0) + 1
        if len(self.answers) > MAX_REPLICAS:
            del self.answers[next(iter(self.answers))]
        if not answer.error:
            self.expected.saw_transport(now_ns - job.began_ns - answer.in_replica_ns)
        self.counts.errors += answer.error
        return self._answer(job.route, answer.frame)

    def lost(self, number: int, why: str, now_ns: int) -> ProxyReply | int | None:
        """Take that a job's replica was lost; return its reply or its new number, or as above."""
        job = self._taken(number)
        if job is None:
            return None
        self.counts.lost += 1
        if may_retry(job, now_ns + self.expected.after_ns(0, 1)):
            self.counts.retried += 1
            return self._send(replace(job, tries=job.tries + 1))
        self.counts.failed += 1
        return error_reply(job.route, f"busy: a replica of the policy was lost: {why}")

    def expired(self, now_ns: int) -> list[ProxyReply]:
        """Answer busy to the requests whose deadline has passed; their answers are dropped."""
        late = [number for number, job in self._jobs.items() if job.until_ns <= now_ns]
        self.counts.late += len(late)
        self._given_up.update(late)
        why = f"not answered in {self.limits.deadline_ms} ms"
        return [self._busy(self._jobs.pop(number).route, why) for number in late]

    def next_expiry_ns(self) -> int | None:
        """When `expired` will next have a result."""
        return min((job.until_ns for job in self._jobs.values()), default=None)

    def state(self) -> dict[str, Any]:
        """Return what a ping shows beside the status: numbers only."""
        return {
            "replicas": self.replicas,
            "in_flight": len(self._jobs),
            "given_up": len(self._given_up),
            "batch_ms": self.expected.batch_ns / 1e6,
            "transport_ms": self.expected.transport_ns / 1e6,
            **asdict(self.counts),
            "answers": dict(self.answers),
        }

    def _why_busy(self, client: Hashable) -> str:
        """Return why no further get_action can be taken now, or an empty text."""
        if self.replicas < 1:
            return NO_REPLICA
        own = sum(job.client == client for job in self._jobs.values())
        if own >= MAX_JOBS:
            return f"{own} requests of this client are not answered yet"
        # They fill what replicas take at once: all hang. One replica that hangs is allowed for.
        if len(self._given_up) >= (self.replicas + 1) * BATCHES * self.limits.rows:
            return f"{len(self._given_up)} requests that were given up are still with the replicas"
        expected_ms = self.expected.after_ns(len(self._jobs), self.replicas) / 1e6
        # With none before it a request is always taken: only answers renew the expectation.
        if self._jobs and expected_ms > self.limits.deadline_ms:
            allowed = f"at most {self.limits.deadline_ms} ms allowed"
            return f"an answer is expected in {expected_ms:.0f} ms, {allowed}"
        return ""

    def _taken(self, number: int) -> ReplicaJob | None:
        """Return a job whose outcome has come; None if its client has had its reply."""
        self._given_up.discard(number)
        return self._jobs.pop(number, None)

    def _admitted(self, frames: Sequence[Bytes]) -> Envelope:
        """Return the envelope of a valid request; raise WireError with the text for the client."""
        envelope = read_request(frames, self.limits.max_request_bytes, self._token)
        if envelope.endpoint not in ALLOWED:
            raise WireError(f"Unknown endpoint: {envelope.endpoint!r:.80}")
        return envelope

    def _ping(self) -> dict[str, Any]:
        return {"status": "ok", "message": "Server is running", "pool": self.state()}

    def _send(self, job: ReplicaJob) -> int:
        self._number += 1
        self._jobs[self._number] = job
        return self._number

    def _answer(self, route: Route, frame: bytes) -> ProxyReply:
        self.counts.answered += 1
        return ProxyReply(route, frame)

    def _busy(self, route: Route, why: str) -> ProxyReply:
        self.counts.busy += 1
        return error_reply(route, f"busy: {why}")


def may_retry(job: ReplicaJob, expected_ns: int) -> bool:
    """Whether a job whose replica was lost is sent once more.

    Once, and only if the answer is expected, at `expected_ns`, before the deadline.
    """
    return job.tries == 1 and expected_ns <= job.until_ns
