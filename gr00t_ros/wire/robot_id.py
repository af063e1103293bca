"""The option that names a robot, so that a server keeps an episode for each of several robots.

Servers ignore options that they do not know (wire.md 10), so only an answer proves that a server
keeps this robot's episode apart: its reply to a reset repeats the id. No sockets.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.wire.messages import SKIPPED

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
