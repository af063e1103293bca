"""ZeroMQ's CURVE on our sockets: encryption both ways, and who may connect.

Owns what zmq needs for it, the ZAP handler included; refuses to know files (keys.py) and
messages. A client without an admitted key gets no answer to anything: the handshake fails.
"""

from __future__ import annotations

from typing import Final

import zmq
from zmq.utils import z85

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.sidecar.keys import ClientKeys, SecretKey, ServerKeys

_ZAP_ADDRESS: Final = "inproc://zeromq.zap.01"  # ZeroMQ's RFC 27, as the frames below
_ZAP_VERSION: Final = b"1.0"
_DOMAIN: Final = b"gr00t_ros"
MECHANISM_MISMATCH: Final = 0x11000002  # ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH (zmq.h)


def new_pair() -> tuple[str, SecretKey]:
    """Return a new public key and its secret key."""
    _require_curve()
    public, secret = zmq.curve_keypair()
    return public.decode("ascii"), SecretKey(secret.decode("ascii"))


def secure_client(socket: zmq.Socket[bytes], keys: ClientKeys) -> None:
    """Make a socket that is not yet connected speak CURVE as the client of `keys`."""
    _require_curve()
    secret = keys.secret.reveal().encode("ascii")
    try:
        socket.set(zmq.CURVE_SERVERKEY, keys.server_public.encode("ascii"))
        socket.set(zmq.CURVE_PUBLICKEY, zmq.curve_public(secret))
        socket.set(zmq.CURVE_SECRETKEY, secret)
    except zmq.ZMQError as error:
        raise SettingsError(f"CURVE keys of a client: {error.strerror}") from None


class Admission:
    """Admits the clients of `keys` to every CURVE server socket of one context.

    Its owner polls `socket` and calls `decide` when it is readable: until then handshakes wait.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: ServerKeys) -> None:
        """Bind the context's ZAP handler; must come before the server socket's bind."""
        _require_curve()
        self._keys = keys
        self.socket: zmq.Socket[bytes] = context.socket(zmq.REP)
        self.socket.set(zmq.LINGER, 0)
        self.socket.bind(_ZAP_ADDRESS)

    def secure(self, socket: zmq.Socket[bytes]) -> None:
        """Make a server socket that is not yet bound take admitted clients only."""
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, self._keys.secret.reveal().encode("ascii"))
        socket.set(zmq.ZAP_DOMAIN, _DOMAIN)
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def decide(self) -> None:
        """Answer one handshake: the client's name becomes the User-Id of its messages."""
        frames = self.socket.recv_multipart()
        name = self._name(frames)
        verdict = [b"400", b"no access", b""] if name is None else [b"200", b"OK", name.encode()]
        self.socket.send_multipart([_ZAP_VERSION, *frames[1:2], *verdict, b""])

    def close(self) -> None:
        """Unbind; what comes later is refused, since the domain is enforced."""
        self.socket.close(linger=0)

    def _name(self, frames: list[bytes]) -> str | None:
        """Return who it is: version, id, domain, address, identity, mechanism, public key."""
        if len(frames) != 7 or frames[2] != _DOMAIN or frames[5] != b"CURVE":
            return None
        return self._keys.clients.get(z85.encode(frames[6]).decode("ascii"))


def _require_curve() -> None:
    if not zmq.has("curve"):
        raise SettingsError("this libzmq was built without CURVE: install pyzmq's own wheel")
