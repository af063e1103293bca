"""One replica: a policy with a server's endpoints in front, and batches in between.

Frames come in and go out as they are on the wire, so that the pool's front decodes nothing. Each
request runs on a thread of its own up to the policy. The methods without an underscore are called
by Ray Serve; nothing here imports ray.

Batches are not made by Ray Serve's `serve.batch`: that closes a batch when its wait is over, even
while the policy is busy. Sixteen robots that shared two replicas got batches of 1.3 rows from it
where 4 were allowed (ray 2.60, `./dev bench pool`). Here a batch is closed when the policy is free.
Then it waits for further rows until it is full or none came for the wait: robots ask again at once
after a batch, and two half batches would alternate otherwise. Each row that comes prolongs the
wait, up to the bound that the front counts with (admission.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from gr00t_ros.errors import LaunchError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.pool.admission import longest_wait_ns
from gr00t_ros.pool.core import BATCHES, Answered
from gr00t_ros.pool.rows import Reply, Row, RowCaller, batch_key, without_rtc
from gr00t_ros.pool.served_policy import ServedPolicy
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.endpoints import DIALECTS, Endpoints, Terms
from gr00t_ros.serve.policies import Action, Policy, PolicyObservation, make_policy, state_widths
from gr00t_ros.supervise.profile import Overrides, Profile
from gr00t_ros.supervise.supervisor import Severity
from gr00t_ros.wire.messages import Generation

STUCK_S: Final = 120.0
"""A longer call of the policy makes the replica unhealthy; the first may compile for a minute."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What each replica holds: a policy of this package or of your own, or a profile's server.

    policy: a name or ``package.module:factory``; used if `profile` is None. flat: keys on the
    wire. generation: of a policy's dialect; a profile's server has its own. rows, wait_ms: of a
    batch.
    """

    embodiment: Embodiment
    policy: str = "hold"
    profile: Profile | None = None
    overrides: Overrides = Overrides()
    accept_noncommercial: bool = False
    generation: Generation = Generation.B3
    flat: bool = False
    rows: int = 8
    wait_ms: float = 5.0


class Replica:
    """Answers request frames. Made by Ray Serve, in a process of its own."""

    def __init__(self, plan: Plan) -> None:
        """Load the policy; raises what it raises, and Ray Serve tries again."""
        policy, generation = self._hold(plan)
        self._batcher = Batcher(policy, plan.rows, plan.wait_ms / 1e3)
        widths = {} if plan.profile is not None else state_widths(plan.embodiment)
        terms = Terms(plan.flat, strict=True, state_widths=widths)
        self._dialect, self._terms = DIALECTS[generation], terms
        self._name = f"{os.uname().nodename}:{os.getpid()}"
        # A request holds a thread while it waits: as many as Ray Serve lets in.
        self._threads = ThreadPoolExecutor(BATCHES * plan.rows, "request")

    async def answer(self, frame: bytes, client: Hashable) -> Answered:
        """Answer one client's request frame; raises if this replica cannot answer any more."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._answer, frame, client)

    def check_health(self) -> None:
        """Raise if this replica should be replaced: its server has ended, or a call is stuck."""
        if self._served is not None:
            self._served.check_health()
        if self._batcher.busy_s() > STUCK_S:
            raise LaunchError(f"{self._name}: the policy has not answered for {STUCK_S:g} s")

    def __del__(self) -> None:
        """End the profile's server. If this process is killed, its watcher ends it."""
        served: ServedPolicy | None = getattr(self, "_served", None)
        if served is not None:
            served.close()

    def _answer(self, frame: bytes, client: Hashable) -> Answered:
        began_ns = time.monotonic_ns()
        endpoints = Endpoints(self._batcher.of(client), self._dialect, self._terms)
        answer = endpoints.answer(frame)
        has_error = answer.error is not None
        if has_error:
            self.check_health()
        took_ns = time.monotonic_ns() - began_ns
        return Answered(answer.frame, has_error, self._name, took_ns, self._batcher.batch_ns)

    def _hold(self, plan: Plan) -> tuple[Policy, Generation]:
        """Return the policy, and the generation in whose dialect it is served."""
        self._served: ServedPolicy | None = None
        if plan.profile is None:
            return make_policy(plan.policy, plan.embodiment), plan.generation
        self._served = ServedPolicy(
            *(plan.profile.serving(plan.embodiment), plan.overrides, plan.flat),
            *(round(STUCK_S * 1e3), _log, plan.accept_noncommercial),
        )
        return self._served, self._served.generation


