"""The proxy's connection to the policy server behind it.

A socket that is closed with LINGER 0 after every failure and replaced for the next request, so that
a late reply is never taken for an answer. It is a DEALER that sends what a REQ would, as the
client's (wire/client.py): a server that answers twice would give one robot another's answer, and is
refused where its second answer comes before the next request. Each socket goes where the server's
name points then: a container that is made anew has another address under its name, and its old one
may be another server's. A look-up blocks, so it has a thread of its own; one that ends after its
request was given up serves the next request. Use everything else from one thread.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from gr00t_ros.errors import UnreachableError
from gr00t_ros.wire.address import is_numeric, needs_ipv6, numeric
from gr00t_ros.wire.curve import ClientKeys, secure_client
from gr00t_ros.wire.envelope import Bytes

UNREACHABLE: Final = "the policy server cannot be reached by the proxy"
ANSWERED_TWICE: Final = (
    "the policy server answered a request twice, expected one answer to each: which answer belongs "
    "to which robot cannot be told"
)

_RECONNECT_MS: Final = 100
_LOOK_UP_NS: Final = 5_000_000_000
_FRESH_NS: Final = 5_000_000_000  # longer than a node waits between two tries (watch/table.py)


class Upstream:
    """The connection to the server at `address`; it is made again for the next request.

    Raises `UnreachableError` if the name is unknown or no socket can be opened.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        max_reply_bytes: int,
        keys: ClientKeys | None = None,
    ) -> None:
        self._context, self._cap, self._keys = context, max_reply_bytes, keys
        self._unsent: Bytes | None = None
        self._sent = False
        self._line: _Line | None = None
        self._is_new = False  # the line was made for the present request
        try:
            self._open(numeric(address, time.monotonic_ns() + _LOOK_UP_NS))
        except zmq.ZMQError as error:
            raise UnreachableError(f"{address}: {error.strerror}") from error
        self._name = _Name(address)

    @property
    def sockets(self) -> dict[zmq.Socket[bytes] | socket.socket, int]:
        """The sockets to poll, each with the events to wait for."""
        parts: dict[zmq.Socket[bytes] | socket.socket, int] = {self._name.bell: zmq.POLLIN}
        if self._line is not None:
            wants = zmq.POLLOUT if self._unsent is not None else 0
            asks = wants | zmq.POLLIN if wants or self._sent else 0
            parts |= {self._line.socket: asks, self._line.monitor: zmq.POLLIN}
        return parts

    def send(self, frame: Bytes) -> None:
        """Begin an exchange; call it only while none is under way."""
        self._unsent, self._is_new = frame, False
        if self._line is None or not self._line.is_connected():
            self._renew()

    def progress(self) -> bytes | str | None:
        """Do what is possible now; return the reply, or a text why none will come, or None."""
        self._name.silence()
        if self.is_looking_up:
            found = self._name.take()
            why = self._try_open(found) if isinstance(found, tuple) else found
            if why:
                return self.give_up(why)
        if self._line is None:
            return None
        # Before the exchange: that may still read a reply which came before the loss.
        is_lost = self._line.is_lost()
        if is_lost and self._unsent is not None and not self._is_new:
            self._renew()
            return None
        try:
            outcome = self._exchange(self._line)
        except zmq.ZMQError as error:
            return self.give_up(f"the policy server cannot be asked: {error.strerror}")
        if outcome is None and is_lost and self._sent:
            # ZeroMQ reports all of these as one event.
            return self.give_up(
                "the policy server went away before its reply, or its reply was no message of"
                f" ZeroMQ or above the proxy's {self._cap} bytes"
            )
        if is_lost and self._unsent is None:
            self._drop()  # ZeroMQ would connect again by itself, to the address of then
        return outcome

    @property
    def is_unsent(self) -> bool:
        """Whether a frame waits for a connection to the server."""
        return self._unsent is not None

    @property
    def first_answer_ns(self) -> int:
        """When the first answer of this connection came; 0: none has come."""
        return 0 if self._line is None else self._line.first_ns

    @property
    def is_looking_up(self) -> bool:
        """Whether a frame waits for the look-up of the server's name."""
        return self._unsent is not None and self._line is None

    def give_up(self, why: str) -> str:
        """End the present exchange; its reply, if one comes, is never read."""
        self._drop()
        self._unsent, self._sent = None, False
        return why

    def close(self) -> None:
        """Close the sockets; unsent data is dropped."""
        self._drop()
        self._name.close()

    def _renew(self) -> None:
        """Begin a new connection, with the name's present addresses."""
        self._drop()
        self._name.look_up()

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _open(self, addresses: tuple[str, ...]) -> None:
        # All addresses of a name, in both families: a frame goes to one that is connected.
        self._line = _Line(self._context, addresses, self._cap, self._keys)
        self._is_new = True

    def _try_open(self, addresses: tuple[str, ...]) -> str:
        """Open a socket; return why the system refuses it, or an empty text."""
        try:
            self._open(addresses)
        except zmq.ZMQError as error:
            return f"busy: the proxy has no socket to the policy server: {error.strerror}"
        return ""

    def _exchange(self, line: _Line) -> bytes | str | None:
        try:
            if self._unsent is not None:
                if line.has_message():
                    return self.give_up(ANSWERED_TWICE)
                line.socket.send(b"", zmq.NOBLOCK | zmq.SNDMORE)  # the delimiter, as from a REQ
                line.socket.send(self._unsent, zmq.NOBLOCK, copy=False)
                self._unsent, self._sent = None, True
            if not self._sent:
                return None
            delimiter = line.socket.recv(zmq.NOBLOCK)
        except zmq.Again:  # ZeroMQ takes the delimiter of a request back
            return None
        if delimiter or not line.socket.get(zmq.RCVMORE):
            return self.give_up("the policy server answered without the empty frame of a REP")
        reply = line.socket.recv(zmq.NOBLOCK)
        if line.socket.get(zmq.RCVMORE):
            return self.give_up("the policy server answered in several frames, expected one")
        self._sent = False
        line.first_ns = line.first_ns or time.monotonic_ns()
        return reply


