"""The proxy in front of a policy server: its sockets and its loop.

core.py decides what happens to each request. Upstream is the one connection to the server: a REQ
socket that is closed with LINGER 0 and replaced after every failure, so that a stale reply is never
taken for an answer. While no file descriptor is free, requests are answered busy. Everything runs
on one thread, which never blocks on the server.
"""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import dataclass
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from gr00t_ros.errors import SettingsError, UnreachableError
from gr00t_ros.proxy.core import Limits, ProxyCore, ProxyReply
from gr00t_ros.proxy.pictures import Pictures
from gr00t_ros.serve.front import DEFAULT_GONE_MS, DEFAULT_MEMORY_BYTES, LOOK_MS, Front, Wake
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.address import needs_ipv6, numeric
from gr00t_ros.wire.curve import ClientKeys, ServerKeys, secure_client
from gr00t_ros.wire.envelope import Bytes

_SLACK_BYTES: Final = 4096  # above the cap: a slightly larger request still gets an error reply
_AT_ONCE: Final = 16  # messages received before the server's socket is looked at again
_RECONNECT_MS: Final = 100
_LOOK_UP_NS: Final = 5_000_000_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Where the proxy listens, which server is behind it, and its limits.

    connect_ms: how long a request waits for a connection to the server. max_reply_bytes: for each
    row of a batch. receive_ms: a client is disconnected when its machine or cable is silent, or it
    reads no reply, for that long. pictures: changes what is forwarded. upstream_keys: connect to
    the server by CURVE, as a client. max_memory_bytes: of this process, beyond what it begins with;
    above it all clients are disconnected and may connect again, since ZeroMQ's own queues have no
    limit (front.py).
    """

    upstream: str
    listen: str
    limits: Limits = Limits()
    token: Token | None = None
    upstream_token: Token | None = None
    keys: ServerKeys | None = None
    upstream_keys: ClientKeys | None = None
    pictures: Pictures | None = None
    max_reply_bytes: int = 16 * 1024 * 1024
    connect_ms: int = 1_000
    receive_ms: int = DEFAULT_GONE_MS
    max_memory_bytes: int = DEFAULT_MEMORY_BYTES


class Proxy:
    """Serves one listening address. Binds on construction; as a context manager it closes.

    Use it from one thread; only `stop` may be called from another thread or a signal handler.
    """

    def __init__(self, settings: ProxySettings) -> None:
        """Bind; raises SettingsError for an address that cannot be used."""
        self._settings = settings
        self.core = ProxyCore(
            settings.limits, settings.token, settings.upstream_token, settings.pictures
        )
        self._unreachable_ns: int | None = None
        self._context, self._wake = zmq.Context(), Wake()
        try:
            self._front = Front(
                self._context,
                settings.listen,
                settings.limits.max_request_bytes + _SLACK_BYTES,
                settings.keys,
                gone_ms=settings.receive_ms,
                max_memory_bytes=settings.max_memory_bytes,
            )
            most = settings.max_reply_bytes * settings.limits.batch
            self._upstream = Upstream(
                self._context, settings.upstream, most, settings.upstream_keys
            )
        except (SettingsError, UnreachableError) as error:
            self._wake.close()
            self._context.destroy(linger=0)
            where = f"before {settings.upstream}"
            raise SettingsError(f"{error} ({where})") from error
        self.address: str = self._front.address

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve_forever(self) -> None:
        """Answer and forward until `stop` is called."""
        while not self._wake.asked:
            ready = self._poll()
            self._front.look_after()
            if self._front.has_message(ready):
                self._receive()
            self._advance()

    def stop(self) -> None:
        """End serve_forever; safe in threads and signal handlers."""
        self._wake.set()

    def stop_on(self, *numbers: signal.Signals) -> None:
        """Make these signals call `stop` until `close`; call this from the main thread."""
        self._wake.set_on(*numbers)

    def close(self) -> None:
        """Release everything; pending requests get no answer."""
        self._upstream.close()
        self._front.close()
        self._context.destroy(linger=0)
        self._wake.close()

    def _poll(self) -> set[object]:
        poller = zmq.Poller()
        poller.register(self._wake.reader, zmq.POLLIN)
        self._front.register(poller)
        for part, events in self._upstream.sockets.items():
            if events:
                poller.register(part, events)
        return {part for part, _ in poller.poll(self._timeout_ms())}

    def _timeout_ms(self) -> int:
        times = (self.core.next_event_ns(), self._unreachable_ns)
        left_ns = [at_ns - time.monotonic_ns() for at_ns in times if at_ns is not None]
        return max(0, min([LOOK_MS, *(-(-left // 1_000_000) for left in left_ns)]))

    def _receive(self) -> None:
        """Receive some messages and pass them to the core; drop those without a return address."""
        for _ in range(_AT_ONCE):
            message = self._front.receive()
            if message is None:
                return
            if message.route:
                client = client_name(message.body) or message.route[0]
                body = [frame.buffer for frame in message.body]
                now_ns = time.monotonic_ns()
                self._reply(*self.core.request(client, message.route, body, now_ns))

    def _advance(self) -> None:
        """Continue the exchange with the server, and begin the next one when it is done."""
        now_ns = time.monotonic_ns()
        # What waited twice its time is not sent: the proxy itself slept, and the picture is old.
        max_wait_ns = self._settings.limits.max_wait_ms * 1_000_000
        self._reply(*self.core.expired(now_ns, spare_ns=max_wait_ns))
        # First, however late this pass is: what an idle server can take now is not answered busy.
        self._begin(now_ns)
        self._reply(*self.core.expired(now_ns))
        outcome = self._upstream.progress()
        if outcome is None:
            outcome = self._overdue(now_ns)
        if isinstance(outcome, str):
            log.warning("%s", outcome)
            self._reply(*self.core.failed(outcome, now_ns))
        elif outcome is not None:
            self._reply(*self.core.answered(outcome, now_ns))
        for news in self.core.take_news():
            log.warning("%s", news)
        self._begin(now_ns)

    def _overdue(self, now_ns: int) -> str | None:
        """Give up the exchange if the server is not reachable or takes too long."""
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

    def _reply(self, *replies: ProxyReply) -> None:
        for reply in replies:
            self._front.send(reply.route, reply.frame)


class Upstream:
    """The connection to the server at `address`; it reconnects by itself.

    The name is looked up once, on construction. Raises `UnreachableError` if the name is unknown
    or no socket can be opened.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        max_reply_bytes: int,
        keys: ClientKeys | None = None,
    ) -> None:
        self._context, self._cap, self._keys = context, max_reply_bytes, keys
        # All addresses of a name, in both families: a frame goes to one that is connected.
        self._addresses = numeric(address, time.monotonic_ns() + _LOOK_UP_NS)
        self._unsent: Bytes | None = None
        self._sent = False
        self._line: _Line | None = None
        self._why_none = ""
        if not self._is_open():
            raise UnreachableError(f"{address}: {self._why_none}")

    @property
    def sockets(self) -> dict[zmq.Socket[bytes], int]:
        """The sockets to poll, each with the events to wait for."""
        if self._line is None:
            return {}
        wants = zmq.POLLOUT if self._unsent is not None else 0
        asks = wants | zmq.POLLIN if wants or self._sent else 0
        return {self._line.socket: asks, self._line.monitor: zmq.POLLIN}

    def send(self, frame: Bytes) -> None:
        """Begin an exchange; call it only while none is under way."""
        self._unsent = frame

    def progress(self) -> bytes | str | None:
        """Do what is possible now; return the reply, or a text why none will come, or None."""
        if not self._is_open():
            why = f"busy: the proxy has no socket to the policy server: {self._why_none}"
            return None if self._unsent is None else self.give_up(why)
        assert self._line is not None
        # Before the exchange: that may still read a reply which came before the loss.
        is_lost = self._line.is_lost()
        try:
            outcome = self._exchange(self._line.socket)
        except zmq.ZMQError as error:
            return self.give_up(f"the policy server cannot be asked: {error.strerror}")
        if outcome is None and is_lost and self._sent:
            return self.give_up("the policy server went away before its reply")
        return outcome

    @property
    def is_unsent(self) -> bool:
        """Whether a frame waits for a connection to the server."""
        return self._unsent is not None

    def give_up(self, why: str) -> str:
        """End the present exchange; its reply, if one comes, is never read."""
        self.close()
        self._unsent, self._sent = None, False
        self._is_open()
        return why

    def close(self) -> None:
        """Close the sockets; unsent data is dropped."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _is_open(self) -> bool:
        """Open a socket if there is none; False, with `_why_none` set, if the system refuses."""
        if self._line is None:
            try:
                self._line = _Line(self._context, self._addresses, self._cap, self._keys)
            except zmq.ZMQError as error:
                self._why_none = error.strerror
        return self._line is not None

    def _exchange(self, line: zmq.Socket[bytes]) -> bytes | str | None:
        try:
            if self._unsent is not None:
                line.send(self._unsent, zmq.NOBLOCK, copy=False)
                self._unsent, self._sent = None, True
            if not self._sent:
                return None
            reply = line.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        if line.get(zmq.RCVMORE):
            return self.give_up("the policy server answered in several frames, expected one")
        self._sent = False
        return reply


class _Line:
    """A REQ socket, and the monitor that reports lost connections."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        addresses: tuple[str, ...],
        cap: int,
        keys: ClientKeys | None,
    ) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.REQ)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.RCVHWM, 0)  # as front.py: a lost peer must not abort libzmq
        self.socket.set(zmq.IMMEDIATE, 1)  # queue nothing while there is no connection
        self.socket.set(zmq.MAXMSGSIZE, cap)
        self.socket.set(zmq.RECONNECT_IVL, _RECONNECT_MS)
        if keys is not None:
            secure_client(self.socket, keys)
        try:
            self.monitor = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            for address in addresses:
                self.socket.set(zmq.IPV6, int(needs_ipv6(address)))
                self.socket.connect(address)
        except zmq.ZMQError:
            self.socket.disable_monitor()
            self.socket.close(linger=0)
            raise

    def is_lost(self) -> bool:
        """Whether the connection was lost since the last call."""
        lost = False
        while self.monitor.poll(0):
            recv_monitor_message(self.monitor)
            lost = True
        return lost

    def close(self) -> None:
        """Close both; unsent data is dropped."""
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close(linger=0)


def client_name(body: list[zmq.Frame]) -> str | None:
    """Return the name of an admitted client, which it cannot choose itself; None without CURVE."""
    try:
        return str(body[-1].get("User-Id")) or None
    except (zmq.ZMQError, IndexError):
        return None
