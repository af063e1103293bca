"""The proxy in front of a policy server: its sockets and its loop.

core.py decides what happens to each request, upstream.py has the one connection to the server.
While no file descriptor is free, requests are answered busy. Everything runs on one thread, which
never blocks on the server; only its name is looked up on another.
"""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import dataclass
from typing import Final

import zmq

from gr00t_ros.errors import SettingsError, UnreachableError
from gr00t_ros.proxy.core import Limits, ProxyCore, ProxyReply
from gr00t_ros.proxy.pictures import PictureTranscoder
from gr00t_ros.proxy.upstream import UNREACHABLE, Upstream
from gr00t_ros.serve.front import (
    DEFAULT_GONE_MS,
    DEFAULT_MEMORY_BYTES,
    LOOK_MS,
    SLACK_BYTES,
    Front,
    Wake,
)
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.curve import ClientKeys, ServerKeys

_MOST_LISTEN_NS: Final = 250_000_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Where the proxy listens, which server is behind it, and its limits.

    connect_ms: how long a request waits for a connection to the server, once its name has been
    looked up. max_reply_bytes: for each row of a batch. receive_ms: a client is disconnected when
    its machine or cable is silent, or it reads no reply, for that long. pictures: changes what is
    forwarded. upstream_keys: connect to the server by CURVE, as a client. max_memory_bytes: of this
    process, beyond what it begins with; above it all clients are disconnected and may connect
    again, since ZeroMQ's own queues have no limit (front.py).
    """

    upstream: str
    listen: str
    limits: Limits = Limits()
    token: Token | None = None
    upstream_token: Token | None = None
    keys: ServerKeys | None = None
    upstream_keys: ClientKeys | None = None
    pictures: PictureTranscoder | None = None
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
        self._connect_ns = settings.connect_ms * 1_000_000
        self._unreachable_ns: int | None = None
        # Half: what comes meanwhile is not answered busy for it.
        self._listen_ns = min(_MOST_LISTEN_NS, settings.limits.max_wait_ms * 500_000)
        self._context, self._wake = zmq.Context(), Wake()
        try:
            self._front = Front(
                self._context,
                settings.listen,
                settings.limits.max_request_bytes + SLACK_BYTES,
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
        if self._is_listening(time.monotonic_ns()):  # and what could leave does not
            times = (self._upstream.first_answer_ns + self._listen_ns, None)
        left_ns = [at_ns - time.monotonic_ns() for at_ns in times if at_ns is not None]
        return max(0, min([LOOK_MS, *(-(-left // 1_000_000) for left in left_ns)]))

    def _receive(self) -> None:
        """Pass some requests that have arrived to the core."""
        for client, route, body in self._front.requests():
            now_ns = time.monotonic_ns()
            self._reply(*self.core.request(client, route, body, now_ns))

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
        if not self._upstream.is_unsent or self._upstream.is_looking_up:
            self._unreachable_ns = None
        elif self._unreachable_ns is None:  # the look-up has ended
            self._unreachable_ns = now_ns + self._connect_ns
        elif now_ns >= self._unreachable_ns:
            return self._upstream.give_up(UNREACHABLE)
        if self.core.is_late(now_ns):
            if self._upstream.is_looking_up:
                return self._upstream.give_up(f"{UNREACHABLE}: its name is still being looked up")
            late = f"the policy server did not answer in {self._settings.limits.deadline_ms} ms"
            return self._upstream.give_up(late)
        return None

    def _is_listening(self, now_ns: int) -> bool:
        """Whether a second answer to a connection's first request may come: nothing is sent.

        One that came after the next request would be taken for the answer to that.
        """
        return now_ns < self._upstream.first_answer_ns + self._listen_ns

    def _begin(self, now_ns: int) -> None:
        frame = None if self._is_listening(now_ns) else self.core.next_frame(now_ns)
        if frame is None:
            return
        self._upstream.send(frame)
        self._unreachable_ns = now_ns + self._connect_ns

    def _reply(self, *replies: ProxyReply) -> None:
        for reply in replies:
            self._front.send(reply.route, reply.frame)
