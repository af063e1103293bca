"""One REQ socket to a GR00T policy server, with a deadline on every call.

Only this file and curve.py import zmq on the client's side. It refuses to know what an
observation means and when to ask. One owner thread: nothing here is safe to call from two.

Every call ends by its deadline, send and receive together: in the reply or in an error of
core/errors.py. After any failure of the exchange the socket is closed with LINGER 0 and
replaced by the next call, so that no stale reply is ever taken for an answer and the process
can always exit. A frame that was sent without a copy may be held by ZeroMQ after a failure: its
owner must not write it again (`template.RequestBuffers.drop`).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import zmq
from numpy.typing import NDArray
from zmq.utils.monitor import recv_monitor_message

from gr00t_ros.core.errors import (
    DeadlineError,
    RefusedError,
    RemoteError,
    SettingsError,
    TooLargeError,
    UnreachableError,
    WireError,
)
from gr00t_ros.sidecar import messages
from gr00t_ros.sidecar.codec import encode
from gr00t_ros.sidecar.curve import MECHANISM_MISMATCH, secure_client
from gr00t_ros.sidecar.handshake import (
    KeyStyleSetting,
    Probe,
    Server,
    find_key_style,
    read_server,
)
from gr00t_ros.sidecar.keys import ClientKeys
from gr00t_ros.sidecar.template import RequestTemplate
from gr00t_ros.sidecar.token import Token

__all__ = ["PolicyClient", "Probe", "Server"]

DEFAULT_TIMEOUT_MS: Final = 15_000  # as upstream's client from N1.7 on (wire.md 2)
DEFAULT_MAX_REPLY_BYTES: Final = 16 * 1024 * 1024
_RETRY_NS: Final = 50_000_000  # between attempts to connect within one call
_LISTENS_S: Final = 0.2
_DYING_S: Final = 0.02  # a process that ends may close its listening socket after the others
_EVENTS: Final = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class PolicyClient:
    """A client of one policy server.

    Calls raise `UnreachableError` (nobody listens, or the connection was lost), `DeadlineError`
    (it listens but did not answer in time), `RefusedError` (token, generation, key style),
    `RemoteError` (the server's own error text), `TooLargeError` and `WireError`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        token: Token | None = None,
        key_style: KeyStyleSetting = "auto",
        max_reply_bytes: int = DEFAULT_MAX_REPLY_BYTES,
        curve: ClientKeys | None = None,
    ) -> None:
        self.address = _address(host, port)
        if timeout_ms <= 0:
            raise SettingsError(f"timeout_ms is {timeout_ms}, expected a positive number")
        self._timeout_ms = timeout_ms
        self._token = token
        self._key_style = key_style
        self._max_reply_bytes = max_reply_bytes
        self._curve = curve
        self.connections = 0  # made so far: behind a new one there may be another server
        self._context = zmq.Context()
        self._link: _Link | None = None
        self._server: Server | None = None

    def connect(self, probe: Probe | None = None) -> Server:
        """Find out how to talk to the server: ping, modality config, generation, key style.

        With key style ``auto`` and a server of N1.6 or later, `probe(server)` must build a zero
        observation in `server.key_style`: nested is tried first, then flat. What `probe` itself
        raises passes through, so it may compare `server.modality` first.
        """
        self._server = None
        ping_ns = self.ping()
        reply = self._call(messages.GET_MODALITY_CONFIG)
        found = read_server(reply, ping_ns, self._key_style)
        if self._key_style == "auto" and not found.generation.is_n15:
            found = find_key_style(found, probe, self._act)
        self._server = found
        return found

    def ping(self) -> int:
        """Return the round trip of a ping, ns."""
        start_ns = time.monotonic_ns()
        messages.expect_map(self._call(messages.PING), messages.PING)
        return time.monotonic_ns() - start_ns

    def get_action(
        self, template: RequestTemplate | memoryview | bytes, timeout_ms: int | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Send one observation; return key -> (H, D) float32 in physical units.

        The frame is sent without a copy: see the module's text for what holds after an error.
        """
        if self._server is None:
            raise RefusedError("get_action before connect: the server's generation is unknown")
        return self._act(template, self._server, timeout_ms)

    def reset(self, options: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Reset the policy's episode and return its reply; N1.5 cannot, and gets no request."""
        if self._server is not None and self._server.generation.is_n15:
            return {}
        reply = self._call(messages.RESET, {"options": options})
        return messages.expect_map(reply, messages.RESET)

    def close(self) -> None:
        """Close socket and context at once; what was not yet sent is dropped."""
        self._drop_link()
        self._context.destroy(linger=0)

    def _act(
        self,
        template: RequestTemplate | memoryview | bytes,
        server: Server,
        timeout_ms: int | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        frame = template.frame if isinstance(template, RequestTemplate) else template
        reply = self._exchange(frame, messages.GET_ACTION, timeout_ms)
        return messages.parse_action(reply, server.generation, server.key_style)

    def _call(self, endpoint: str, data: Mapping[str, object] | None = None) -> Any:
        token = None if self._token is None else self._token.reveal()
        return self._exchange(encode(messages.request(endpoint, data, token), "npy"), endpoint)

    def _exchange(
        self, frame: memoryview | bytes, endpoint: str, timeout_ms: int | None = None
    ) -> Any:
        timeout_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        where = f"{endpoint} to {self.address} ({timeout_ms} ms)"
        deadline_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        while True:
            try:
                data = self._open_link().exchange(frame, where, deadline_ns)
                break
            except _NotConnectedError as error:
                self._drop_link()
                if deadline_ns - time.monotonic_ns() <= _RETRY_NS:
                    raise UnreachableError(str(error)) from None
                time.sleep(_RETRY_NS / 1e9)
            except BaseException:
                self._drop_link()
                raise
        try:
            return messages.read_reply(data, endpoint, self._max_reply_bytes)
        except (RemoteError, RefusedError) as error:
            if self._token is None:
                raise
            raise type(error)(self._token.redact(str(error))) from None

    def _open_link(self) -> _Link:
        if self._link is None:
            self._link = _Link(self._context, self.address, self._max_reply_bytes, self._curve)
            self.connections += 1
        return self._link

    def _drop_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


class _NotConnectedError(UnreachableError):
    """Nothing was sent: the connection was refused or lost before that."""


class _Link:
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
        self._socket = context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, cap)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing queues for a server that is not there
        self._socket.setsockopt(zmq.RECONNECT_IVL, -1)
        self._socket.setsockopt(zmq.IPV6, int(address.startswith("tcp://[")))
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
        try:
            self._socket.send(frame, zmq.NOBLOCK, copy=False)
        except zmq.Again:
            self._await(self._writable, deadline_ns, where)
            self._socket.send(frame, zmq.NOBLOCK, copy=False)
        self._await(self._readable, deadline_ns, where)
        data = self._socket.recv(zmq.NOBLOCK)
        if self._socket.getsockopt(zmq.RCVMORE):
            raise WireError(f"{where}: reply of several frames, expected one")
        return data

    def close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def _await(self, poller: zmq.Poller, deadline_ns: int, where: str) -> None:
        """Return when the socket is ready for what `poller` asks; raise by the deadline."""
        while True:
            left_ns = deadline_ns - time.monotonic_ns()
            ready = dict(poller.poll(max(0, left_ns // 1_000_000)))
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
            raise _NotConnectedError(
                f"{where}: it broke off the handshake; is this its CURVE public key?"
            )
        elif not sent:
            raise _NotConnectedError(f"{where}: nobody listens there")
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


def _address(host: str, port: int) -> str:
    """Return the ZeroMQ address; IPv6 literals get their brackets."""
    if not host or any(c in host for c in "*/ \n;") or not 1 <= port <= 65535:
        raise SettingsError(f"policy server {host!r} port {port}: expected a host and 1 to 65535")
    bare = host.removeprefix("[").removesuffix("]")
    return f"tcp://[{bare}]:{port}" if ":" in bare else f"tcp://{bare}:{port}"
