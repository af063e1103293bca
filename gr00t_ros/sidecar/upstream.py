"""The proxy's one connection to the server behind it: one frame there, one back, or a reason.

Owns a REQ socket that is replaced with LINGER 0 after every failure, so that no stale reply is
ever taken for an answer. Nothing here blocks: its owner polls `sockets` and calls `progress`.
"""

from __future__ import annotations

import time
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from gr00t_ros.sidecar.address import needs_ipv6, numeric
from gr00t_ros.sidecar.envelope import Bytes

_RECONNECT_MS: Final = 100
_LOOK_UP_NS: Final = 5_000_000_000


class Upstream:
    """One server at `address`, connected all the time, lost and found again by itself.

    Its name is looked up once, on construction; raises `UnreachableError` where nobody knows it.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], address: str, max_reply_bytes: int
    ) -> None:
        self._context, self._cap = context, max_reply_bytes
        # Of a name all addresses, both families: a frame goes to one where somebody listens.
        self._addresses = numeric(address, time.monotonic_ns() + _LOOK_UP_NS)
        self._unsent: Bytes | None = None
        self._sent = False
        self._open()

    @property
    def sockets(self) -> dict[zmq.Socket[bytes], int]:
        """What to poll, and for what."""
        wants = zmq.POLLOUT if self._unsent is not None else 0
        return {self._socket: wants | zmq.POLLIN if wants or self._sent else 0, self._monitor: 1}

    def send(self, frame: Bytes) -> None:
        """Begin an exchange; none may be under way."""
        self._unsent = frame

    def progress(self) -> bytes | str | None:
        """Do what can be done now; return the reply, or why there will be none, or None."""
        is_lost = self._lost_connection()  # before the exchange: a reply may have come with it
        try:
            outcome = self._exchange()
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
        self._open()
        return why

    def close(self) -> None:
        """Close the sockets; what was not sent is dropped."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def _open(self) -> None:
        self._socket = self._context.socket(zmq.REQ)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.IMMEDIATE, 1)  # nothing queues for a server that is not there
        self._socket.set(zmq.MAXMSGSIZE, self._cap)
        self._socket.set(zmq.RECONNECT_IVL, _RECONNECT_MS)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        for address in self._addresses:
            self._socket.set(zmq.IPV6, int(needs_ipv6(address)))
            self._socket.connect(address)

    def _exchange(self) -> bytes | str | None:
        try:
            if self._unsent is not None:
                self._socket.send(self._unsent, zmq.NOBLOCK, copy=False)
                self._unsent, self._sent = None, True
            if not self._sent:
                return None
            reply = self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        if self._socket.get(zmq.RCVMORE):
            return self.give_up("the policy server answered in several frames, expected one")
        self._sent = False
        return reply

    def _lost_connection(self) -> bool:
        lost = False
        while self._monitor.poll(0):
            recv_monitor_message(self._monitor)
            lost = True
        return lost
