"""The proxy's one connection to the server behind it: one frame there, one back, or a reason.

Owns a REQ socket that is replaced with LINGER 0 after every failure, so that no stale reply is
ever taken for an answer. Where the system gives no new one (no file descriptor is left), requests
are answered busy until it does. Nothing here blocks: its owner polls `sockets` and calls
`progress`.
"""

from __future__ import annotations

import time
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from gr00t_ros.core.errors import UnreachableError
from gr00t_ros.sidecar.address import needs_ipv6, numeric
from gr00t_ros.sidecar.envelope import Bytes

_RECONNECT_MS: Final = 100
_LOOK_UP_NS: Final = 5_000_000_000


class Upstream:
    """One server at `address`, connected all the time, lost and found again by itself.

    Its name is looked up once, on construction; raises `UnreachableError` where nobody knows it
    and where no socket can be had for it.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], address: str, max_reply_bytes: int
    ) -> None:
        self._context, self._cap = context, max_reply_bytes
        # Of a name all addresses, both families: a frame goes to one where somebody listens.
        self._addresses = numeric(address, time.monotonic_ns() + _LOOK_UP_NS)
        self._unsent: Bytes | None = None
        self._sent = False
        self._line: _Line | None = None
        self._why_none = ""
        if not self._is_open():
            raise UnreachableError(f"{address}: {self._why_none}")

    @property
    def sockets(self) -> dict[zmq.Socket[bytes], int]:
        """What to poll, and for what."""
        if self._line is None:
            return {}
        wants = zmq.POLLOUT if self._unsent is not None else 0
        asks = wants | zmq.POLLIN if wants or self._sent else 0
        return {self._line.socket: asks, self._line.monitor: zmq.POLLIN}

    def send(self, frame: Bytes) -> None:
        """Begin an exchange; none may be under way."""
        self._unsent = frame

    def progress(self) -> bytes | str | None:
        """Do what can be done now; return the reply, or why there will be none, or None."""
        if not self._is_open():
            why = f"busy: the proxy has no socket to the policy server: {self._why_none}"
            return None if self._unsent is None else self.give_up(why)
        assert self._line is not None
        is_lost = self._line.is_lost()  # before the exchange: a reply may have come with it
        try:
            outcome = self._exchange(self._line.socket)
        except zmq.ZMQError as error:
            return self.give_up(f"the policy server cannot be asked: {error.strerror}")
        if outcome is None and is_lost and self._sent:
            return self.give_up("the policy server went away before its reply")
        return outcome

    @property
    def is_unsent(self) -> bool:
        """Whether a frame waits for the server to be there at all."""
        return self._unsent is not None

    def give_up(self, why: str) -> str:
        """End the exchange under way; a reply that comes later finds nobody."""
        self.close()
        self._unsent, self._sent = None, False
        self._is_open()
        return why

    def close(self) -> None:
        """Close the sockets; what was not sent is dropped."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _is_open(self) -> bool:
        """Whether there is a socket, now or again; `_why_none` where the system gives none."""
        if self._line is None:
            try:
                self._line = _Line(self._context, self._addresses, self._cap)
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
    """A REQ socket with the monitor that tells of lost connections."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], addresses: tuple[str, ...], cap: int
    ) -> None:
        self.socket: zmq.Socket[bytes] = context.socket(zmq.REQ)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.RCVHWM, 0)  # as front.py: a lost server must not abort us
        self.socket.set(zmq.IMMEDIATE, 1)  # nothing queues for a server that is not there
        self.socket.set(zmq.MAXMSGSIZE, cap)
        self.socket.set(zmq.RECONNECT_IVL, _RECONNECT_MS)
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
        """Whether the connection was lost since this was asked last."""
        lost = False
        while self.monitor.poll(0):
            recv_monitor_message(self.monitor)
            lost = True
        return lost

    def close(self) -> None:
        """Close both; what was not sent is dropped."""
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close(linger=0)
