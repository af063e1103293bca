"""CURVE on ZeroMQ sockets: encryption in both directions, admitted clients, and the key files.

A public key may be shown. A secret key's file is readable by its owner only, and the key is never
printed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import zmq
from zmq.utils import z85

from gr00t_ros.errors import SettingsError

SERVER: Final = "server"
PUBLIC: Final = ".public"
SECRET: Final = ".secret"

MECHANISM_MISMATCH: Final = 0x11000002  # ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH (zmq.h)

_ZAP_ADDRESS: Final = "inproc://zeromq.zap.01"  # as the frames below, from ZeroMQ's RFC 27
_ZAP_VERSION: Final = b"1.0"
_DOMAIN: Final = b"gr00t_ros"
_Z85: Final = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class SecretKey:
    """A secret key that only `reveal` returns; repr, str and format show it redacted."""

    __slots__ = ("_z85",)

    def __init__(self, z85: str) -> None:
        if not _Z85.fullmatch(z85):
            raise SettingsError(f"secret key: {len(z85)} characters, expected 40 of Z85")
        self._z85 = z85

    def reveal(self) -> str:
        """Return the key itself, for the socket only."""
        return self._z85

    def __repr__(self) -> str:
        return "SecretKey(<redacted>)"


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """What a server needs: its own secret key, and its clients: public key -> name."""

    secret: SecretKey
    clients: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClientKeys:
    """What a client needs: the server's public key and its own secret key."""

    server_public: str
    secret: SecretKey


def read_server_keys(folder: str | Path) -> ServerKeys:
    """Read a server's folder; raise `SettingsError` naming the file that is missing or wrong."""
    place = Path(folder)
    clients: dict[str, str] = {}
    for path in sorted(place.glob(f"*{PUBLIC}")):
        if path.stem != SERVER:
            key = _read_key(path)
            if key in clients:
                raise SettingsError(f"{path}: the same key as {clients[key]}, expected one each")
            clients[key] = path.stem
    secret = SecretKey(_read_key(place / f"{SERVER}{SECRET}", is_secret=True))
    if not clients:
        raise SettingsError(f"{place}: no NAME{PUBLIC} of a client, so nobody could connect")
    return ServerKeys(secret, clients)


def read_client_keys(server_public: str | Path, secret: str | Path) -> ClientKeys:
    """Read a client's two files; raise `SettingsError` naming the one that is wrong."""
    return ClientKeys(
        _read_key(Path(server_public)), SecretKey(_read_key(Path(secret), is_secret=True))
    )


def write_pair(folder: Path, name: str, public: str, secret: SecretKey) -> bool:
    """Write NAME.public, and NAME.secret that its owner alone can read.

    Returns False and writes nothing if the pair exists. Raises `SettingsError`.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"key name {name!r:.80}: expected letters, digits, - and _")
    secret_path, public_path = folder / f"{name}{SECRET}", folder / f"{name}{PUBLIC}"
    if secret_path.exists() and public_path.exists():
        return False
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(secret_path, secret.reveal(), 0o600)
        _write_new(public_path, public, 0o644)
    except OSError as error:
        raise SettingsError(f"{error.filename}: {error.strerror}") from error
    return True


def _write_new(path: Path, text: str, mode: int) -> None:
    """Write a new file; it has its final mode from the start, so others can never read it."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text + "\n")


def check_private(file: IO[str], what: str) -> None:
    """Raise `SettingsError` if group or others have any access to an open file of secrets."""
    mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    if mode & 0o077:
        raise SettingsError(
            f"{what}: others than its owner may read it (mode {mode:03o}), expected 600:"
            f" chmod 600 {file.name}"
        )


def _read_key(path: Path, is_secret: bool = False) -> str:
    """Return the key in a file, 40 characters of Z85."""
    try:
        with path.open(encoding="ascii") as file:
            if is_secret:
                check_private(file, f"secret key {path}")
            text = file.read(4096).strip()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: no key of Z85 text") from None
    if not _Z85.fullmatch(text):
        raise SettingsError(f"{path}: {len(text)} characters, expected a key of 40 (Z85)")
    return text


def new_pair() -> tuple[str, SecretKey]:
    """Return a new public key and its secret key."""
    _require_curve()
    public, secret = zmq.curve_keypair()
    return public.decode("ascii"), SecretKey(secret.decode("ascii"))


def secure_client(socket: zmq.Socket[bytes], keys: ClientKeys) -> None:
    """Make an unconnected socket use CURVE as the client with these keys."""
    _require_curve()
    secret = keys.secret.reveal().encode("ascii")
    try:
        socket.set(zmq.CURVE_SERVERKEY, keys.server_public.encode("ascii"))
        socket.set(zmq.CURVE_PUBLICKEY, zmq.curve_public(secret))
        socket.set(zmq.CURVE_SECRETKEY, secret)
    except zmq.ZMQError as error:
        raise SettingsError(f"CURVE keys of a client: {error.strerror}") from None


class Admission:
    """Admits the clients of `keys` to all CURVE server sockets of one context.

    The owner polls `socket` and calls `decide` when it is readable; until then handshakes wait.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: ServerKeys) -> None:
        """Bind the context's ZAP handler; call this before the server socket is bound."""
        _require_curve()
        self._keys = keys
        self.socket: zmq.Socket[bytes] = context.socket(zmq.REP)
        self.socket.set(zmq.LINGER, 0)
        self.socket.bind(_ZAP_ADDRESS)

    def secure(self, socket: zmq.Socket[bytes]) -> None:
        """Make an unbound server socket accept admitted clients only."""
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, self._keys.secret.reveal().encode("ascii"))
        socket.set(zmq.ZAP_DOMAIN, _DOMAIN)
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def decide(self) -> None:
        """Answer one handshake; the client's name becomes the User-Id of its messages."""
        frames = self.socket.recv_multipart()
        name = self._name(frames)
        verdict = [b"400", b"no access", b""] if name is None else [b"200", b"OK", name.encode()]
        self.socket.send_multipart([_ZAP_VERSION, *frames[1:2], *verdict, b""])

    def close(self) -> None:
        """Unbind; later handshakes are refused, since the domain is enforced."""
        self.socket.close(linger=0)

    def _name(self, frames: list[bytes]) -> str | None:
        """Return the client's name, or None if it is not admitted.

        frames: version, id, domain, address, identity, mechanism, public key.
        """
        if len(frames) != 7 or frames[2] != _DOMAIN or frames[5] != b"CURVE":
            return None
        return self._keys.clients.get(z85.encode(frames[6]).decode("ascii"))


def _require_curve() -> None:
    if not zmq.has("curve"):
        raise SettingsError("this libzmq was built without CURVE: install pyzmq's own wheel")
