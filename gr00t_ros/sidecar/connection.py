"""One connection of the client: a REQ socket, and the monitor that tells how it fares.

It ends with its first failure: the client replaces it, with LINGER 0, so that no stale reply is
ever taken for an answer and the process can always exit. One owner thread.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from gr00t_ros.core.errors import (
    DeadlineError,
    RefusedError,
    TooLargeError,
    UnreachableError,
    WireError,
)
from gr00t_ros.sidecar.address import needs_ipv6
from gr00t_ros.sidecar.curve import MECHANISM_MISMATCH, secure_client
from gr00t_ros.sidecar.keys import ClientKeys

_FRAMES: Final = 4  # known to ZeroMQ: of two templates, before and after another instruction
_LISTENS_S: Final = 0.2
_DYING_S: Final = 0.02  # a process that ends may close its listening socket after the others
_EVENTS: Final = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class NotConnectedError(UnreachableError):
    """Nothing was sent: the connection was refused or lost before that."""


class Connection:
    """One REQ socket and the monitor that tells how its one connection fares.

    ZeroMQ's own reconnecting is off: a link that lost its connection is replaced. So the
    monitor's queue, which would block ZeroMQ's thread when full, never holds but a few events.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        cap: int,
        curve: ClientKeys | None,
    ) -> None:
        self._address, self._cap, self._curve = address, cap, curve
        self._accepted = False
        self._frames: deque[tuple[memoryview, zmq.Frame]] = deque(maxlen=_FRAMES)
        self._socket = context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)  # as front.py: a lost server must not abort us
        self._socket.setsockopt(zmq.MAXMSGSIZE, cap)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing queues for a server that is not there
        self._socket.setsockopt(zmq.RECONNECT_IVL, -1)
        self._socket.setsockopt(zmq.IPV6, int(needs_ipv6(address)))
        self._monitor = self._socket.get_monitor_socket(_EVENTS)
        self._readable, self._writable = zmq.Poller(), zmq.Poller()
        self._readable.register(self._socket, zmq.POLLIN)
        self._writable.register(self._socket, zmq.POLLOUT)
        for poller in (self._readable, self._writable):
            poller.register(self._monitor, zmq.POLLIN)
        if curve is not None:
            secure_client(self._socket, curve)
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise UnreachableError(f"{address}: {error.strerror}") from error

    def exchange(self, frame: memoryview | bytes, where: str, deadline_ns: int) -> bytes:
        """Send one frame, return the one frame of the reply."""
        message = self._known(frame) if isinstance(frame, memoryview) else frame
        while not self._sent(message):  # a peer may be gone between the poll and the send
            self._await(self._writable, deadline_ns, where)
        self._await(self._readable, deadline_ns, where)
        reply = self._socket.recv(zmq.NOBLOCK, copy=False)
        if reply.more:
            raise WireError(f"{where}: reply of several frames, expected one")
        return reply.bytes

    def _sent(self, message: zmq.Frame | bytes) -> bool:
        try:
            self._socket.send(message, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Close the socket at once; what was not yet sent is dropped."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def _known(self, data: memoryview) -> zmq.Frame:
        """Return ZeroMQ's handle of a template's memory: made once, since each costs 16 us."""
        for known, frame in self._frames:
            if known is data:
                return frame
        frame = zmq.Frame(data, copy=False)
        self._frames.append((data, frame))
        return frame

    def _await(self, poller: zmq.Poller, deadline_ns: int, where: str) -> None:
        """Return when the socket is ready for what `poller` asks; raise by the deadline."""
        while True:
            left_ns = deadline_ns - time.monotonic_ns()
            ready = [part for part, _ in poller.poll(max(0, left_ns // 1_000_000))]
            if self._socket in ready:
                return
            if self._monitor in ready:
                self._note(poller is self._readable, where)
            elif left_ns < 1_000_000:
                raise self._too_late(where)

    def _note(self, sent: bool, where: str) -> None:
        """Take one monitor event; raise where it means that no reply can come."""
        message = recv_monitor_message(self._monitor)
        event = message["event"]
        if event == zmq.EVENT_CONNECTED:
            self._accepted = True
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            raise RefusedError(f"{where}: the server does not admit this client's CURVE key")
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            raise self._no_handshake(where, int(message["value"]))
        elif not sent and self._accepted and self._curve is not None:
            raise NotConnectedError(
                f"{where}: it broke off the handshake; is this its CURVE public key?"
            )
        elif not sent:
            raise NotConnectedError(f"{where}: nobody listens there")
        elif _listens(self._address):
            raise TooLargeError(
                f"{where}: the connection broke on the reply, and the server still listens:"
                f" it sent more than {self._cap} bytes, or closed the connection itself"
            )
        else:
            raise UnreachableError(f"{where}: the server went away before its reply")

    def _no_handshake(self, where: str, reason: int) -> RefusedError | WireError:
        if reason != MECHANISM_MISMATCH:
            return WireError(f"{where}: the peer does not speak ZeroMQ")
        if self._curve is None:
            return RefusedError(f"{where}: the server takes CURVE only; give this client keys")
        return RefusedError(f"{where}: the server does not speak CURVE; is it the proxy's port?")

    def _too_late(self, where: str) -> DeadlineError | UnreachableError:
        if self._accepted:
            return DeadlineError(f"{where}: connected, but no reply before the deadline")
        return UnreachableError(f"{where}: nobody listens there")


def _listens(address: str) -> bool:
    """Whether somebody accepts connections at `address` (asked only after a lost one)."""
    time.sleep(_DYING_S)
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    try:
        socket.create_connection((host.strip("[]"), int(port)), _LISTENS_S).close()
    except OSError:
        return False
    return True
