"""Turns a profile into the command, environment and directory to start, or says what is missing.

`prepare` reads files and may ask docker for an image, so it runs on the supervisor's thread. The
license of the weights is checked first; a non-commercial one must be acknowledged by a person.
Sources: the model cards of nvidia/GR00T-N1-2B, N1.5-3B and N1.6-3B (NVIDIA OneWay Noncommercial
License) and of nvidia/GR00T-N1.7-3B (NVIDIA Open Model License), read in 2026.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gr00t_ros.errors import LaunchError, UnreachableError
from gr00t_ros.supervise.profile import Profile
from gr00t_ros.supervise.watcher import DOCKER_LIMIT_S, Spec
from gr00t_ros.text_table import one_line
from gr00t_ros.wire.access import ENVIRONMENT_VARIABLE, TOKEN_VARIABLE, YES

LICENSE_VARIABLE: Final = "GR00T_ACCEPT_NONCOMMERCIAL"
NO_WEIGHTS: Final = "none"
# Matches gr00t_n1_5, GR00T-H-N1.7, Gr00tN1d6, GR00T-N2 and a bare N1.6, but not run1 or n2.
_VERSION: Final = re.compile(
    r"(?:gr00t(?:[-_][a-z]+)*[-_]?n([0-9]+)|(?<![a-z0-9])n(1))(?:[._d]([0-9]+))?(?![0-9])", re.I
)
_MAX_CONFIG_BYTES: Final = 1 << 20
_ALWAYS_STRIPPED: Final = ("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH", "LD_PRELOAD")
_STRIPPED: Final = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT"),
    *("AMENT_PREFIX_PATH", "COLCON_PREFIX_PATH", "CMAKE_PREFIX_PATH", "RMW_IMPLEMENTATION"),
    *(ENVIRONMENT_VARIABLE, TOKEN_VARIABLE),
)
# Below Linux's ephemeral ports, so that no other program is given one of them by chance.
_FREE_PORTS: Final = range(20_000, 32_000)
_EVERY_INTERFACE: Final = ("*", "0.0.0.0", "::", "[::]")
_MAX_WORDS: Final = 300  # characters of docker's error text
# HF_TOKEN, --api-token, WANDB_API_KEY; not TOKENIZERS_PARALLELISM
_SECRET: Final = re.compile(r"(?:^|[-_])(?:token|secret|password|(?:api|access)[-_]?key)$", re.I)
_SHORTEST_SECRET: Final = 4  # a shorter value is no secret, and redacting it spoils the text
_LISTENING: Final = "0A"  # TCP_LISTEN in /proc/net/tcp


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


def folder_of(profile: Profile) -> Path:
    """Return the folder in which the server runs; relative paths of a profile begin there."""
    return Path(os.path.expanduser(profile.working_directory) or os.getcwd())


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


def client_host(profile: Profile) -> str:
    """Return the host at which a client on this machine reaches the server."""
    return "127.0.0.1" if profile.host in _EVERY_INTERFACE else profile.host


def free_port(host: str) -> int:
    """Return a TCP port on `host` that is free now; raises LaunchError if none is found."""
    for _ in range(100):
        port = secrets.choice(_FREE_PORTS)
        if not _taken(host, port):
            return port
    raise LaunchError(f"{host}: no free port found from {_FREE_PORTS.start} to {_FREE_PORTS.stop}")


def port_of(profile: Profile) -> int:
    """Return the profile's port, else one that is free now; raises LaunchError as `free_port`."""
    with _naming(profile):
        return profile.port or free_port(profile.host)


def prepare(profile: Profile, port: int, environment: Mapping[str, str] = os.environ) -> Spec:
    """Return what to start.

    Raises LaunchError for what is missing, with the command that installs it. Raises
    UnreachableError for what may pass before the next try: a port in use, docker not answering.
    """
    with _naming(profile):
        is_taken = _taken(profile.host, port)
    if is_taken:
        raise UnreachableError(
            f"{client_host(profile)}:{port} is taken by another process: end it, use sidecar.mode "
            "existing, or port 0 for a free one"
        )
    own = server_environment(profile, environment)
    folder = folder_of(profile)
    container = f"gr00t_ros_{profile.name}_{os.getpid()}_{secrets.token_hex(4)}"
    command = _command(profile, folder, port, container)
    _check(profile, folder, command, own)
    if not profile.image:
        return Spec(command, own, str(folder), profile.stop_timeout_s)
    return Spec(command, own, str(folder), profile.stop_timeout_s, container, command[0])


