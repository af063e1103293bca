"""One replica: a policy with a server's endpoints in front, and batches in between.

Frames come in and go out as they are on the wire, so that the pool's front decodes nothing. Each
request runs on a thread of its own up to the policy. The methods without an underscore are called
by Ray Serve; nothing here imports ray.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from gr00t_ros.errors import LaunchError
from gr00t_ros.pool.batcher import Batcher
from gr00t_ros.pool.core import Answered
from gr00t_ros.pool.scaling import BATCHES
from gr00t_ros.pool.served_policy import ServedPolicy
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.endpoints import DIALECTS, Endpoints, Terms
from gr00t_ros.serve.policies import Policy, make_policy, state_widths
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
