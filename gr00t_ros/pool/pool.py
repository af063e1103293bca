"""The pool's front: GR00T's wire to the robots, jobs to the replicas. Its sockets and its loop.

core.py decides what happens to each request. Everything runs on one thread, which never waits for
a replica.
"""

from __future__ import annotations

import logging
import signal
import socket
import time
from dataclasses import dataclass
from typing import Final, Protocol

import zmq

from gr00t_ros.pool.cluster import JobOutcome
from gr00t_ros.pool.core import PoolCore, PoolLimits, ReplicaJob
from gr00t_ros.proxy.core import ProxyReply
from gr00t_ros.serve.front import DEFAULT_GONE_MS, LOOK_MS, SLACK_BYTES, Front, Wake
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.curve import ServerKeys

_MAX_MEMORY_BYTES: Final = 4 << 30  # of this process; its part of Ray's shared memory counts

log = logging.getLogger(__name__)


class Replicas(Protocol):
    """What the front needs of a `cluster.Cluster`."""

    replicas: int
    modality: bytes
    bell: socket.socket

    def send(self, number: int, job: ReplicaJob) -> None:
        """Give a job to a replica."""

    def outcomes(self) -> list[JobOutcome]:
        """Return what has come since the last call."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Where the pool listens, whom it admits, and its limits."""

    listen: str
    limits: PoolLimits = PoolLimits()
    token: Token | None = None
    keys: ServerKeys | None = None
    receive_ms: int = DEFAULT_GONE_MS


class Pool:
    """Serves one listening address. Binds on construction; as a context manager it closes.

    Use it from one thread; only `stop` may be called from another thread or a signal handler.
    """

    def __init__(self, settings: PoolSettings, replicas: Replicas) -> None:
        """Bind; raises SettingsError for an address that cannot be used."""
        self._replicas = replicas
        self.core = PoolCore(settings.limits, settings.token)
        self.core.modality = replicas.modality
        self._context, self._wake = zmq.Context(), Wake()
        try:
            self._front = Front(
                self._context,
                settings.listen,
                settings.limits.max_request_bytes + SLACK_BYTES,
                settings.keys,
                gone_ms=settings.receive_ms,
                max_memory_bytes=_MAX_MEMORY_BYTES,
            )
        except BaseException:
            self._close_rest()
            raise
        self.address: str = self._front.address

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve_forever(self) -> None:
        """Answer until `stop` is called."""
        while not self._wake.asked:
            ready = self._poll()
            self._front.look_after()
            self.core.replicas = self._replicas.replicas
            if self._front.has_message(ready):
                self._receive()
            self._take_outcomes()
            self._reply(*self.core.expired(time.monotonic_ns()))

    def stop(self) -> None:
        """End serve_forever; safe in threads and signal handlers."""
        self._wake.set()

    def stop_on(self, *numbers: signal.Signals) -> None:
        """Make these signals call `stop` until `close`; call this from the main thread."""
        self._wake.set_on(*numbers)

    def close(self) -> None:
        """Stop listening; idempotent. The replicas are their owner's to end."""
        self._front.close()
        self._close_rest()

    def _close_rest(self) -> None:
        self._context.destroy(linger=0)
        self._wake.close()

    def _poll(self) -> dict[object, int]:
        poller = zmq.Poller()
        self._front.register(poller)
        for reader in (self._wake.reader, self._replicas.bell):
            poller.register(reader, zmq.POLLIN)
        until_ns = self.core.next_expiry_ns()
        left_ms = LOOK_MS
        if until_ns is not None:
            left_ms = min(left_ms, max(0, (until_ns - time.monotonic_ns()) // 1_000_000 + 1))
        return dict(poller.poll(left_ms))

    def _receive(self) -> None:
        for client, route, body in self._front.requests():
            now_ns = time.monotonic_ns()
            self._go_on(self.core.request(client, route, body, now_ns))

    def _take_outcomes(self) -> None:
        for number, outcome in self._replicas.outcomes():
            now_ns = time.monotonic_ns()
            if isinstance(outcome, str):
                log.warning("a replica was lost: %s", outcome)
                self._go_on(self.core.lost(number, outcome, now_ns))
            else:
                self._go_on(self.core.answered(number, outcome, now_ns))

    def _go_on(self, found: ProxyReply | int | None) -> None:
        """Send a reply, or give a job to a replica."""
        if isinstance(found, int):
            self._replicas.send(found, self.core.job(found))
        elif found is not None:
            self._reply(found)

    def _reply(self, *replies: ProxyReply) -> None:
        for reply in replies:
            self._front.send(reply.route, reply.frame)
