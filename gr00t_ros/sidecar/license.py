"""What the weights' license allows, by model version, and who has acknowledged it.

Sources: the model cards nvidia/GR00T-N1-2B, N1.5-3B and N1.6-3B (NVIDIA OneWay Noncommercial
License) and nvidia/GR00T-N1.7-3B (NVIDIA Open Model License), as read in 2026. It refuses to
know whether a use is commercial: it says what the license says and asks for a yes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gr00t_ros.core.errors import LaunchError

ENVIRONMENT_VARIABLE: Final = "GR00T_ACCEPT_NONCOMMERCIAL"
NO_WEIGHTS: Final = "none"
# gr00t_n1_5, GR00T-H-N1.7, Gr00tN1d6, GR00T-N2; and a bare N1.6, but no run1 and no n2
_VERSION: Final = re.compile(
    r"(?:gr00t(?:[-_][a-z]+)*[-_]?n([0-9]+)|(?<![a-z0-9])n(1))(?:[._d]([0-9]+))?(?![0-9])", re.I
)
_MAX_CONFIG_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Posture:
    """A model version's license; non_commercial: starting it needs an acknowledgement."""

    version: str
    license: str
    non_commercial: bool

    def __str__(self) -> str:
        allowed = "non-commercial use only" if self.non_commercial else "commercial use allowed"
        weights = "" if self.version == NO_WEIGHTS else f": {allowed}"
        return f"{self.license} ({self.version}){weights}"


_ONE_WAY: Final = "NVIDIA OneWay Noncommercial License"
_KNOWN: Final = {
    posture.version: posture
    for posture in (
        Posture("N1", _ONE_WAY, True),
        Posture("N1.5", _ONE_WAY, True),
        Posture("N1.6", _ONE_WAY, True),
        Posture("N1.7", "NVIDIA Open Model License", False),
        Posture(NO_WEIGHTS, "no weights of NVIDIA", False),
    )
}


def posture_of(version: str) -> Posture:
    """Return the posture of a version such as N1.6; an unknown one counts as non-commercial."""
    unknown = Posture(version or "unknown model", "unknown license, taken as the strictest", True)
    return _KNOWN.get(version, unknown)


def posture(profile_version: str, model_path: str) -> Posture:
    """Return the strictest posture of what the profile says and what the checkpoint says."""
    versions = [profile_version, *versions_of(model_path)]
    found = [posture_of(version) for version in versions]
    return next((p for p in found if p.non_commercial), found[0])


def versions_of(model_path: str) -> tuple[str, ...]:
    """Return the versions named by a checkpoint: in its path, and in its config.json if local."""
    return tuple(
        dict.fromkeys(
            f"N{of_gr00t or bare}" + (f".{minor}" if minor else "")
            for text in (model_path, _declared(model_path))
            for of_gr00t, bare, minor in _VERSION.findall(text)
        )
    )


def acknowledged(found: Posture, accepted: bool, environment: Mapping[str, str]) -> str:
    """Return what status records: the license, and who acknowledged it.

    Raises LaunchError that says what to acknowledge, and how, where nobody did.
    """
    if not found.non_commercial:
        return str(found)
    if accepted:
        return f"{found}, acknowledged by parameter"
    if environment.get(ENVIRONMENT_VARIABLE, "").strip().lower() in ("1", "true", "yes", "on"):
        return f"{found}, acknowledged by {ENVIRONMENT_VARIABLE}"
    raise LaunchError(
        f"not started: {found}. If your use is non-commercial, say so with the parameter "
        f"sidecar.accept_noncommercial or the environment variable {ENVIRONMENT_VARIABLE}=1"
    )


def _declared(model_path: str) -> str:
    """The model_type and architectures of a local checkpoint's config.json, empty without one."""
    try:
        with (Path(model_path).expanduser() / "config.json").open("rb") as file:
            content = json.loads(file.read(_MAX_CONFIG_BYTES))
    except (OSError, ValueError, RuntimeError):
        return ""
    if not isinstance(content, dict):
        return ""
    return f"{content.get('model_type', '')} {content.get('architectures', '')}"
