"""Who may open the page and command through it: tokens, hosts, origins, and how often."""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gr00t_ros.errors import SettingsError
from gr00t_ros.wire.access import Token

WATCH: Final = "watch"
COMMAND: Final = "command"
"""The roles: what the token of a browser lets it do."""

LEAST_TOKEN: Final = 16
_TOKEN_BYTES: Final = 32
_BURST: Final = 10
_PER_S: Final = 2.0
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The token of each role; without one for commands, nobody commands."""

    watch: Token
    command: Token | None

    def role(self, given: str | None) -> str:
        """The role of a token, empty if it is none; both comparisons take constant time."""
        if given is not None and not given.isascii():  # bytes that are no text cannot be compared
            return ""
        watches = self.watch.matches(given)
        commands = self.command is not None and self.command.matches(given)
        return COMMAND if commands else WATCH if watches else ""


def new_token() -> Token:
    """A token that nobody can guess."""
    return Token(secrets.token_urlsafe(_TOKEN_BYTES))


def checked(tokens: Tokens) -> Tokens:
    """`tokens`, if they are long enough and differ; raises SettingsError."""
    for role, token in ((WATCH, tokens.watch), (COMMAND, tokens.command)):
        if token is None:
            continue
        if not token.reveal().isascii():
            raise SettingsError(f"token for role {role}: expected ASCII letters and digits")
        if len(token.reveal()) < LEAST_TOKEN:
            raise SettingsError(
                f"token for role {role}: got {len(token.reveal())} characters, expected at least "
                f"{LEAST_TOKEN}: openssl rand -hex 32 makes one"
            )
    if tokens.command is not None and tokens.command.matches(tokens.watch.reveal()):
        raise SettingsError(
            "tokens: got the same for watching and commanding, expected two: whoever may watch "
            "could command"
        )
    return tokens


class Hosts:
    """The names under which a browser may address the page, against DNS rebinding.

    A web page of somebody else can let its own name resolve to this machine, and would then count
    as the same origin. Its requests still carry its name as Host, which is not one of these. An IP
    address as Host resolves nothing, so beyond loopback every one is let in.
    """

    def __init__(self, loopback: bool, more: Collection[str] = ()) -> None:
        """loopback: the server listens there only. more: further names, such as robot.local."""
        self._any_address = not loopback
        own = () if loopback else (socket.gethostname(), socket.getfqdn())
        self._names = {"localhost", *(name.lower() for name in (*own, *more))}

    def allow(self, host: str | None) -> bool:
        """Whether the header Host is one of ours."""
        match = _HOST.fullmatch(host or "")
        if match is None:
            return False
        name = match[1].strip("[]").lower()
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return self._any_address or address.is_loopback


def same_origin(origin: str | None, scheme: str, host: str | None) -> bool:
    """Whether the header Origin is that of the page itself; a missing one is not."""
    if not origin or not host:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return (parts.scheme, parts.netloc.lower()) == (scheme, host.lower())


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Allowance:
    """How many commands one browser may send: a burst, then so many a second."""

    def __init__(self, now_s: float, burst: int = _BURST, per_s: float = _PER_S) -> None:
        """Begin with the whole burst."""
        self._left, self._at_s = float(burst), now_s
        self._burst, self._per_s = burst, per_s

    def take(self, now_s: float) -> bool:
        """Whether one more is allowed now."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
