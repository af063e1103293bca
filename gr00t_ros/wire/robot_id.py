"""The id that names a robot, and the episode that a server keeps for that robot.

Servers ignore options that they do not know (wire.md 10), so only an answer proves that a server
keeps this robot's episode apart: its reply to a reset repeats the id. NamedEpisode is used from the
thread of the link's client.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NoReturn

from gr00t_ros.errors import RefusedError, ResetError, SettingsError
from gr00t_ros.wire.messages import SKIPPED

if TYPE_CHECKING:
    from gr00t_ros.wire.client import PolicyServerClient
    from gr00t_ros.wire.handshake import ServerInfo

ROBOT_ID: Final = "robot_id"
"""Key in the options of get_action and reset, and in the reply to a reset."""

MAX_CHARACTERS: Final = 64


class Standing(Enum):
    """What a reply to a reset with an id says; the value is for people.

    KEPT: the server keeps an episode for this id. SHARED: a pool or a batching proxy answered; it
    resets nothing: who put it there says that nothing behind it has a memory. IGNORED: the reset
    was one of all robots.
    """

    KEPT = "the server keeps an episode for it"
    SHARED = (
        "not needed: a pool or batching proxy, which resets nothing, is for policies without memory"
    )
    IGNORED = "the server does not know it"


def checked_id(value: object) -> str:
    """Return `value` if it may name a robot; SettingsError, whose text is a server's reply."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_CHARACTERS:
        got = f"{len(value)} characters" if isinstance(value, str) else type(value).__name__
    elif not value.isascii() or not value.isprintable():
        got = f"{value!a:.80}"
    else:
        return value
    raise SettingsError(
        f"{ROBOT_ID}: got {got}, expected a text of 1 to {MAX_CHARACTERS} printable ASCII "
        "characters; correct it, or leave it out"
    )


def read_id(options: Mapping[str, Any] | None) -> str:
    """Return the id in the options of a request, "" without one; raises as `checked_id`."""
    if not isinstance(options, Mapping) or ROBOT_ID not in options:
        return ""
    return checked_id(options[ROBOT_ID])


def named(options: Mapping[str, Any] | None, robot_id: str) -> Mapping[str, Any] | None:
    """`options` with the id; as they are for an id that is empty."""
    return {**(options or {}), ROBOT_ID: robot_id} if robot_id else options


def standing(reply: Mapping[str, Any], robot_id: str) -> Standing:
    """What the reply to a reset with this id proves."""
    if reply.get(ROBOT_ID) == robot_id:
        return Standing.KEPT
    return Standing.SHARED if SKIPPED in reply else Standing.IGNORED


class NamedEpisode:
    """Asks the server of `client` for an episode of `robot_id`, which is not empty."""

    def __init__(self, client: PolicyServerClient, robot_id: str) -> None:
        """Nothing is sent before `find`."""
        self._client, self._robot_id = client, robot_id
        self._standing: Standing | None = None
        self._ignored = False

    @property
    def text(self) -> str:
        """The id and what the server does with it, in one line."""
        return f"{self._robot_id}: {self._standing.value if self._standing else 'not checked'}"

    @property
    def requested_id(self) -> str:
        """The id for get_action; "" where no episode is kept: equal requests can be one batch."""
        return self._robot_id if self._standing is Standing.KEPT else ""

    def find(self, server: ServerInfo) -> None:
        """Find out what the server of a new check does with the id; RefusedError if nothing.

        A server that does not know it resets the episode of all robots instead, and a check is
        repeated each second. So it is asked once. Raises as `reset`.
        """
        self._standing = None
        if not self._ignored and not server.generation.is_n15:  # N1.5 has no options
            self._standing = self._ask()
        if self._standing in (None, Standing.IGNORED):
            self._refuse()

    def reset(self) -> None:
        """Reset the episode; RefusedError if another server answers, as one behind a proxy may.

        Raises ResetError if it was not reset, and what else the client raises.
        """
        found = self._ask()
        if found is Standing.IGNORED:
            self._refuse()
        if found is not self._standing:
            raise RefusedError(
                f"{self._client.address}: {ROBOT_ID} {self._robot_id!r}: got another server than "
                f"at the check, expected the same; now: {found.value}"
            )

    def _ask(self) -> Standing:
        try:
            return standing(self._client.reset(named(None, self._robot_id)), self._robot_id)
        except ResetError as error:
            where = f"{ROBOT_ID} {self._robot_id!r}"
            raise ResetError(f"{where}: {error}", error.server_text) from None

    def _refuse(self) -> NoReturn:
        self._standing, self._ignored = Standing.IGNORED, True
        raise RefusedError(
            f"{self._client.address}: {ROBOT_ID} {self._robot_id!r}: got a server that does not "
            "repeat it in its reply to a reset, expected one that keeps an episode for each robot. "
            "Ask such a server (docs/sidecar.md), or clear the id if no other robot asks this one; "
            "configure again after either: a server that comes in its place is not asked before"
        )