def server_environment(profile: Profile, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the node's environment without its own settings, plus the profile's variables."""
    foreign = bool(profile.python or profile.image)
    stripped = (*_ALWAYS_STRIPPED, *(_STRIPPED if foreign else ()))
    own = {name: value for name, value in environment.items() if name not in stripped}
    if foreign and sys.prefix != sys.base_prefix:  # the node runs in a virtual environment
        mine = os.path.join(sys.prefix, "bin")
        kept = (p for p in own.get("PATH", os.defpath).split(os.pathsep) if p != mine)
        own["PATH"] = os.pathsep.join(kept)
    # Unbuffered: otherwise a crash loses the lines that are still in the server's buffer.
    return {**own, "PYTHONUNBUFFERED": "1", **profile.environment}


def redactor(spec: Spec) -> Callable[[str], str]:
    """Return a function that removes the secrets of `spec` (environment and options) from a text.

    A server may print its own command line, and the supervisor does too.
    """
    words = spec.command
    found = {value for name, value in spec.environment.items() if _SECRET.search(name)}
    for option, value in zip(words, (*words[1:], ""), strict=True):
        name, _, same_word = option.partition("=")
        if option.startswith("-") and _SECRET.search(name):
            found.add(same_word or value)
    secrets_ = sorted((s for s in found if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)

    def redact(text: str) -> str:
        for secret in secrets_:
            text = text.replace(secret, "<redacted>")
        return text

    return redact


def listens_beyond(port: int) -> bool:
    """Whether any process listens on `port` of every interface, according to /proc."""
    for name, every in (("tcp", "0" * 8), ("tcp6", "0" * 32)):
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except OSError:
            continue
        if any(
            fields[1] == f"{every}:{port:04X}" and fields[3] == _LISTENING
            for fields in map(str.split, lines)
        ):
            return True
    return False


def _command(profile: Profile, folder: Path, port: int, container: str) -> tuple[str, ...]:
    python = sys.executable
    if profile.python:
        python = str(folder / os.path.expanduser(profile.python))
    values = {
        "python": python,
        "nf4": str(Path(__file__).with_name("in_server") / "nf4.py"),
        "model_path": _local(profile.model_path),
        "embodiment_tag": profile.embodiment_tag,
        "embodiment": profile.embodiment,
        "device": profile.device,
        "host": profile.host,
        "port": str(port),
        "image": profile.image,
        "container": container,
        "home": str(Path.home()),
    }
    return tuple(part.format_map(values) for part in profile.command)


def _check(
    profile: Profile, folder: Path, command: tuple[str, ...], own: Mapping[str, str]
) -> None:
    missing = (
        _missing_image(profile, command[0], own)
        if profile.image
        else _missing_file(profile, folder, command, own)
    )
    if missing:
        how = f"; install it with: {profile.install}" if profile.install else ""
        raise LaunchError(f"sidecar profile {profile.name}: {missing}{how}")


def _missing_file(
    profile: Profile, folder: Path, command: tuple[str, ...], own: Mapping[str, str]
) -> str:
    if not os.path.isdir(folder):  # False too where it may not be seen
        return f"its working_directory {folder} is not there"
    if shutil.which(command[0], path=own.get("PATH", os.defpath)) is None:
        return f"its python {command[0]} is not there" if profile.python else f"no {command[0]}"
    for part in command[1:]:
        if part.endswith(".py") and not os.path.isfile(folder / part):
            return f"its script {folder / part} is not there"
    path = _local(profile.model_path)
    # Others without these may be names of the hub, such as nvidia/GR00T-N1.7-3B.
    if path.startswith(("/", "./", "../", "~")) and not os.path.exists(folder / path):
        raise LaunchError(
            f"sidecar profile {profile.name}: model_path {folder / path} is not there"
        )
    return ""


def _missing_image(profile: Profile, docker: str, own: Mapping[str, str]) -> str:
    if shutil.which(docker, path=own.get("PATH", os.defpath)) is None:
        return f"the program {docker} is not there"
    asking = [docker, "image", "inspect", profile.image]
    try:
        asked = subprocess.run(
            asking,
            env=own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DOCKER_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnreachableError(f"{' '.join(asking)}: {error}") from error
    words = one_line(asked.stderr.decode("utf-8", "replace"), _MAX_WORDS)
    if asked.returncode and "no such" not in words.lower():  # its daemon may still be starting
        raise UnreachableError(f"{' '.join(asking)}: exit code {asked.returncode}: {words}")
    return f"its image {profile.image} is not there" if asked.returncode else ""


def _local(model_path: str) -> str:
    return os.path.expanduser(model_path)


@contextlib.contextmanager
def _naming(profile: Profile) -> Iterator[None]:
    """Put the profile in front of a LaunchError."""
    try:
        yield
    except LaunchError as error:
        raise LaunchError(f"sidecar profile {profile.name}: {error}") from None


def _taken(host: str, port: int) -> bool:
    """Whether a bind would fail; with SO_REUSEADDR, as in ZeroMQ, TIME_WAIT does not count.

    Raises LaunchError for a host that cannot be looked up.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
        why = error.strerror if isinstance(error, OSError) else "no host name"
        raise LaunchError(
            f"host {host!r:.80}: {why}; expected an address of this machine to listen on, such as "
            "127.0.0.1, or 0.0.0.0 for all"
        ) from None
    family, _, _, _, address = found[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError:
            return True
    return False
