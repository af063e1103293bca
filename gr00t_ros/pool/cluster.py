"""The replicas of a pool on Ray Serve: how many, started, asked, counted and ended.

Answers come on a thread of Ray's; they are collected here, and `bell` becomes readable. Use the
other methods from one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import sys
import threading
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

from gr00t_ros.errors import LaunchError, SettingsError
from gr00t_ros.pool.core import BATCHES, MAX_REPLICAS, Answered, ReplicaJob
from gr00t_ros.pool.replica import Plan, Replica
from gr00t_ros.proxy.core import check_range
from gr00t_ros.wire import codec, messages

LOCAL: Final = "local"
INSTALL: Final = "pip install 'ray[serve]'"

_DEPLOYMENT: Final = "policy"
_HEALTH_PERIOD_S: Final = 1.0
_HEALTH_TIMEOUT_S: Final = 30.0
_GRACE_S: Final = 5.0
_COUNT_S: Final = 0.25
_JOIN_S: Final = 5.0
_STORE_BYTES: Final = 1 << 30  # of a local Ray, which would take 30 % of the memory
_CALLS: Final = 64  # bytes read from the bell at once

JobOutcome = tuple[int, Answered | str]
"""A job's number, and its answer or why its replica was lost."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scaling:
    """From `least` to `most` replicas; cpus, gpus: of each, may be a part of one.

    Raises `SettingsError`.
    """

    least: int = 1
    most: int = 1
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        check_range("replicas", self.least, 1, MAX_REPLICAS)
        check_range("replicas", self.most, self.least, MAX_REPLICAS)
        check_range("cpus", self.cpus, 0, 1024)
        check_range("gpus", self.gpus, 0, 64)


def read_replicas(text: str) -> tuple[int, int]:
    """Return the least and the most of ``N`` or ``N-M``; raises `SettingsError`."""
    found = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text)
    if found is None:
        raise SettingsError(f"replicas: got {text!r:.40}, expected N, or N-M to scale between them")
    return int(found[1]), int(found[2] or found[1])


def deployment_options(scaling: Scaling, rows: int) -> dict[str, Any]:
    """Return the options of Ray Serve's deployment.

    A replica takes several batches of requests: those that it does not take wait in Ray Serve,
    which looks for a free replica at growing intervals, and a replica then has nothing to do. How
    many wait is bounded by the admission. It scales so that on average one batch is with each
    replica.
    """
    options: dict[str, Any] = {
        "max_ongoing_requests": BATCHES * rows,
        "ray_actor_options": {"num_cpus": scaling.cpus, "num_gpus": scaling.gpus},
        "health_check_period_s": _HEALTH_PERIOD_S,
        "health_check_timeout_s": _HEALTH_TIMEOUT_S,
        "graceful_shutdown_timeout_s": _GRACE_S,
        "logging_config": {"enable_access_log": False},  # a line for each request
    }
    if scaling.least == scaling.most:
        return options | {"num_replicas": scaling.least}
    scale = {"min_replicas": scaling.least, "max_replicas": scaling.most}
    return options | {"autoscaling_config": scale | {"target_ongoing_requests": rows}}


