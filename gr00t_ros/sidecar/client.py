"""One REQ socket to a GR00T policy server, with a deadline on every call.

On the client's side only this file, connection.py and curve.py import zmq. It refuses to know
what an observation means and when to ask. One owner thread: nothing here is safe to call from two.

Every call ends by its deadline, send and receive together: in the reply or in an error of
core/errors.py. After any failure of the exchange the socket is closed with LINGER 0 and
replaced by the next call, so that no stale reply is ever taken for an answer and the process
can always exit. A frame that was sent without a copy may be held by ZeroMQ after a failure: its
owner must not write it again (`template.RequestBuffers.drop`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import zmq
from numpy.typing import NDArray

from gr00t_ros.core.errors import (
    Gr00tError,
    RefusedError,
    SettingsError,
    UnreachableError,
)
from gr00t_ros.sidecar import messages
from gr00t_ros.sidecar.address import numeric, server_address
from gr00t_ros.sidecar.client_counts import ClientCounts
from gr00t_ros.sidecar.codec import encode
from gr00t_ros.sidecar.connection import Connection, NotConnectedError
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
        self.address = server_address(host, port)
        if timeout_ms <= 0:
            raise SettingsError(f"timeout_ms is {timeout_ms}, expected a positive number")
        self._timeout_ms = timeout_ms
        self._token = token
        self._key_style = key_style
        self._max_reply_bytes = max_reply_bytes
        self._curve = curve
        self.counts = ClientCounts()
        self._context = zmq.Context()
        self._connection: Connection | None = None
        self._untried: list[str] = []  # numeric addresses of a name, both families
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
        self._drop()
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
        self.counts.requests += 1
        try:
            data = self._ask(frame, where, deadline_ns)
            reply = messages.read_reply(data, endpoint, self._max_reply_bytes, self._token)
        except Gr00tError as error:
            self.counts.note(error)
            raise
        self.counts.note(None)
        return reply

    def _ask(self, frame: memoryview | bytes, where: str, deadline_ns: int) -> bytes:
        while True:
            try:
                return self._open(deadline_ns).exchange(frame, where, deadline_ns)
            except NotConnectedError as error:
                self._drop()
                if deadline_ns - time.monotonic_ns() <= _RETRY_NS:
                    raise UnreachableError(str(error)) from None
                if not self._untried:
                    time.sleep(_RETRY_NS / 1e9)
            except BaseException:
                self._drop()
                raise

    def _open(self, deadline_ns: int) -> Connection:
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
