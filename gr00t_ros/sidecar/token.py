"""The policy server's API token: read from a file or the environment, never shown.

It refuses to know where the token is sent; messages.py places it in the envelope.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.sidecar.keys import check_private

ENVIRONMENT_VARIABLE: Final = "GR00T_API_TOKEN"
MAX_LENGTH: Final = 4096


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

    def redact(self, text: str) -> str:
        """Return `text` without the secret: a server may echo what it was sent."""
        return text.replace(self._secret, "<api token>")

    def __repr__(self) -> str:
        return "Token(<redacted>)"


def read_token(
    path: str | Path | None = None, environment: Mapping[str, str] = os.environ
) -> Token | None:
    """Return the token in the file `path`, else that in GR00T_API_TOKEN, else None.

    One trailing line end is dropped. Raises `SettingsError` for a file that cannot be read or
    that others than its owner can, and for a text that is no token, never quoting it.
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
