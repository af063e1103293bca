"""The license of a model's weights; a non-commercial one must be acknowledged by a person.

Sources: the model cards of nvidia/GR00T-N1-2B, N1.5-3B and N1.6-3B (NVIDIA OneWay Noncommercial
License) and of nvidia/GR00T-N1.7-3B (NVIDIA Open Model License), read in 2026.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gr00t_ros.errors import LaunchError
from gr00t_ros.wire.access import YES

LICENSE_VARIABLE: Final = "GR00T_ACCEPT_NONCOMMERCIAL"
NO_WEIGHTS: Final = "none"
# Matches gr00t_n1_5, GR00T-H-N1.7, Gr00tN1d6, GR00T-N2 and a bare N1.6, but not run1 or n2.
_VERSION: Final = re.compile(
    r"(?:gr00t(?:[-_][a-z]+)*[-_]?n([0-9]+)|(?<![a-z0-9])n(1))(?:[._d]([0-9]+))?(?![0-9])", re.I
)
_MAX_CONFIG_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class LicenseTerms:
    """A model version's license; non_commercial: it must be acknowledged before a start."""

    version: str
    license: str
    non_commercial: bool

    def __str__(self) -> str:
        allowed = "non-commercial use only" if self.non_commercial else "commercial use allowed"
        weights = "" if self.version == NO_WEIGHTS else f": {allowed}"
        return f"{self.license} ({self.version}){weights}"


_ONE_WAY: Final = "NVIDIA OneWay Noncommercial License"
_KNOWN: Final = {
    terms.version: terms
    for terms in (
        LicenseTerms("N1", _ONE_WAY, True),
        LicenseTerms("N1.5", _ONE_WAY, True),
        LicenseTerms("N1.6", _ONE_WAY, True),
        LicenseTerms("N1.7", "NVIDIA Open Model License", False),
        LicenseTerms(NO_WEIGHTS, "no weights of NVIDIA", False),
    )
}


def terms_of(version: str) -> LicenseTerms:
    """Return the terms of a version such as N1.6; an unknown one counts as non-commercial."""
    unknown = LicenseTerms(
        version or "unknown model", "unknown license, taken as the strictest", True
    )
    return _KNOWN.get(version, unknown)


def strictest_terms(profile_version: str, model_path: str, folder: Path) -> LicenseTerms:
    """Return the strictest terms of the versions named by the profile and by the checkpoint."""
    versions = [profile_version, *versions_of(model_path, folder)]
    found = [terms_of(version) for version in versions]
    return next((terms for terms in found if terms.non_commercial), found[0])


def versions_of(model_path: str, folder: Path) -> tuple[str, ...]:
    """Return the versions that a checkpoint names: in its path, and in a local config.json.

    folder: where the server runs.
    """
    return tuple(
        dict.fromkeys(
            f"N{of_gr00t or bare}" + (f".{minor}" if minor else "")
            for text in (model_path, _declared(model_path, folder))
            for of_gr00t, bare, minor in _VERSION.findall(text)
        )
    )


def acknowledged(found: LicenseTerms, accepted: bool, environment: Mapping[str, str]) -> str:
    """Return the text for the status: the license, and how it was acknowledged.

    Raises LaunchError that says what to acknowledge, and how, if that is missing.
    """
    if not found.non_commercial:
        return str(found)
    if accepted:
        return f"{found}, acknowledged by parameter"
    if environment.get(LICENSE_VARIABLE, "").strip().lower() in YES:
        return f"{found}, acknowledged by {LICENSE_VARIABLE}"
    raise LaunchError(
        f"not started: {found}. If your use is non-commercial, say so with the parameter "
        f"sidecar.accept_noncommercial or the environment variable {LICENSE_VARIABLE}=1"
    )


def _declared(model_path: str, folder: Path) -> str:
    """Return model_type and architectures of a local checkpoint's config.json, or an empty text."""
    try:
        with (folder / Path(model_path).expanduser() / "config.json").open("rb") as file:
            content = json.loads(file.read(_MAX_CONFIG_BYTES))
    except (OSError, ValueError, RuntimeError):
        return ""
    if not isinstance(content, dict):
        return ""
    return f"{content.get('model_type', '')} {content.get('architectures', '')}"
