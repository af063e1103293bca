"""The episode that a server keeps for one robot: proven at the check, reset by the robot's id.

Used from the thread of the link's client.
"""

from __future__ import annotations

from typing import NoReturn

from gr00t_ros.errors import RefusedError, ResetError
from gr00t_ros.wire.client import PolicyServerClient
from gr00t_ros.wire.handshake import ServerInfo
from gr00t_ros.wire.robot_id import ROBOT_ID, Standing, named, standing


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
