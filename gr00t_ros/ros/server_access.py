"""How the node reaches its policy server: parameters first, then the names of other clients.

Makes the client and says where each setting came from, a secret's origin but never the secret.
Refuses to know when the server is asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.ros.parameters import TABLE, Parameters
from gr00t_ros.sidecar import environment as names
from gr00t_ros.sidecar.client import PolicyClient
from gr00t_ros.sidecar.embodiment_file import TAG
from gr00t_ros.sidecar.environment import read_environment
from gr00t_ros.sidecar.keys import ClientKeys, read_client_keys
from gr00t_ros.sidecar.token import ENVIRONMENT_VARIABLE, Token, read_token

_VARIABLES: Final = {
    "host": names.HOST,
    "port": names.PORT,
    "timeout_ms": names.TIMEOUT_MS,
    "strict": names.STRICT,
    "embodiment": names.EMBODIMENT_TAG,
}


def defaults_of(variables: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return parameter name -> value for what the environment says; see _VARIABLES.

    Raises SettingsError naming the variable.
    """
    environment = read_environment(variables)
    tag = environment.embodiment_tag
    said = {
        "host": environment.host,
        "port": environment.port,
        "timeout_ms": environment.timeout_ms,
        "strict": environment.strict,
        "embodiment": None if tag is None else TAG + tag,
    }
    return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Access:
    """What a client needs beside the parameters, and where all of it came from, in one line."""

    token: Token | None
    curve: ClientKeys | None
    origins: str
    _values: Parameters = field(repr=False)

    def client(self) -> PolicyClient:
        """Return a client, not yet connected."""
        values = self._values
        return PolicyClient(
            values.host,
            values.port,
            values.timeout_ms,
            self.token,
            values.key_style,  # type: ignore[arg-type]  # the table's choices are the literal's
            values.max_reply_mb * 2**20,
            self.curve,
        )


def read_access(values: Parameters, variables: Mapping[str, str] = os.environ) -> Access:
    """Read token and keys; raises SettingsError naming the parameter, file or variable."""
    token = read_environment(variables).token
    if values.api_token_file:
        token = read_token(values.api_token_file)
    curve = _curve(values.curve_server_key, values.curve_client_key)
    origins = [
        *_origins(values, defaults_of(variables)),
        f"api token {_token_origin(values, token, variables)}",
        f"CURVE {'off' if curve is None else f'with {values.curve_client_key}'}",
    ]
    return Access(token, curve, ", ".join(origins), values)


def _curve(server_key: str, client_key: str) -> ClientKeys | None:
    if bool(server_key) != bool(client_key):
        raise SettingsError(
            "parameters curve_server_key and curve_client_key: got one, expected both or neither"
        )
    return read_client_keys(server_key, client_key) if server_key else None


def _origins(values: Parameters, said: Mapping[str, Any]) -> Iterator[str]:
    for name, variable in _VARIABLES.items():
        value = getattr(values, name)
        if name in said:
            origin = variable if value == said[name] else f"parameter, wins over {variable}"
        else:
            origin = "default" if value == TABLE[name].default else "parameter"
        shown = str(value).lower() if isinstance(value, bool) else value
        yield f"{name} {shown} ({origin})"


def _token_origin(values: Parameters, token: Token | None, variables: Mapping[str, str]) -> str:
    if token is None:
        return "none"
    if values.api_token_file:
        return f"from file {values.api_token_file}"
    return (
        f"from {ENVIRONMENT_VARIABLE if variables.get(ENVIRONMENT_VARIABLE) else names.API_TOKEN}"
    )
