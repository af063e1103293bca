"""The client of a GR00T policy server: one socket with a deadline on every call.

Every call ends by its deadline, send and receive together, with the reply or an error of
errors.py. After any failure the socket is closed with LINGER 0 and the next call makes a new one.
So a late reply is never taken for an answer, and the process can always exit. A server that answers
twice is refused where its second answer comes before the next request, or while `listen_once`
waits for it: one that comes later is taken for the next answer. The socket is a DEALER that sends
what a REQ would: a REQ hides a reply that nobody waits for. Request ids (REQ_CORRELATE) would tell
answers apart, but a server with a ROUTER may not expect the frame that they add. After a failure
ZeroMQ may still use a frame that was sent without a copy: its owner must not write it again
(`template.RequestBuffers.drop`). Use a client from one thread. On the client's side only this file
and curve.py import zmq.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import zmq
from numpy.typing import NDArray
from zmq.utils.monitor import recv_monitor_message

from gr00t_ros.errors import (
    ClosedError,
    DeadlineError,
    Gr00tError,
    RefusedError,
    RemoteError,
    SettingsError,
    TooLargeError,
    UnreachableError,
    WireError,
)
from gr00t_ros.wire import messages
from gr00t_ros.wire.access import Token
from gr00t_ros.wire.address import needs_ipv6, numeric, server_address
from gr00t_ros.wire.codec import encode
from gr00t_ros.wire.curve import MECHANISM_MISMATCH, ClientKeys, secure_client
from gr00t_ros.wire.handshake import KeyStyleSetting, Probe, ServerInfo, find_key_style, read_server
from gr00t_ros.wire.template import RequestTemplate

DEFAULT_TIMEOUT_MS: Final = 15_000  # as upstream's client from N1.7 on (wire.md 2)
DEFAULT_MAX_REPLY_BYTES: Final = 16 * 1024 * 1024

_RETRY_NS: Final = 50_000_000  # between attempts to connect within one call
_HASTY_NS: Final = 2 * _RETRY_NS  # an attempt with so much time left finds out nothing
_FRAMES: Final = 4  # known to ZeroMQ: of two templates, before and after a new instruction
_LISTENS_S: Final = 0.2
_LEAST_LISTEN_NS: Final = 20_000_000
_MOST_LISTEN_NS: Final = 300_000_000
_DYING_S: Final = 0.02  # a process that ends may close its listening socket last
_EVENTS: Final = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


@dataclass(slots=True)
class ClientCounts:
    """Counts since the client was made; each request ends in one of the fields after `requests`.

    connections: opened so far; a new one may lead to another server. timeouts: not answered by
    the deadline; a late reply is dropped with its connection and never read. unreachable: nothing
    listened, or the connection was lost before the reply. errors: the server's error texts,
    including a refused token or key. invalid: replies that are not a valid message.
    """

    connections: int = 0
    requests: int = 0
    replies: int = 0
    timeouts: int = 0
    unreachable: int = 0
    errors: int = 0
    invalid: int = 0

    def note(self, error: Exception | None) -> None:
        """Count how one request ended; None stands for a reply."""
        if error is None:
            self.replies += 1
        elif isinstance(error, DeadlineError):
            self.timeouts += 1
        elif isinstance(error, UnreachableError):
            self.unreachable += 1
        elif isinstance(error, RemoteError | RefusedError):
            self.errors += 1
        elif isinstance(error, WireError):
            self.invalid += 1


class PolicyServerClient:
    """A client of one policy server.

    Calls raise `UnreachableError` (nothing listens, or the connection was lost), `DeadlineError`
    (connected, but no answer in time), `RefusedError` (token, generation, key style),
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
        self.address = server_address(host, port)
        if timeout_ms <= 0:
            raise SettingsError(f"timeout_ms is {timeout_ms}, expected a positive number")
        self._timeout_ms = timeout_ms
        self.token = token
        """Sent with each request from now on, except those that are laid out as a template."""
        self._key_style = key_style
        self._max_reply_bytes = max_reply_bytes
        self._curve = curve
        self.counts = ClientCounts()
        self.reply = b""
        """The bytes of the last answer to a get_action that was a valid message."""
        self.info: Mapping[str, bool | int | float | str] = {}
        """What the last answered get_action said beside its action (`messages.read_info`)."""
        self.sent_ns = self.received_ns = 0
        """When the last request was sent and its reply was there; 0: it has not come that far."""
        self._context = zmq.Context()
        self._connection: Connection | None = None
        self._untried: list[str] = []  # numeric addresses of a name, both families
        self._server: ServerInfo | None = None

    def connect(
        self, probe: Probe | None = None, on_server: Callable[[ServerInfo], object] | None = None
    ) -> ServerInfo:
        """Find out how to talk to the server: ping, modality config, generation, key style.

        `on_server(server)` is called before anything is inferred; what it raises passes through.
        For key style ``auto`` and a server of N1.6 or later, `probe(server)` must build a zero
        observation in `server.key_style`: nested is tried first, then flat.
        """
        self._server = None
        ping_ns, pong = self._ping()
        reply = self._call(messages.GET_MODALITY_CONFIG)
        found = read_server(reply, ping_ns, self._key_style, pong.get(messages.PROXY))
        if on_server is not None:
            on_server(found)
        if self._key_style == "auto" and not found.generation.is_n15:
            found = find_key_style(found, probe, self._act)
        self._server = found
        return found

    def ping(self) -> int:
        """Return the round trip of a ping, ns."""
        return self._ping()[0]

    def get_action(
        self, template: RequestTemplate | memoryview | bytes, timeout_ms: int | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Send one observation; return key -> (H, D) float32 in physical units.

        The frame is sent without a copy: the module docstring says what holds after an error.
        """
        if self._server is None:
            raise RefusedError("get_action before connect: the server's generation is unknown")
        return self._act(template, self._server, timeout_ms)

    def listen_once(self) -> None:
        """Raise RefusedError if the last request is answered a second time; call it after one.

        It waits once for each connection: as long as its slowest answer took, 20 ms to 0.3 s. A
        later call returns at once.
        """
        if self._connection is not None:
            try:
                self._connection.listen_once(f"the last request to {self.address}")
            except BaseException:
                self._drop()
                raise

    def reset(self, options: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Reset the policy's episode; return the reply, {} if it is no map: any is a success.

        Python's own reset returns nothing. N1.5 has no reset: nothing is sent. A server whose reset
        takes no options is asked once more without them, unless there are any.
        """
        if self._server is not None and self._server.generation.is_n15:
            return {}
        try:
            reply = self._call(messages.RESET, {"options": options})
        except RemoteError as error:
            if options is not None or not messages.refuses_options(error):
                raise
            reply = self._call(messages.RESET, {})
        return reply if isinstance(reply, dict) else {}

    def begin_episode(self) -> None:
        """Reset the policy, unless the server has no reset.

        Every other error is raised: the policy may still remember the episode before.
        """
        try:
            self.reset()
        except RemoteError as error:
            if not messages.has_no_reset(error):
                raise

    def close(self) -> None:
        """Close socket and context at once; unsent data is dropped."""
        self._drop()
        self._context.destroy(linger=0)

    def _ping(self) -> tuple[int, dict[str, Any]]:
        """Return the round trip of a ping, ns, and the reply."""
        start_ns = time.monotonic_ns()
        pong = messages.expect_map(self._call(messages.PING), messages.PING)
        return time.monotonic_ns() - start_ns, pong

    def _act(
        self,
        template: RequestTemplate | memoryview | bytes,
        server: ServerInfo,
        timeout_ms: int | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        frame = template.frame if isinstance(template, RequestTemplate) else template
        self.info = {}
        reply = self._exchange(frame, messages.GET_ACTION, timeout_ms)
        action = messages.parse_action(reply, server.generation, server.key_style)
        self.info = messages.read_info(reply, server.generation)
        return action

    def _call(self, endpoint: str, data: Mapping[str, object] | None = None) -> Any:
        token = None if self.token is None else self.token.reveal()
        return self._exchange(encode(messages.request(endpoint, data, token), "npy"), endpoint)

    def _exchange(
        self, frame: memoryview | bytes, endpoint: str, timeout_ms: int | None = None
    ) -> Any:
        timeout_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        where = f"{endpoint} to {self.address} ({timeout_ms} ms)"
        deadline_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        self.sent_ns = self.received_ns = 0
        self.counts.requests += 1
        try:
            data = self._ask(frame, where, deadline_ns)
            reply = messages.read_reply(data, endpoint, self._max_reply_bytes, self.token)
        except Gr00tError as error:
            self.counts.note(error)
            raise
        self.counts.note(None)
        if endpoint == messages.GET_ACTION:
            self.reply = data
        return reply

    def _ask(self, frame: memoryview | bytes, where: str, deadline_ns: int) -> bytes:
        """Return the reply's bytes; retry to connect until the deadline."""
        found = ""
        while True:
            left_ns = deadline_ns - time.monotonic_ns()
            try:
                connection = self._connected(deadline_ns)
                reply = connection.exchange(frame, where, deadline_ns)
                self.sent_ns, self.received_ns = connection.sent_ns, time.monotonic_ns()
                return reply
            except NoTimeError as error:
                # This attempt had too little time: what one before it found out is the reason.
                self._drop()
                raise UnreachableError(found or str(error)) from None
            except NotConnectedError as error:
                found = str(error)
                self._drop()
                if deadline_ns - time.monotonic_ns() <= _RETRY_NS:
                    raise UnreachableError(found) from None
                if not self._untried:
                    time.sleep(_RETRY_NS / 1e9)
            except DeadlineError:
                self._drop()
                if found and left_ns <= _HASTY_NS:  # too little time for this attempt, too
                    raise UnreachableError(found) from None
                raise
            except BaseException:
                self._drop()
                raise

    def _connected(self, deadline_ns: int) -> Connection:
        """Return the connection; without one, begin one to the next address of the name."""
        if self._connection is None:
            self._untried = self._untried or list(numeric(self.address, deadline_ns))
            address = self._untried.pop(0)
            self.counts.connections += 1
            cap, curve = self._max_reply_bytes, self._curve
            self._connection = Connection(self._context, address, cap, curve)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class NoTimeError(UnreachableError):
    """The deadline came before the connection was accepted or refused."""


class NotConnectedError(UnreachableError):
    """The connection was refused or lost before anything was sent."""


class Connection:
    """One socket, and the monitor that reports the state of its one connection.

    ZeroMQ's own reconnecting is off: a lost connection is replaced by a new object. So the
    monitor's queue, which would block ZeroMQ's thread when full, holds a few events at most.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        cap: int,
        curve: ClientKeys | None,
    ) -> None:
        self._address, self._cap, self._curve = address, cap, curve
        self.sent_ns = 0
        """When the last frame was given to ZeroMQ, ns."""
        self._accepted = False
        self._understood = False  # ZeroMQ's handshake has succeeded
        self._slowest_ns = 0  # from a frame to its answer
        self._has_listened = False
        self._descriptor: int | None = None  # of ZeroMQ's TCP socket
        self._ending: _Ending | None = None
        self._frames: deque[tuple[memoryview, zmq.Frame]] = deque(maxlen=_FRAMES)
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)  # as front.py: a lost peer must not abort libzmq
        self._socket.setsockopt(zmq.MAXMSGSIZE, cap)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # queue nothing while there is no connection
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
        self._refuse_unasked(where)
        self._ending = self._watch_ending()
        try:
            message = self._known(frame) if isinstance(frame, memoryview) else frame
            self._note_past_events(where)
            # Send only once the connection's descriptor is known: who ends it could not be told
            # otherwise. The peer may go between the poll and the send.
            while not (self._accepted and self._sent(message)):
                self._await(self._writable, deadline_ns, where)
                self._note_past_events(where)
            self.sent_ns = time.monotonic_ns()
            self._await(self._readable, deadline_ns, where)
            self._slowest_ns = max(self._slowest_ns, time.monotonic_ns() - self.sent_ns)
            return self._received(where)
        finally:
            if self._ending is not None:
                self._ending.forget()

    def listen_once(self, where: str) -> None:
        """Wait once for an answer that is too much; raise RefusedError for it.

        As long as the slowest answer took: a copy that was taken for the last one made that fast.
        """
        if self._has_listened:
            return
        self._has_listened = True
        listen_ns = min(max(self._slowest_ns, _LEAST_LISTEN_NS), _MOST_LISTEN_NS)
        self._socket.poll(listen_ns // 1_000_000)
        self._refuse_unasked(where, "it")

    def close(self) -> None:
        """Close the socket at once; unsent data is dropped."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def _note_past_events(self, where: str) -> None:
        """Take all waiting monitor events, so that a lost connection is known before the send."""
        while int(self._monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._note(False, where)

    def _refuse_unasked(self, where: str, which: str = "the request before this one") -> None:
        """Raise RefusedError if a reply is there that nobody asked for since the last one."""
        if self.sent_ns and int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            raise RefusedError(
                f"{where}: the server has answered {which} a second time, "
                "expected one answer to each: which answer belongs to which observation cannot be "
                "told; use a server that answers once (docs/sidecar.md)"
            )

    def _sent(self, message: zmq.Frame | bytes) -> bool:
        try:
            self._socket.send(b"", zmq.NOBLOCK | zmq.SNDMORE)  # the delimiter, as from a REQ
            self._socket.send(message, zmq.NOBLOCK)
        except zmq.Again:  # ZeroMQ takes the delimiter back
            return False
        return True

    def _received(self, where: str) -> bytes:
        """Return the one frame of the reply that is there."""
        delimiter = self._socket.recv(zmq.NOBLOCK, copy=False)
        if len(delimiter) or not delimiter.more:
            raise WireError(
                f"{where}: reply without the empty frame that a REP puts in front: the peer is no "
                "policy server"
            )
        reply = self._socket.recv(zmq.NOBLOCK, copy=False)
        if reply.more:
            raise WireError(f"{where}: reply of several frames, expected one")
        return reply.bytes

    def _known(self, data: memoryview) -> zmq.Frame:
        """Return ZeroMQ's handle for a template's memory; kept, since making one costs 16 us."""
        for known, frame in self._frames:
            if known is data:
                return frame
        frame = zmq.Frame(data, copy=False)
        self._frames.append((data, frame))
        return frame

    def _await(self, poller: zmq.Poller, deadline_ns: int, where: str) -> None:
        """Return when the socket is ready for what `poller` waits for; raise by the deadline."""
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
        """Take one monitor event; raise if it means that no reply can come."""
        message = recv_monitor_message(self._monitor)
        event = message["event"]
        if event == zmq.EVENT_CONNECTED:
            self._accepted = True
            self._descriptor = int(message["value"])
            self._ending = self._watch_ending()
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._understood = True
        elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            raise RefusedError(f"{where}: the server does not admit this client's CURVE key")
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            raise self._no_handshake(where, int(message["value"]))
        elif not sent and self._accepted and self._curve is not None:
            raise NotConnectedError(
                f"{where}: it broke off the handshake; is this its CURVE public key?"
            )
        elif not sent and self._accepted and not self._understood:
            # A peer that speaks first, such as a web server, can end it before anything was sent.
            if self._ending is not None and self._ending.by_server() is False:
                raise WireError(f"{where}: the peer does not speak ZeroMQ")
            # On a busy machine one that takes CURVE only closes before its greeting was read.
            raise NotConnectedError(
                f"{where}: it takes connections, and ends them without ZeroMQ; if it takes CURVE "
                "only, give this client keys"
            )
        elif not sent:
            raise NotConnectedError(f"{where}: nobody listens there")
        elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:  # the server closed during it
            raise self._broken(where, by_server=True)
        elif not self._understood:
            raise WireError(f"{where}: the peer does not speak ZeroMQ")
        else:
            by_server = None if self._ending is None else self._ending.by_server()
            raise self._broken(where, by_server)

    def _watch_ending(self) -> _Ending | None:
        """Keep the TCP connection open during an exchange, to learn who closed it."""
        if self._descriptor is None:
            return None
        return _Ending(self._descriptor, _host_and_port(self._address)[1])

    def _broken(self, where: str, by_server: bool | None) -> WireError | UnreachableError:
        """Return why the connection ended before the reply; None: unknown who closed it."""
        too_large = f"sent more than {self._cap} bytes, or what is no message of ZeroMQ"
        if by_server is False:
            return TooLargeError(f"{where}: the server {too_large}")
        if not _listens(self._address):
            return UnreachableError(f"{where}: the server went away before its reply")
        text = f"{where}: the server closed the connection before its reply"
        if by_server is None:
            text += f", or {too_large}"
        return ClosedError(f"{text}; see its log: is it out of memory, or are its clients too many")

    def _no_handshake(self, where: str, reason: int) -> RefusedError | WireError:
        if reason != MECHANISM_MISMATCH:
            return WireError(f"{where}: the peer does not speak ZeroMQ")
        if self._curve is None:
            return RefusedError(f"{where}: the server takes CURVE only; give this client keys")
        return RefusedError(f"{where}: the server does not speak CURVE; is it the proxy's port?")

    def _too_late(self, where: str) -> DeadlineError | UnreachableError:
        if self._accepted and not self._understood and self._curve is not None:
            return NotConnectedError(
                f"{where}: connected, but no handshake before the deadline; does the server "
                "answer others, and is this its CURVE public key?"
            )
        if self._accepted:
            return DeadlineError(f"{where}: connected, but no reply before the deadline")
        return NoTimeError(f"{where}: nobody listens there")


class _Ending:
    """Finds out which side ended a connection, with a second descriptor of ZeroMQ's TCP socket.

    If ZeroMQ closes its descriptor, because it refuses the received bytes, the kernel keeps the
    connection open for the second one. If the server closed or reset the connection, the second
    descriptor shows that.
    """

    def __init__(self, descriptor: int, port: int) -> None:
        """Duplicate `descriptor`, unless its peer has another port than `port`.

        ZeroMQ may have closed it already, and its number may now belong to another socket.
        """
        self._own: socket.socket | None = None
        with contextlib.suppress(OSError):
            own = socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM)
            if _port_of_peer(own) == port:
                self._own = own
            else:
                own.close()

    def by_server(self) -> bool | None:
        """Whether the server ended the connection; None if unknown."""
        if self._own is None:
            return None
        poll = select.poll()
        poll.register(self._own, select.POLLRDHUP)
        return bool(poll.poll(0))

    def forget(self) -> None:
        """Close the second descriptor, so that the kernel can end the connection."""
        if self._own is not None:
            self._own.close()
        self._own = None


def _port_of_peer(own: socket.socket) -> int | None:
    try:
        peer = own.getpeername()
    except OSError:  # not a socket, or not connected
        return None
    return peer[1] if isinstance(peer, tuple) else None


def _listens(address: str) -> bool:
    """Whether anything accepts connections at `address` (used after a lost connection only)."""
    time.sleep(_DYING_S)
    try:
        socket.create_connection(_host_and_port(address), _LISTENS_S).close()
    except OSError:
        return False
    return True


def _host_and_port(address: str) -> tuple[str, int]:
    """Return host and port of a numeric ZeroMQ address."""
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    return host.strip("[]"), int(port)
