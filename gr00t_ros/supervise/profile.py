"""Reads how a policy server is started: config/sidecar/NAME.yaml, and the operator's overrides.

launcher.py checks whether the environment exists, and whether the license allows the start.
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from gr00t_ros.errors import EmbodimentError, ProfileError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.field import Field
from gr00t_ros.robot.files import config_folders, find_yaml, read_yaml

PLACEHOLDERS: Final = (
    *("python", "nf4", "model_path", "embodiment_tag", "embodiment", "device", "host", "port"),
    *("image", "container", "home"),
)
"""Names that a command may have in braces; home: the user's home folder, nf4: the wrapper file."""

_REQUIRED: Final = ("command", "model_version")
_MAX_TIMEOUT_S: Final = 86_400.0
_MAX_PORT: Final = 65_535
_HOW: Final = {
    "embodiment_tag": "name an embodiment (--embodiment NAME|FILE), or the embodiment_tag",
    "embodiment": "name an embodiment (--embodiment NAME|FILE)",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """One way to start a server. An empty text means that the profile has no value.

    command: program and arguments with PLACEHOLDERS. model_version: decides the license
    (launcher.py). python: a path, relative to working_directory; empty means the node's own
    interpreter and environment. embodiment_tag: empty means the tag of the embodiment file.
    embodiment: name or path of an embodiment file, for this package's own servers; the node's
    embodiment wins. image: of a container; the command must then contain {container}. port: 0
    takes a free one. ready_timeout_s: from the start to the first answer. stop_timeout_s: from
    SIGTERM to SIGKILL. install: the command that installs what is missing.
    """

    name: str
    source: str
    command: tuple[str, ...]
    model_version: str
    working_directory: str = ""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    python: str = ""
    model_path: str = ""
    embodiment_tag: str = ""
    embodiment: str = ""
    device: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    ready_timeout_s: float = 900.0
    stop_timeout_s: float = 10.0
    image: str = ""
    install: str = ""

    def serving(self, embodiment: Embodiment) -> Profile:
        """Return the profile with this embodiment, and with its tag if the profile has none.

        N1.7 takes a tag's value or name, N1.6 takes names only (wire.md 10); the file has them in
        server_tags. Raises ProfileError if a name is needed and the file has none.
        """
        tag = self.embodiment_tag or embodiment.server_tags.get(self.model_version, "")
        if not tag and self.model_version == "N1.6" and self._names("embodiment_tag"):
            raise ProfileError(
                f"{self.source}: an N1.6 server takes the names of its own tags, and embodiment "
                f"{embodiment.source} has no server_tags: {{N1.6: NAME}}; use the embodiment's "
                "file for N1.6, or give the embodiment tag"
            )
        return replace(self, embodiment_tag=tag or embodiment.tag, embodiment=embodiment.source)

    def _names(self, placeholder: str) -> bool:
        return any(placeholder in _placeholders(self, part) for part in self.command)


@dataclass(frozen=True, slots=True)
class Overrides:
    """An operator's values, which replace the profile's; None keeps the profile's value."""

    model_path: str | None = None
    embodiment_tag: str | None = None
    device: str | None = None
    python: str | None = None
    working_directory: str | None = None
    host: str | None = None
    port: int | None = None

    def apply(self, profile: Profile) -> Profile:
        """Return `profile` with these values; raises ProfileError as `parse` does."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = replace(profile, **{k: v for k, v in given.items() if v is not None})
        return _checked(changed, "embodiment_tag", "embodiment")


def load_profile(name_or_path: str) -> Profile:
    """Read the profile of that name in config/sidecar, or at that path; raises ProfileError."""
    folders = config_folders("sidecar")
    path = find_yaml(name_or_path, folders, "sidecar profile", ProfileError)
    return parse(read_yaml(path, "a sidecar profile", ProfileError), path.stem, str(path))


def parse(content: Mapping[str, object], name: str, source: str) -> Profile:
    """Read the content of a profile file.

    Raises ProfileError with the key's path for unknown or missing keys, values of the wrong kind,
    and placeholders in the command that are unknown or have no value.
    """
    try:
        return _checked(_read(Field(content, source), name, source))
    except EmbodimentError as error:  # the strict reader's error, whatever the file is
        raise ProfileError(str(error)) from None


def _read(field: Field, name: str, source: str) -> Profile:
    optional = [f.name for f in fields(Profile) if f.name not in ("name", "source", *_REQUIRED)]
    values: dict[str, object] = {}
    for key, item in field.fields(_REQUIRED, optional).items():
        if key == "command":
            values[key] = tuple(_argument(part) for part in item.items())
        elif key == "environment":
            values[key] = {k: _argument(v) for k, v in _entries(item).items()}
        elif key == "port":
            values[key] = item.integer(0, _MAX_PORT)
        elif key.endswith("_timeout_s"):
            values[key] = item.number(0.1, _MAX_TIMEOUT_S)
        else:
            values[key] = item.text().strip()
    return Profile(name, source, **values)  # type: ignore[arg-type]  # the branches above check the types


def _entries(field: Field) -> dict[str, Field]:
    found = {} if field.value == {} else field.entries()
    for name, value in found.items():
        if "=" in name:
            raise value.problem("a variable's name has no =, expected NAME: VALUE")
    return found


def _argument(field: Field) -> str:
    """Return a text; a number in a command or an environment stands for its text."""
    if isinstance(field.value, (int, float)) and not isinstance(field.value, bool):
        return str(field.value)
    return field.text()


def _checked(profile: Profile, *filled: str) -> Profile:
    """Return `profile` if it is valid; `filled`: further fields that must have a value now."""
    named = {name for part in profile.command for name in _placeholders(profile, part)}
    unknown = sorted(named - set(PLACEHOLDERS))
    if unknown:
        known = ", ".join(PLACEHOLDERS)
        raise ProfileError(f"{profile.source}: command: unknown {{{unknown[0]}}}, known: {known}")
    for name in ("model_path", "device", "host", "image", *filled):
        if name in named and not getattr(profile, name):
            how = f"; {_HOW[name]}" if name in filled else ""
            raise ProfileError(f"{profile.source}: the command needs {name}, which is empty{how}")
    if not 0 <= profile.port <= _MAX_PORT:
        raise ProfileError(f"{profile.source}: port: got {profile.port}, expected 0 to {_MAX_PORT}")
    if bool(profile.image) != ("container" in named):
        raise ProfileError(
            f"{profile.source}: image and {{container}} in the command go together: the container "
            "is ended by that name"
        )
    return profile


def _placeholders(profile: Profile, part: str) -> set[str]:
    where = f"{profile.source}: command: {part!r}"
    try:
        found = [field for field in string.Formatter().parse(part) if field[1] is not None]
    except ValueError as error:
        raise ProfileError(f"{where}: {error}") from None
    for _, name, form, conversion in found:
        if form or conversion:
            raise ProfileError(
                f"{where}: got a format or conversion behind {name}, expected {{{name}}} alone"
            )
    return {name for _, name, _, _ in found if name is not None}
