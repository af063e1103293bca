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
from gr00t_ros.sidecar.address import needs_ipv6
from gr00t_ros.sidecar.curve import Admission
from gr00t_ros.sidecar.keys import ServerKeys
from gr00t_ros.sidecar.memory import release_freed, resident_bytes
from gr00t_ros.sidecar.proxy_core import Limits, ProxyCore, Reply
from gr00t_ros.sidecar.token import Token
from gr00t_ros.sidecar.upstream import Upstream
from gr00t_ros.sidecar.wake import Wake

log = logging.getLogger(__name__)

_WAITING_FRAMES: Final = 4  # of one client in ZeroMQ's queue; a REQ has one
_SLACK_BYTES: Final = 4096  # above the cap: so that a sender just above it learns why
_HANDSHAKE_MS: Final = 5_000
_LOOK_MS: Final = 200  # between looks at the memory: 200 ms of a full 10 Gbit/s line are 250 MB
_REBIND_NS: Final = 5_000_000_000


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Where the proxy listens and what it stands before; milliseconds.

    connect_ms: how long a request waits for a server that is not there. receive_ms: a client
    that takes longer for one message, or says nothing at all to ZeroMQ's heartbeat, is cut off.
    max_memory_bytes: of this process; above it all clients are cut off and may come again, since
    ZeroMQ itself sets no bound to what it collects of a message without an end.
    """

    upstream: str
    listen: str
    limits: Limits = Limits()
    token: Token | None = None
    upstream_token: Token | None = None
    keys: ServerKeys | None = None
    max_reply_bytes: int = 16 * 1024 * 1024
    connect_ms: int = 1_000
    receive_ms: int = 10_000
    max_memory_bytes: int = 1024 * 1024 * 1024


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
        self._looked_ns = 0
        try:
            self._socket = self._listen(settings.listen)
            self._upstream = Upstream(self._context, settings.upstream, settings.max_reply_bytes)
        except (zmq.ZMQError, UnreachableError) as error:
            self._wake.close()
            self._context.destroy(linger=0)
            where = f"{settings.listen} before {settings.upstream}"
            why = error.strerror if isinstance(error, zmq.ZMQError) else error
            raise SettingsError(f"cannot serve on {where}: {why}") from error
        self.address: str = self._socket.get_string(zmq.LAST_ENDPOINT)

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
            self._watch_memory()
            if self._admission is not None and self._admission.socket in ready:
                self._admission.decide()
            if self._socket in ready:
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
        self._socket.close(linger=0)
        if self._admission is not None:
            self._admission.close()
        self._context.destroy(linger=0)
        self._wake.close()

    def _listen(self, address: str) -> zmq.Socket[bytes]:
        settings = self._settings
        front: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        front.set(zmq.LINGER, 0)
        front.set(zmq.RCVHWM, _WAITING_FRAMES)
        front.set(zmq.MAXMSGSIZE, settings.limits.max_request_bytes + _SLACK_BYTES)
        front.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        front.set(zmq.HEARTBEAT_IVL, max(1, settings.receive_ms // 4))
        front.set(zmq.HEARTBEAT_TIMEOUT, settings.receive_ms)
        front.set(zmq.IPV6, int(needs_ipv6(address)))
        if self._admission is not None:
            self._admission.secure(front)
        try:
            front.bind(address)
        except zmq.ZMQError:
            front.close(linger=0)
            raise
        return front

    def _watch_memory(self) -> None:
        """Cut off all clients where one makes ZeroMQ collect a message without an end."""
        now_ns = time.monotonic_ns()
        if now_ns - self._looked_ns < _LOOK_MS * 1_000_000:
            return
        self._looked_ns = now_ns
        held = resident_bytes()
        if held > self._settings.max_memory_bytes:
            log.error("%d MiB held: cutting off all clients", held >> 20)
            self._socket.close(linger=0)
            self._socket = self._listen_again()
            release_freed()

    def _listen_again(self) -> zmq.Socket[bytes]:
        """Bind the address that another thread of ZeroMQ is about to free."""
        end_ns = time.monotonic_ns() + _REBIND_NS
        while True:
            try:
                return self._listen(self.address)
            except zmq.ZMQError as error:
                if error.errno != zmq.EADDRINUSE or time.monotonic_ns() > end_ns:
                    raise
                time.sleep(0.01)

    def _poll(self) -> set[object]:
        poller = zmq.Poller()
        poller.register(self._wake.reader, zmq.POLLIN)
        poller.register(self._socket, zmq.POLLIN)
        if self._admission is not None:
            poller.register(self._admission.socket, zmq.POLLIN)
        for part, events in self._upstream.sockets.items():
            if events:
                poller.register(part, events)
        return {part for part, _ in poller.poll(self._timeout_ms())}

    def _timeout_ms(self) -> int:
        times = (self.core.next_event_ns(), self._unreachable_ns)
        left_ns = [at_ns - time.monotonic_ns() for at_ns in times if at_ns is not None]
        return max(0, min([_LOOK_MS, *(-(-left // 1_000_000) for left in left_ns)]))

    def _receive(self) -> None:
        """Take one request; what has no return address is dropped."""
        try:
            frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return
        empty = next((i for i, frame in enumerate(frames) if i and not len(frame)), None)
        if empty is None:
            return
        route = tuple(frame.bytes for frame in frames[: empty + 1])
        body = [frame.buffer for frame in frames[empty + 1 :]]
        client = _name(frames[-1]) or route[0]
        self._reply(*self.core.request(client, route, body, time.monotonic_ns()))

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
            self._socket.send_multipart([*reply.route, reply.frame], copy=False)


def _name(frame: zmq.Frame) -> str | None:
    """The admitted client's name, which no client can choose for itself; None without CURVE."""
    try:
        return str(frame.get("User-Id")) or None
    except zmq.ZMQError:
        return None
