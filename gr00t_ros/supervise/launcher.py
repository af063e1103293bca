"""A profile becomes the command, environment and directory that the watcher starts, or why not.

`prepare` looks at the disk and may ask docker for an image, so it runs on the supervisor's thread.
The license of the weights is checked first: the model cards nvidia/GR00T-N1-2B, N1.5-3B and
N1.6-3B (NVIDIA OneWay Noncommercial License) and nvidia/GR00T-N1.7-3B (NVIDIA Open Model License),
as read in 2026, must be acknowledged by a person.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gr00t_ros.errors import LaunchError, UnreachableError
from gr00t_ros.supervise.profile import Profile
from gr00t_ros.supervise.watcher import Spec
from gr00t_ros.text_table import one_line

LICENSE_VARIABLE: Final = "GR00T_ACCEPT_NONCOMMERCIAL"
NO_WEIGHTS: Final = "none"
# gr00t_n1_5, GR00T-H-N1.7, Gr00tN1d6, GR00T-N2; and a bare N1.6, but no run1 and no n2
_VERSION: Final = re.compile(
    r"(?:gr00t(?:[-_][a-z]+)*[-_]?n([0-9]+)|(?<![a-z0-9])n(1))(?:[._d]([0-9]+))?(?![0-9])", re.I
)
_MAX_CONFIG_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class LicenseTerms:
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
        LicenseTerms("N1", _ONE_WAY, True),
        LicenseTerms("N1.5", _ONE_WAY, True),
        LicenseTerms("N1.6", _ONE_WAY, True),
        LicenseTerms("N1.7", "NVIDIA Open Model License", False),
        LicenseTerms(NO_WEIGHTS, "no weights of NVIDIA", False),
    )
}


def posture_of(version: str) -> LicenseTerms:
    """Return the posture of a version such as N1.6; an unknown one counts as non-commercial."""
    unknown = LicenseTerms(
        version or "unknown model", "unknown license, taken as the strictest", True
    )
    return _KNOWN.get(version, unknown)


def posture(profile_version: str, model_path: str) -> LicenseTerms:
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


def acknowledged(found: LicenseTerms, accepted: bool, environment: Mapping[str, str]) -> str:
    """Return what status records: the license, and who acknowledged it.

    Raises LaunchError that says what to acknowledge, and how, where nobody did.
    """
    if not found.non_commercial:
        return str(found)
    if accepted:
        return f"{found}, acknowledged by parameter"
    if environment.get(LICENSE_VARIABLE, "").strip().lower() in ("1", "true", "yes", "on"):
        return f"{found}, acknowledged by {LICENSE_VARIABLE}"
    raise LaunchError(
        f"not started: {found}. If your use is non-commercial, say so with the parameter "
        f"sidecar.accept_noncommercial or the environment variable {LICENSE_VARIABLE}=1"
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


_ALWAYS_STRIPPED: Final = ("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH", "LD_PRELOAD")
_STRIPPED: Final = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT"),
    *("AMENT_PREFIX_PATH", "COLCON_PREFIX_PATH", "CMAKE_PREFIX_PATH", "RMW_IMPLEMENTATION"),
    *("GR00T_API_TOKEN", "GROOT_POLICY_API_TOKEN"),
)
_FREE_PORTS: Final = range(
    20_000, 32_000
)  # below Linux's ephemeral ports: nobody gets one by chance
_DOCKER_LIMIT_S: Final = 20.0
_EVERY_INTERFACE: Final = ("*", "0.0.0.0", "::", "[::]")
_MAX_WORDS: Final = 300
# HF_TOKEN, --api-token, WANDB_API_KEY; not TOKENIZERS_PARALLELISM
_SECRET: Final = re.compile(r"(?:^|[-_])(?:token|secret|password|(?:api|access)[-_]?key)$", re.I)
_SHORTEST_SECRET: Final = 4  # of a shorter one the text would become unreadable, and it is none
_LISTENING: Final = "0A"  # TCP_LISTEN in /proc/net/tcp


def client_host(profile: Profile) -> str:
    """The host at which a client on this machine reaches the server."""
    return "127.0.0.1" if profile.host in _EVERY_INTERFACE else profile.host


def free_port(host: str) -> int:
    """Return a TCP port on `host` that nobody has now; raises LaunchError without one."""
    for _ in range(100):
        port = secrets.choice(_FREE_PORTS)
        if not _taken(host, port):
            return port
    raise LaunchError(f"{host}: no free port found from {_FREE_PORTS.start} to {_FREE_PORTS.stop}")


def prepare(profile: Profile, port: int, environment: Mapping[str, str] = os.environ) -> Spec:
    """Return what to start.

    Raises LaunchError for what is missing, naming the command that installs it, and
    UnreachableError for what may be gone at the next try: a port in use, docker not answering.
    """
    if _taken(profile.host, port):
        raise UnreachableError(
            f"{client_host(profile)}:{port} is taken by another process: end it, use sidecar.mode "
            "existing, or port 0 for a free one"
        )
    own = server_environment(profile, environment)
    folder = Path(profile.working_directory or os.getcwd()).expanduser()
    container = f"gr00t_ros_{profile.name}_{os.getpid()}_{secrets.token_hex(4)}"
    command = _command(profile, folder, port, container)
    _check(profile, folder, command, own)
    if not profile.image:
        return Spec(command, own, str(folder), profile.stop_timeout_s)
    return Spec(command, own, str(folder), profile.stop_timeout_s, container, command[0])


def server_environment(profile: Profile, environment: Mapping[str, str]) -> dict[str, str]:
    """The node's environment without what is the node's alone, and the profile's on top."""
    foreign = bool(profile.python or profile.image)
    stripped = (*_ALWAYS_STRIPPED, *(_STRIPPED if foreign else ()))
    own = {name: value for name, value in environment.items() if name not in stripped}
    if foreign and sys.prefix != sys.base_prefix:  # a virtual environment of the node's
        mine = os.path.join(sys.prefix, "bin")
        kept = (p for p in own.get("PATH", os.defpath).split(os.pathsep) if p != mine)
        own["PATH"] = os.pathsep.join(kept)
    # Else lines stay in the server's buffer, and a crash takes them along.
    return {**own, "PYTHONUNBUFFERED": "1", **profile.environment}