class Cluster:
    """One application of Ray Serve, named `name`; others may run beside it on the same cluster."""

    def __init__(self, address: str, name: str, plan: Plan, scaling: Scaling) -> None:
        """Start the replicas, wait until all have loaded their policy.

        address: of a Ray cluster whose machines have this package, or `local`. Raises
        `SettingsError` if Ray is missing or not reached, `LaunchError` if no replica starts.
        """
        try:
            import ray
            from ray import serve
        except ImportError as error:
            raise SettingsError(f"ray: {error}; install it with: {INSTALL}") from error
        self._ray, self._serve, self._name = ray, serve, name
        self._done: deque[JobOutcome] = deque()
        self.bell, self._ring = socket.socketpair()
        self.bell.setblocking(False)
        self._ring.setblocking(False)
        self._loop = asyncio.new_event_loop()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._loop.run_forever, name="pool-ray", daemon=True),
            threading.Thread(target=self._keep_counting, name="pool-count", daemon=True),
        ]
        _connect(ray, address, scaling)
        try:
            # No proxy: clients of the pool speak GR00T's wire to its front, and nothing else.
            serve.start(proxy_location="Disabled")
            options = deployment_options(scaling, plan.rows)
            deployment: Any = serve.deployment(Replica, name=_DEPLOYMENT, **options)
            self._handle = serve.run(deployment.bind(plan), name=name, route_prefix=None)
            self.modality = self._modality()
        except Exception as error:
            self._leave()
            raise LaunchError(f"no replica of the pool has started: {error}") from error
        self.replicas = self._running()
        for thread in self._threads:
            thread.start()

    def send(self, number: int, job: ReplicaJob) -> None:
        """Give a job to a replica; its outcome comes by `outcomes`."""
        asking = self._ask(number, bytes(job.frame), job.client)
        asyncio.run_coroutine_threadsafe(asking, self._loop)

    def outcomes(self) -> list[JobOutcome]:
        """Return what has come since the last call, and silence the bell."""
        with contextlib.suppress(BlockingIOError):
            while self.bell.recv(_CALLS):
                pass
        return [self._done.popleft() for _ in range(len(self._done))]

    def close(self) -> None:
        """End the replicas; a local Ray ends as well. Idempotent."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join(_JOIN_S)  # Ray's controller may hang, and with it the count
        with contextlib.suppress(Exception):  # the cluster may be gone
            self._serve.delete(self._name)
        self._leave()

    def _leave(self) -> None:
        self._ray.shutdown()
        self.bell.close()
        self._ring.close()

    def _modality(self) -> bytes:
        frame = codec.encode(messages.request(messages.GET_MODALITY_CONFIG), "npy")
        answer: Answered = self._handle.answer.remote(frame, self._name).result()
        messages.read_reply(answer.frame, messages.GET_MODALITY_CONFIG, codec.MAX_BYTES)
        return answer.frame

    async def _ask(self, number: int, frame: bytes, client: Hashable) -> None:
        outcome: Answered | str
        try:
            outcome = await self._handle.answer.remote(frame, client)
        except (Exception, asyncio.CancelledError) as error:  # Ray's have no common base
            outcome = f"{type(error).__name__}: {error}".splitlines()[0]
        self._done.append((number, outcome))
        with contextlib.suppress(OSError):  # full: it rings already; closed: the pool ends
            self._ring.send(b"\0")

    def _running(self) -> int:
        """Return how many replicas have loaded their policy and are healthy."""
        found = self._serve.status().applications[self._name].deployments[_DEPLOYMENT]
        states: dict[Any, int] = found.replica_states
        return states.get("RUNNING", 0)

    def _keep_counting(self) -> None:
        """Keep `replicas` true, on a thread of its own: Ray's controller may be slow."""
        while not self._ended.wait(_COUNT_S):
            try:
                running = self._running()
            except Exception as error:  # the controller is being restarted
                log.warning("Ray Serve's status cannot be read: %s", error)
                continue
            if running != self.replicas:
                log.info("replicas that are ready: %d, before: %d", running, self.replicas)
                self.replicas = running


def _connect(ray: Any, address: str, scaling: Scaling) -> None:
    """Connect to a cluster, or start one on this machine; raises SettingsError."""
    local: dict[str, Any] = {}
    if address == LOCAL:
        local = {
            # Ray Serve's controller needs one beside the replicas'.
            "num_cpus": max(1, round(scaling.most * scaling.cpus)) + 1,
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
            # The paths of this process, so that replicas import the same package.
            "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
        }
    where = None if address == LOCAL else address
    try:
        ray.init(address=where, configure_logging=False, log_to_driver=True, **local)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SettingsError(f"ray at {address}: {error}") from error
