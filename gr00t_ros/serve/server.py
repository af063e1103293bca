"""A policy on a socket: serves one request at a time until it is asked to stop.

Owns the socket and the loop; endpoints.py handles the requests. Uses REP's envelope on a ROUTER
socket. A REP socket fails on a request of two frames (wire.md 2); this server answers it with an
error. A message without a return address is dropped.
"""

from __future__ import annotations

import logging
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import zmq

from gr00t_ros.errors import SettingsError
from gr00t_ros.serve.endpoints import DIALECTS, Answer, Answers, Endpoints, Terms, TorchEndpoints
from gr00t_ros.serve.front import Front, Received, Wake
from gr00t_ros.serve.policies import Policy
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.codec import MAX_BYTES
from gr00t_ros.wire.curve import ServerKeys
from gr00t_ros.wire.messages import GET_ACTION, Generation

_KILL_LINGER_MS = 1000  # so that the reply to kill is sent before the socket closes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delay:
    """Artificial inference time of an action: mean_ms plus a uniform jitter of +-jitter_ms.

    row_ms: of each further row of a batch.
    """

    mean_ms: float = 0.0
    jitter_ms: float = 0.0
    row_ms: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.jitter_ms <= self.mean_ms < 3.6e6:
            raise SettingsError(
                f"delay: got {self.mean_ms} +- {self.jitter_ms} ms,"
                " expected 0 <= jitter <= mean < 3.6e6"
            )
        if not 0.0 <= self.row_ms < 3.6e6:
            raise SettingsError(f"delay: got {self.row_ms} ms a row, expected 0 <= row < 3.6e6")

    def draw_s(self, source: random.Random, rows: int = 1) -> float:
        """Return the next delay in seconds, of a batch with so many rows."""
        jitter_ms = source.uniform(-self.jitter_ms, self.jitter_ms)
        return (self.mean_ms + jitter_ms + self.row_ms * (rows - 1)) * 1e-3


@dataclass(slots=True)
class ServerCounts:
    """Counts since the server was made; dropped: messages without a return address."""

    requests: int = 0
    actions: int = 0
    errors: int = 0
    dropped: int = 0


class PolicyServer:
    """Serves one policy on one address, in one generation's dialect.

    Binds on construction (port 0 takes a free one; see `address`). As a context manager it closes
    at the end. Use it from one thread; only `stop` may be called from another thread or a signal
    handler.
    """

    def __init__(
        self,
        policy: Policy,
        generation: Generation | str = Generation.B3,
        flat: bool = False,
        token: Token | None = None,
        bind: str = "tcp://127.0.0.1:0",
        *,
        strict: bool = True,
        state_widths: Mapping[str, int] | None = None,
        allow_kill: bool = False,
        delay: Delay | None = None,
        seed: int | None = None,
        max_request_bytes: int = MAX_BYTES,
        around: Callable[[Answers], Answers] | None = None,
        keys: ServerKeys | None = None,
    ) -> None:
        """Bind; raises SettingsError for an unknown generation or an address that is not free.

        flat, token, strict, state_widths, allow_kill: see endpoints.Terms. seed: of the delays.
        around: wraps the endpoints, as faulty.Faulty does. keys: use CURVE and admit these
        clients only.
        """
        terms = Terms(flat, strict, token, allow_kill, state_widths or {})
        self._endpoints = _endpoints(policy, generation, terms)
        if around is not None:
            self._endpoints = around(self._endpoints)
        self._token = token
        self._delay = delay or Delay()
        self._random = random.Random(seed)
        self._max_bytes = max_request_bytes
        self.counts = ServerCounts()
        self._context, self._wake = zmq.Context(), Wake()
        # Requests up to twice the cap get an error reply; above that libzmq disconnects the client.
        # Memory is not watched: a policy may use any amount.
        cap = 2 * max_request_bytes
        try:
            self._front = Front(self._context, bind, cap, keys, max_memory_bytes=None)
        except SettingsError:
            self._close_rest()
            raise
        self.address: str = self._front.address

    def __enter__(self) -> PolicyServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve_forever(self) -> None:
        """Answer one request after the other until `stop`, or a kill request where allowed."""
        while not self._wake.asked:
            poller = zmq.Poller()
            self._front.register(poller)
            poller.register(self._wake.reader, zmq.POLLIN)
            if self._front.has_message(dict(poller.poll())):
                self._serve_one()

    def stop(self) -> None:
        """End serve_forever after the present request; safe in threads and signal handlers."""
        self._wake.set()

    def stop_on(self, *numbers: signal.Signals) -> None:
        """Make these signals call `stop` until `close`; call this from the main thread."""
        self._wake.set_on(*numbers)

    def close(self) -> None:
        """Release socket and context; idempotent."""
        self._front.close()
        self._close_rest()

    def _close_rest(self) -> None:
        self._context.term()
        self._wake.close()

    def _serve_one(self) -> None:
        start = time.monotonic()
        message = self._front.receive()
        if message is None:
            return
        if not message.route:
            self.counts.dropped += 1
            log.warning("dropped a message without REQ's empty delimiter")
            return
        answer = self._answer(message)
        if answer.endpoint == GET_ACTION and answer.error is None:
            delay_s = self._delay.draw_s(self._random, answer.rows)
            self._pause(delay_s - (time.monotonic() - start))
        self._pause(answer.late_s)
        self._count(answer, sum(map(len, message.body)), time.monotonic() - start)
        if answer.sent:
            self._send(message.route, answer)

    def _answer(self, message: Received) -> Answer:
        frames = message.body
        if len(frames) != 1:
            return self._endpoints.refuse(f"got a request of {len(frames)} frames, expected one")
        return self._endpoints.answer(frames[0].bytes, self._max_bytes)

    def _pause(self, seconds: float) -> None:
        if seconds > 0.0:
            self._wake.wait(seconds)

    def _count(self, answer: Answer, received_bytes: int, seconds: float) -> None:
        self.counts.requests += 1
        name = answer.endpoint or "request"
        if answer.error is not None:
            self.counts.errors += 1
            text = self._token.redact(answer.error) if self._token else answer.error
            log.warning("%s of %d B refused: %.300r", name, received_bytes, text)
            return
        self.counts.actions += answer.endpoint == GET_ACTION
        took_ms = seconds * 1e3
        log.info("%s: %d B in, %d B out, %.1f ms", name, received_bytes, len(answer.frame), took_ms)

    def _send(self, route: tuple[bytes, ...], answer: Answer) -> None:
        if answer.stop:
            self._front.socket.set(zmq.LINGER, _KILL_LINGER_MS)
            self.stop()
        self._front.send(route, answer.frame)


def _endpoints(policy: Policy, generation: Generation | str, terms: Terms) -> Answers:
    try:
        known = Generation(generation)
    except ValueError:
        names = ", ".join(item.value for item in Generation)
        raise SettingsError(f"generation '{generation}': expected one of {names}") from None
    return TorchEndpoints() if known is Generation.T else Endpoints(policy, DIALECTS[known], terms)