def _log(severity: Severity, text: str) -> None:
    log.log(logging.getLevelName(severity.upper()), "%s", text)


class Batcher:
    """Gathers the rows that wait, from any threads, into one call of the policy, on one thread."""

    def __init__(self, policy: Policy, rows: int, wait_s: float) -> None:
        """rows: most in one batch. wait_s: for the next row."""
        self.modality = policy.modality
        self._policy, self._call = policy, RowCaller(policy)
        self._rows, self._wait_ns = rows, round(wait_s * 1e9)
        self._waiting: deque[tuple[Row, Future[Reply]]] = deque()
        self._came = threading.Condition()
        self._last_ns = 0  # when the last row came, or the last batch ended
        self._began_ns: int | None = None
        self.batch_ns = 0
        """Time of the last call, ns."""
        threading.Thread(target=self._run, name="policy", daemon=True).start()

    def of(self, client: Hashable) -> ClientsPolicy:
        """Return the policy as this client sees it; it may be called from any thread."""
        return ClientsPolicy(self, client)

    def __call__(self, row: Row) -> Reply:
        """Return this row's reply from a batch; raise what the policy raised for it."""
        answer = Future[Reply]()
        batch_key(row)  # what has none raises here, for its client alone
        with self._came:
            self._waiting.append((row, answer))
            self._last_ns = time.monotonic_ns()
            self._came.notify()
        return answer.result()

    def busy_s(self) -> float:
        """Return for how long the policy's present call has lasted, 0 without one."""
        began_ns = self._began_ns
        return 0.0 if began_ns is None else (time.monotonic_ns() - began_ns) * 1e-9

    def _run(self) -> None:
        while True:
            batch = self._gathered()
            self._began_ns = began_ns = time.monotonic_ns()
            answers = self._call([row for row, _ in batch])
            with self._came:  # a row that comes now is newer
                self._began_ns, self._last_ns = None, time.monotonic_ns()
                self.batch_ns = self._last_ns - began_ns
            for (_, future), answer in zip(batch, answers, strict=True):
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    def _gathered(self) -> list[tuple[Row, Future[Reply]]]:
        """Return the next batch; the oldest rows go first."""
        with self._came:
            self._came.wait_for(lambda: self._waiting)
            longest_ns = longest_wait_ns(self._rows, self._wait_ns, self.batch_ns)
            latest_ns = time.monotonic_ns() + longest_ns
            while len(self._waiting) < self._rows:
                until_ns = min(self._last_ns + self._wait_ns, latest_ns)
                left_ns = until_ns - time.monotonic_ns()
                if left_ns <= 0:
                    break
                self._came.wait(left_ns * 1e-9)
            count = min(len(self._waiting), self._rows)
            return [self._waiting.popleft() for _ in range(count)]


@dataclass(frozen=True, slots=True)
class ClientsPolicy:
    """A policy for one client, which shares the policy's batches with others."""

    batcher: Batcher
    client: Hashable

    @property
    def modality(self) -> ModalityConfig:
        """That of the policy behind."""
        return self.batcher.modality

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return this client's reply from a batch; raise what the policy raised for it."""
        return self.batcher(Row(self.client, observation, without_rtc(options)))

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Reset nothing: the policy is that of other robots too."""
        return {}
