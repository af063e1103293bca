"""A small process beside a policy server that lets nobody else talk to it: the socket shell.

Owns the listening socket and the loop; what becomes of a request is proxy_core.py's part, the
connection to the server upstream.py's. One thread; it waits for the server while it goes on
answering everybody else.
"""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import zmq

from gr00t_ros.core.errors import SettingsError, UnreachableError
from gr00t_ros.sidecar.curve import Admission
from gr00t_ros.sidecar.front import DEFAULT_GONE_MS, DEFAULT_MEMORY_BYTES, LOOK_MS, Front
from gr00t_ros.sidecar.keys import ServerKeys
from gr00t_ros.sidecar.proxy_core import Limits, ProxyCore, Reply
from gr00t_ros.sidecar.token import Token
from gr00t_ros.sidecar.upstream import Upstream
from gr00t_ros.sidecar.wake import Wake

log = logging.getLogger(__name__)

_SLACK_BYTES: Final = 4096  # above the cap: so that a sender just above it learns why
_AT_ONCE: Final = 16  # messages taken before the server is looked at again


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Where the proxy listens and what it stands before; milliseconds.

    connect_ms: how long a request waits for a server that is not there. receive_ms: a client
    whose machine or cable is silent, or that takes no reply, for that long is cut off.
    max_memory_bytes: of this process; above it all clients are cut off and may come again, since
    ZeroMQ itself sets no bound to what it collects (front.py).
    """

    upstream: str
    listen: str
    limits: Limits = Limits()
    token: Token | None = None
    upstream_token: Token | None = None
    keys: ServerKeys | None = None
    max_reply_bytes: int = 16 * 1024 * 1024
    connect_ms: int = 1_000
    receive_ms: int = DEFAULT_GONE_MS
    max_memory_bytes: int = DEFAULT_MEMORY_BYTES


class Proxy:
    """Serve one listening address; bound on construction, a context manager that closes.

    Use it from one thread; only `stop` may come from another thread or a signal handler.
    """

    def __init__(self, settings: ProxySettings) -> None:
        """Bind; raises SettingsError for an address that cannot be used."""
        self._settings = settings
        self.core = ProxyCore(settings.limits, settings.token, settings.upstream_token)
        self._unreachable_ns: int | None = None
        self._wake = Wake()
        self._context = zmq.Context()
        self._admission: Admission | None = None
        if settings.keys is not None:
            self._admission = Admission(self._context, settings.keys)
        try:
            self._front = Front(
                self._context,
                settings.listen,
                settings.limits.max_request_bytes + _SLACK_BYTES,
                self._admission,
                gone_ms=settings.receive_ms,
                max_memory_bytes=settings.max_memory_bytes,
            )
            self._upstream = Upstream(self._context, settings.upstream, settings.max_reply_bytes)
        except (SettingsError, UnreachableError) as error:
            self._wake.close()
            self._context.destroy(linger=0)
            where = f"before {settings.upstream}"
            raise SettingsError(f"{error} ({where})") from error
        self.address: str = self._front.address

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def serve_forever(self) -> None:
        """Answer and forward until `stop` is called."""
        while not self._wake.asked:
            ready = self._poll()
            self._front.look_after()
            if self._admission is not None and self._admission.socket in ready:
                self._admission.decide()
            if self._front.socket in ready:
                self._receive()
            self._advance()

    def stop(self) -> None:
        """End serve_forever; safe in threads and signal handlers."""
        self._wake.set()

    def stop_on(self, *numbers: signal.Signals) -> None:
        """Let these signals call `stop`; from the main thread, until `close`."""
        self._wake.set_on(*numbers)

    def close(self) -> None:
        """Release everything; what is under way gets no answer."""
        self._upstream.close()
        self._front.close()
        if self._admission is not None:
            self._admission.close()
        self._context.destroy(linger=0)
        self._wake.close()

    def _poll(self) -> set[object]:
        poller = zmq.Poller()
        poller.register(self._wake.reader, zmq.POLLIN)
        poller.register(self._front.socket, zmq.POLLIN)
        if self._admission is not None:
            poller.register(self._admission.socket, zmq.POLLIN)
        for part, events in self._upstream.sockets.items():
            if events:
                poller.register(part, events)
        return {part for part, _ in poller.poll(self._timeout_ms())}

    def _timeout_ms(self) -> int:
        times = (self.core.next_event_ns(), self._unreachable_ns)
        left_ns = [at_ns - time.monotonic_ns() for at_ns in times if at_ns is not None]
        return max(0, min([LOOK_MS, *(-(-left // 1_000_000) for left in left_ns)]))

    def _receive(self) -> None:
        """Take what has come, in turns of the clients; what has no return address is dropped."""
        for _ in range(_AT_ONCE):
            message = self._front.receive()
            if message is None:
                return
            if message.route:
                client = _name(message.body) or message.route[0]
                body = [frame.buffer for frame in message.body]
                now_ns = time.monotonic_ns()
                self._reply(*self.core.request(client, message.route, body, now_ns))

    def _advance(self) -> None:
        """Move the exchange with the server on, and begin the next one."""
        now_ns = time.monotonic_ns()
        self._reply(*self.core.expired(now_ns))
        outcome = self._upstream.progress()
        if outcome is None:
            outcome = self._overdue(now_ns)
        if isinstance(outcome, str):
            log.warning("%s", outcome)
            self._reply(self.core.failed(outcome))
        elif outcome is not None:
            self._reply(self.core.answered(outcome))
        self._begin(now_ns)

    def _overdue(self, now_ns: int) -> str | None:
        """Give up on the server where it is not there or takes too long."""
        if not self._upstream.is_unsent:
            self._unreachable_ns = None
        elif self._unreachable_ns is not None and now_ns >= self._unreachable_ns:
            return self._upstream.give_up("the policy server cannot be reached by the proxy")
        if self.core.is_late(now_ns):
            late = f"the policy server did not answer in {self._settings.limits.deadline_ms} ms"
            return self._upstream.give_up(late)
        return None

    def _begin(self, now_ns: int) -> None:
        frame = self.core.next_frame(now_ns)
        if frame is None:
            return
        self._upstream.send(frame)
        self._unreachable_ns = now_ns + self._settings.connect_ms * 1_000_000

    def _reply(self, *replies: Reply) -> None:
        for reply in replies:
            # A ROUTER never blocks: a client that has gone costs its reply and nothing else.
            self._front.socket.send_multipart([*reply.route, reply.frame], copy=False)


def _name(body: list[zmq.Frame]) -> str | None:
    """The admitted client's name, which no client can choose for itself; None without CURVE."""
    try:
        return str(body[-1].get("User-Id")) or None
    except (zmq.ZMQError, IndexError):
        return None
