"""A server's address in ZeroMQ's form: IPv4 and IPv6 literals, host names, every interface.

ZeroMQ looks a name up in one family only, and no deadline can interrupt it. So names are looked
up here, in both families, and ZeroMQ gets numeric addresses only.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time
from typing import Final

from gr00t_ros.errors import SettingsError, UnreachableError

EVERY_INTERFACE: Final = "*"
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1", "[::1]")
_TCP: Final = "tcp://"
_CONNECT_S: Final = 1.0  # longest wait for a host that neither accepts nor refuses
_FORBIDDEN: Final = "*/ \n;"


def server_address(host: str, port: int) -> str:
    """Return the address to connect to; IPv6 literals get brackets, names stay names.

    Raises `SettingsError` for an invalid host or port.
    """
    bare = host.removeprefix("[").removesuffix("]")
    is_host = bare and not any(c in bare for c in _FORBIDDEN)
    if not is_host or (":" in bare and not _is_literal(bare)) or not 1 <= port <= 65535:
        raise SettingsError(
            f"policy server {host!r:.80} port {port}: expected a name or an address without a port "
            "behind it, and a port from 1 to 65535"
        )
    return _address(bare, port)


def shown(host: str, port: int) -> str:
    """Return HOST:PORT for people, with an IPv6 literal in brackets."""
    return _address(host.removeprefix("[").removesuffix("]"), port).removeprefix(_TCP)


def listen_address(host: str, port: int) -> str:
    """Return the address to bind; port 0 stands for a free one, host `*` for both families.

    A name becomes its IPv4 address if it has one, as ZeroMQ would resolve it, else its IPv6
    address. Raises `SettingsError`.
    """
    bare = host.removeprefix("[").removesuffix("]")
    if bare == EVERY_INTERFACE:
        return f"{_TCP}*:{port}"
    if not bare or any(c in bare for c in _FORBIDDEN) or not 0 <= port <= 65535:
        raise SettingsError(f"address {host!r} port {port}: expected a host and 0 to 65535")
    try:
        found = _look_up(bare, port)
    except OSError as error:
        raise SettingsError(f"cannot serve on {host!r}: {error.strerror}") from error
    return min(found, key=needs_ipv6)  # stable: the resolver's order within a family


def parse_place(text: str, lowest_port: int) -> tuple[str, int]:
    """Return host and port of HOST:PORT or [IPv6]:PORT; raise `SettingsError` for anything else.

    ``tcp://`` in front is left out: servers print their address with it. ZeroMQ itself would take
    any port modulo 65536.
    """
    host, _, port = text.removeprefix(_TCP).rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) < 6
    if not host or not is_port or not lowest_port <= int(port) <= 65_535:
        expected = f"HOST:PORT with a port from {lowest_port} to 65535"
        raise SettingsError(f"{text!r:.80}: expected {expected}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise SettingsError(f"{text!r:.80}: expected an IPv6 address in brackets, [::1]:5556")
    return host, int(port)


def refuse_closed(host: str, port: int) -> None:
    """Raise `UnreachableError` at once if the host refuses connections to this port.

    ZeroMQ would try again until the deadline. Everything else, such as a name that is not known or
    a firewall, is left to the client and its deadline.
    """
    bare = host.removeprefix("[").removesuffix("]")
    try:
        socket.create_connection((bare, port), timeout=_CONNECT_S).close()
    except ConnectionRefusedError:
        where = _address(bare, port)
        raise UnreachableError(
            f"{where}: nobody listens on this port: start the server, or name its HOST:PORT"
        ) from None
    except OSError:
        return


def needs_ipv6(address: str) -> bool:
    """Return whether ZMQ_IPV6 must be set for a numeric address, or for every interface."""
    return address.startswith((f"{_TCP}[", f"{_TCP}*"))


def numeric(address: str, deadline_ns: int) -> tuple[str, ...]:
    """Return the numeric addresses of `address` in the resolver's order, by the deadline.

    A look-up cannot be interrupted, so it runs in a daemon thread that is abandoned at the
    deadline. Raises `UnreachableError` if the name is unknown or the look-up takes too long.
    """
    host, _, port = address.removeprefix(_TCP).rpartition(":")
    if is_numeric(address):
        return (address,)
    found: queue.SimpleQueue[tuple[str, ...] | OSError] = queue.SimpleQueue()
    threading.Thread(
        target=lambda: found.put(_try_look_up(host, int(port))), name="gr00t-name", daemon=True
    ).start()
    try:
        result = found.get(timeout=max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9))
    except queue.Empty:
        raise UnreachableError(f"{address}: the name {host} was not looked up in time") from None
    if isinstance(result, OSError):
        raise UnreachableError(f"{address}: {host}: {result.strerror}")
    return result


def _try_look_up(host: str, port: int) -> tuple[str, ...] | OSError:
    try:
        return _look_up(host, port)
    except UnicodeError:  # a label that is empty or too long
        return OSError(0, "no host name")
    except OSError as error:
        return error


def _look_up(host: str, port: int) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    hosts = (socket.getnameinfo(place, flags)[0] for *_, place in found)
    return tuple(dict.fromkeys(_address(text, port) for text in hosts))


def is_numeric(address: str) -> bool:
    """Whether `address` names its host by number, so that nothing has to be looked up."""
    return _is_literal(address.removeprefix(_TCP).rpartition(":")[0])


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _address(bare: str, port: int) -> str:
    return f"{_TCP}[{bare}]:{port}" if ":" in bare else f"{_TCP}{bare}:{port}"