def redactor(spec: Spec) -> Callable[[str], str]:
    """What takes the secrets of `spec` out of a text: of its environment and of its options.

    A server may print its own command line, and so do we.
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
    """Whether somebody listens on `port` of every interface, as far as /proc tells."""
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
    python = str(folder / Path(profile.python).expanduser()) if profile.python else sys.executable
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
    if not folder.is_dir():
        return f"its working_directory {folder} is not there"
    if shutil.which(command[0], path=own.get("PATH", os.defpath)) is None:
        return f"its python {command[0]} is not there" if profile.python else f"no {command[0]}"
    for part in command[1:]:
        if part.endswith(".py") and not (folder / part).is_file():
            return f"its script {folder / part} is not there"
    path = _local(profile.model_path)
    if path.startswith("/") and not Path(path).exists():
        raise LaunchError(f"sidecar profile {profile.name}: model_path {path} is not there")
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
            timeout=_DOCKER_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnreachableError(f"{' '.join(asking)}: {error}") from error
    words = one_line(asked.stderr.decode("utf-8", "replace"), _MAX_WORDS)
    if asked.returncode and "no such" not in words.lower():  # its daemon may still be starting
        raise UnreachableError(f"{' '.join(asking)}: exit code {asked.returncode}: {words}")
    return f"its image {profile.image} is not there" if asked.returncode else ""


def _local(model_path: str) -> str:
    return str(Path(model_path).expanduser()) if model_path.startswith("~") else model_path


def _taken(host: str, port: int) -> bool:
    """Whether binding would fail; SO_REUSEADDR as ZeroMQ has it, so TIME_WAIT does not count."""
    family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[
        0
    ]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError:
            return True
    return False