class _Name:
    """Looks a server's address up, on a thread of its own; `bell` is readable after that."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._is_under_way = False
        self._found: tuple[str, ...] | str | None = None
        self._found_ns = 0
        self.bell, self._ring = socket.socketpair()
        self.bell.setblocking(False)

    def look_up(self) -> None:
        """Begin a look-up, unless one is under way or has ended well a moment ago, unused."""
        if self._is_under_way:
            return
        age_ns = time.monotonic_ns() - self._found_ns
        if isinstance(self._found, tuple) and age_ns < _FRESH_NS:
            self._sound()
            return
        if is_numeric(self._address):
            self._look_up()  # at once: on a busy machine even a thread's start takes a while
            return
        self._is_under_way, self._found = True, None
        try:
            threading.Thread(target=self._look_up, name="gr00t-upstream", daemon=True).start()
        except RuntimeError as error:  # the system has no thread for it
            self._end(f"{UNREACHABLE}: {error}")

    def take(self) -> tuple[str, ...] | str | None:
        """Return the numeric addresses, or a text why there are none; None: not known yet.

        They are given once: where they lead to nobody, the next look-up may find others.
        """
        if self._is_under_way:
            return None
        found, self._found = self._found, None
        return found

    def silence(self) -> None:
        """Make the bell unreadable until the next look-up ends."""
        with contextlib.suppress(BlockingIOError):
            self.bell.recv(16)

    def close(self) -> None:
        """Release the bell; a look-up that is under way ends by itself."""
        self.bell.close()
        self._ring.close()

    def _look_up(self) -> None:
        try:
            self._end(numeric(self._address, time.monotonic_ns() + _LOOK_UP_NS))
        except Exception as error:  # whatever it is: without an end there is no further look-up
            self._end(f"{UNREACHABLE}: {error}")

    def _end(self, found: tuple[str, ...] | str) -> None:
        self._found, self._found_ns = found, time.monotonic_ns()
        self._is_under_way = False  # last: the other thread reads the rest after it
        self._sound()

    def _sound(self) -> None:
        with contextlib.suppress(OSError):  # closed
            self._ring.send(b"\0")


class _Line:
    """A DEALER socket, and the monitor that reports lost connections.

    first_ns: when its first answer came; 0: none has come.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        addresses: tuple[str, ...],
        cap: int,
        keys: ClientKeys | None,
    ) -> None:
        self.first_ns = 0
        self.socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
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

    def is_connected(self) -> bool:
        """Whether a frame could be sent now."""
        return bool(int(self.socket.get(zmq.EVENTS)) & zmq.POLLOUT)

    def has_message(self) -> bool:
        """Whether a message can be read now."""
        return bool(int(self.socket.get(zmq.EVENTS)) & zmq.POLLIN)

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
