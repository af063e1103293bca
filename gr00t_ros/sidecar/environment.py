"""The environment names that other GR00T clients use, read as ours (WorldForge's provider, #5).

Pure: takes the mapping, touches no file and no process. What is given on a command line or as a
parameter wins over all of these; an empty value counts as none.

GROOT_POLICY_STRICT: others hand it to upstream's client class, whose checks ours always makes;
here it makes `check` count every difference between server and embodiment file as a problem,
also those that a server tolerates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.sidecar.token import ENVIRONMENT_VARIABLE, Token

HOST: Final = "GROOT_POLICY_HOST"
PORT: Final = "GROOT_POLICY_PORT"
TIMEOUT_MS: Final = "GROOT_POLICY_TIMEOUT_MS"
API_TOKEN: Final = "GROOT_POLICY_API_TOKEN"
STRICT: Final = "GROOT_POLICY_STRICT"
EMBODIMENT_TAG: Final = "GROOT_EMBODIMENT_TAG"

_YES: Final = ("1", "true", "yes", "on")
_NO: Final = ("0", "false", "no", "off")
_MAX_TIMEOUT_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says; None where it says nothing."""

    host: str | None = None
    port: int | None = None
    timeout_ms: int | None = None
    token: Token | None = field(default=None)
    strict: bool | None = None
    embodiment_tag: str | None = None


def read_environment(environment: Mapping[str, str]) -> Environment:
    """Read all names; GR00T_API_TOKEN, our own name, wins over GROOT_POLICY_API_TOKEN.

    Raises `SettingsError` that names the variable and never quotes a token.
    """
    secret = environment.get(ENVIRONMENT_VARIABLE) or environment.get(API_TOKEN)
    return Environment(
        host=environment.get(HOST) or None,
        port=_whole(environment, PORT, 65_535),
        timeout_ms=_whole(environment, TIMEOUT_MS, _MAX_TIMEOUT_MS),
        token=Token(secret) if secret else None,
        strict=_switch(environment, STRICT),
        embodiment_tag=environment.get(EMBODIMENT_TAG) or None,
    )


def _whole(environment: Mapping[str, str], name: str, high: int) -> int | None:
    text = environment.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= high):
        raise SettingsError(f"{name} is {text!r:.40}, expected a whole number from 1 to {high}")
    return int(text)


def _switch(environment: Mapping[str, str], name: str) -> bool | None:
    text = environment.get(name, "").strip().lower()
    if not text:
        return None
    if text not in (*_YES, *_NO):
        raise SettingsError(f"{name} is {text!r:.40}, expected one of {', '.join((*_YES, *_NO))}")
    return text in _YES
