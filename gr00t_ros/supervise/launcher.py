"""Turns a profile into the command, environment and directory to start, or says what is missing.

`prepare` reads files and may ask docker for an image, so it runs on the supervisor's thread. The
license of the weights is checked first (supervise/license).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from gr00t_ros.errors import LaunchError, UnreachableError
from gr00t_ros.supervise.profile import Profile
from gr00t_ros.supervise.watcher import DOCKER_LIMIT_S, Spec
from gr00t_ros.text_table import one_line
from gr00t_ros.wire.access import ENVIRONMENT_VARIABLE, TOKEN_VARIABLE

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


def folder_of(profile: Profile) -> Path:
    """Return the folder in which the server runs; relative paths of a profile begin there."""
    return Path(os.path.expanduser(profile.working_directory) or os.getcwd())


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
