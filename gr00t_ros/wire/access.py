"""How a server is accessed: the API token, and the environment variables of other GR00T clients.

A token is read from a file or the environment and never shown.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gr00t_ros.errors import SettingsError
from gr00t_ros.wire.curve import check_private

ENVIRONMENT_VARIABLE: Final = "GR00T_API_TOKEN"
MAX_LENGTH: Final = 4096

HOST_VARIABLE: Final = "GROOT_POLICY_HOST"
PORT_VARIABLE: Final = "GROOT_POLICY_PORT"
TIMEOUT_VARIABLE: Final = "GROOT_POLICY_TIMEOUT_MS"
TOKEN_VARIABLE: Final = "GROOT_POLICY_API_TOKEN"
STRICT_VARIABLE: Final = "GROOT_POLICY_STRICT"
TAG_VARIABLE: Final = "GROOT_EMBODIMENT_TAG"

YES: Final = ("1", "true", "yes", "on")
_NO: Final = ("0", "false", "no", "off")
_MAX_TIMEOUT_MS: Final = 3_600_000


class Token:
    """A secret that only `reveal` returns; repr, str and format show it redacted."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        if not 0 < len(secret) <= MAX_LENGTH or not secret.isprintable() or " " in secret:
            raise SettingsError(
                f"api token: {len(secret)} characters, expected 1 to {MAX_LENGTH} printable ones"
                " without blanks"
            )
        self._secret = secret

    def reveal(self) -> str:
        """Return the secret itself, for the envelope only."""
        return self._secret

    def matches(self, given: str | None) -> bool:
        """Whether `given` is this token, compared in constant time."""
        return hmac.compare_digest((given or "").encode(), self._secret.encode())

    def redact(self, text: str) -> str:
        """Return `text` without the secret: a server may echo its request."""
        return text.replace(self._secret, "<api token>")

    def __repr__(self) -> str:
        return "Token(<redacted>)"


def read_token(
    path: str | Path | None = None, environment: Mapping[str, str] = os.environ
) -> Token | None:
    """Return the token in the file `path`, else the one in GR00T_API_TOKEN, else None.

    One trailing line end is dropped. Raises `SettingsError` for a file that cannot be read or
    that users other than its owner can access, and for an invalid token, without quoting it.
    """
    if not path:
        secret = environment.get(ENVIRONMENT_VARIABLE)
        return Token(secret) if secret else None
    try:
        with open(path, encoding="utf-8") as file:
            check_private(file, f"api token file {path}")
            text = file.read(MAX_LENGTH + 2)
    except OSError as error:
        raise SettingsError(f"api token file {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"api token file {path}: not UTF-8 text") from None
    return Token(text.removesuffix("\n").removesuffix("\r"))


@dataclass(frozen=True, slots=True)
class Environment:
    """The values of the environment variables; None for those that are not set."""

    host: str | None = None
    port: int | None = None
    timeout_ms: int | None = None
    token: Token | None = field(default=None)
    strict: bool | None = None
    embodiment_tag: str | None = None


def read_environment(environment: Mapping[str, str]) -> Environment:
    """Read all variables; GR00T_API_TOKEN, our own name, wins over GROOT_POLICY_API_TOKEN.

    Raises `SettingsError` that names the variable, without quoting a token.
    """
    secret = environment.get(ENVIRONMENT_VARIABLE) or environment.get(TOKEN_VARIABLE)
    return Environment(
        host=environment.get(HOST_VARIABLE) or None,
        port=_whole(environment, PORT_VARIABLE, 65_535),
        timeout_ms=_whole(environment, TIMEOUT_VARIABLE, _MAX_TIMEOUT_MS),
        token=Token(secret) if secret else None,
        strict=_switch(environment, STRICT_VARIABLE),
        embodiment_tag=environment.get(TAG_VARIABLE) or None,
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
    if text not in (*YES, *_NO):
        raise SettingsError(f"{name} is {text!r:.40}, expected one of {', '.join((*YES, *_NO))}")
    return text in YES
