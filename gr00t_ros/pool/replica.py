"""One replica: a policy with a server's endpoints in front, and Ray Serve's batches in between.

Frames come in and go out as they are on the wire, so that the pool's front decodes nothing. Each
request runs on a thread of its own up to the policy, where rows that wait are answered in one
call; the policy is called from one thread. The methods without an underscore are Ray Serve's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from gr00t_ros.errors import LaunchError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.pool.core import Answered
from gr00t_ros.pool.rows import Reply, Row, RowCaller
from gr00t_ros.pool.served_policy import ServedPolicy
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.endpoints import DIALECTS, Endpoints, Terms
from gr00t_ros.serve.policies import Action, Observation, Policy, make_policy, state_widths
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
        from ray import serve

        self._held, generation = _hold(plan)
        self._call = RowCaller(self._held)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began: float | None = None  # of the policy's present call
        self._batch_ns = 0
        self._name = f"{os.uname().nodename}:{os.getpid()}"
        # Each waiting request holds one thread: as many as Ray Serve lets in, and one for a reset.
        self._requests = ThreadPoolExecutor(2 * plan.rows + 1, "request")
        self._policy = ThreadPoolExecutor(1, "policy")

        @serve.batch(max_batch_size=plan.rows, batch_wait_timeout_s=plan.wait_ms / 1e3)
        async def act(rows: list[Row]) -> list[Reply | Exception]:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._policy, self._act, rows)

        self._batched = act
        widths = {} if plan.profile is not None else state_widths(plan.embodiment)
        terms = Terms(plan.flat, strict=True, state_widths=widths)
        self._endpoints = Endpoints(_Batched(self), DIALECTS[generation], terms)

    async def answer(self, frame: bytes) -> Answered:
        """Answer one request frame; raises if this replica cannot answer any more."""
        began_ns = time.monotonic_ns()
        self._loop = asyncio.get_running_loop()
        answer = await self._loop.run_in_executor(self._requests, self._endpoints.answer, frame)
        if answer.error is not None:
            self.check_health()
        took_ns = time.monotonic_ns() - began_ns
        has_error = answer.error is not None
        return Answered(answer.frame, has_error, self._name, took_ns, self._batch_ns)

    def check_health(self) -> None:
        """Raise if this replica should be replaced: its server has ended, or a call is stuck."""
        if isinstance(self._held, ServedPolicy):
            self._held.check_health()
        began = self._began
        if began is not None and time.monotonic() - began > STUCK_S:
            raise LaunchError(f"{self._name}: the policy has not answered for {STUCK_S:g} s")

    def __del__(self) -> None:
        """End the profile's server. If this process is killed, its watcher ends it."""
        held = getattr(self, "_held", None)
        if isinstance(held, ServedPolicy):
            held.close()

    def _act(self, rows: Sequence[Row]) -> list[Reply | Exception]:
        """Call the policy, on its thread."""
        self._began = began = time.monotonic()
        try:
            return self._call(rows)
        finally:
            self._began = None
            self._batch_ns = round((time.monotonic() - began) * 1e9)


class _Batched:
    """The policy as its endpoints see it: a call waits for its row of a batch."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.modality: ModalityConfig = replica._held.modality

    def __call__(
        self, observation: Observation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return this row's reply; raise what the policy raised for it."""
        assert self._replica._loop is not None, "a request came without a loop"
        row = self._replica._batched((observation, options))
        found = asyncio.run_coroutine_threadsafe(row, self._replica._loop).result()
        if isinstance(found, Exception):
            raise found
        return found

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Reset this replica's policy only."""
        return self._replica._policy.submit(self._replica._held.reset, options).result()


def _hold(plan: Plan) -> tuple[Policy, Generation]:
    """Return the policy, and the generation in whose dialect it is served."""
    if plan.profile is None:
        return make_policy(plan.policy, plan.embodiment), plan.generation
    profile = plan.profile.serving(plan.embodiment)
    served = ServedPolicy(
        *(profile, plan.overrides, plan.flat, round(STUCK_S * 1e3), _log),
        plan.accept_noncommercial,
    )
    return served, served.generation


def _log(severity: Severity, text: str) -> None:
    log.log(logging.getLevelName(severity.upper()), "%s", text)
