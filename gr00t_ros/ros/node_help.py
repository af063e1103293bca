"""What a node prints for --help, and its options that stand for parameters.

`gr00t policy --embodiment NAME --server HOST:PORT` is short for `--ros-args -p embodiment:=NAME -p
host:=HOST -p port:=PORT`.
"""

from __future__ import annotations

import difflib
import shlex
import sys
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.files import shipped_embodiments
from gr00t_ros.robot.known import text as quoted
from gr00t_ros.ros.join import check_text
from gr00t_ros.wire.address import parse_place

ACCESS = {
    "--token-file": "api_token_file",
    "--server-key": "curve_server_key",
    "--client-key": "curve_client_key",
}
"""Options of access to the server, as the commands that question one have them."""
SERVER_OPTIONS = ("host", "port")
"""The parameters that `--server HOST:PORT` sets, for nodes that have them."""

_WIDTH, _NAME_WIDTH = 92, 22


@dataclass(frozen=True, slots=True)
class NodeHelp:
    """What a node prints for --help, and the names of its parameters.

    rows: the parameters that matter most: name, default (None: required), meaning with unit. names:
    all of them.
    """

    command: str
    about: str
    rows: Sequence[tuple[str, object, str]]
    example: str
    names: Collection[str] = ()

    @property
    def all_names(self) -> frozenset[str]:
        """The names of all parameters."""
        return frozenset((*self.names, *(name for name, _, _ in self.rows)))

    @property
    def options(self) -> dict[str, tuple[str, ...]]:
        """The options that stand for parameters: --embodiment, --server."""
        names = self.all_names
        found: dict[str, tuple[str, ...]] = {}
        if "embodiment" in names:
            found["--embodiment"] = ("embodiment",)
        if names.issuperset(SERVER_OPTIONS):
            found["--server"] = SERVER_OPTIONS
        for option, name in ACCESS.items():
            if name in names:
                found[option] = (name,)
        return found

    @property
    def subject(self) -> str:
        """The parameter that a word without an option means: the robot, else the first one."""
        names = [name for name, _, _ in self.rows]
        return "embodiment" if "embodiment" in names else names[0]

    def text(self) -> str:
        """Usage, parameters with defaults and units, and an example."""
        values = {"--embodiment": "NAME|FILE", "--server": "HOST:PORT"}
        options = [f"[{option} {values.get(option, 'FILE')}]" for option in self.options]
        usage = " ".join([f"usage: {self.command}", *options, "[--ros-args -p NAME:=VALUE ...]"])
        lines = [textwrap.fill(usage, _WIDTH, subsequent_indent="    "), ""]
        lines += [textwrap.fill(self.about, _WIDTH), "", "parameters:"]
        for name, default, meaning in self.rows:
            value = "required" if default is None else f"default {_shown(default)}"
            text = f"  {name:{_NAME_WIDTH}} {meaning} ({value})"
            lines.append(textwrap.fill(text, _WIDTH, subsequent_indent=" " * (_NAME_WIDTH + 3)))
        if len(self.all_names) > len(self.rows):
            lines.append("  and others: config/policy.yaml has all with their text")
        return "\n".join([*lines, "", "example:", f"  {self.example}"])


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return repr(default) if default == "" else str(default)


def asks_for_help(arguments: Sequence[str] | None) -> bool:
    """Whether the words before --ros-args ask for help; `arguments` None: those of this process."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    own = words[: words.index("--ros-args")] if "--ros-args" in words else words
    return any(word in ("-h", "--help") for word in own)


def missing_robot() -> SettingsError:
    """Return the error for a node that got no embodiment, for which there is no default."""
    return SettingsError(
        "parameter embodiment: got nothing, expected the robot: --embodiment NAME|FILE (or "
        "--ros-args -p embodiment:=NAME|FILE) with the path of your embodiment file, or one of "
        f"{', '.join(shipped_embodiments())}"
    )


def corrected(about: NodeHelp, words: Sequence[str]) -> str:
    """The command line that was probably meant; empty if a word is like nothing that is known.

    A word alone becomes the parameter `about.subject`; an option becomes the nearest option or
    parameter; NAME:=VALUE goes behind --ros-args.
    """
    own = words.index("--ros-args") if "--ros-args" in words else len(words)
    left = [word for word in words[:own] if word not in ("-p", "--param")]
    options: list[str] = []
    parameters: list[str] = []
    while left:
        word = left.pop(0)
        name, equals, value = word.replace(":=", "=").partition("=")
        if not word.startswith("-"):
            name, value = (name, value) if ":=" in word else (about.subject, word)
        elif not equals:
            value = left.pop(0) if left and not left[0].startswith("-") else "VALUE"
        near = _nearest(about, name)
        if near.startswith("--"):
            options += [near, value]
        elif near:
            parameters += ["-p", f"{near}:={value}"]
        else:
            return ""
    behind = [*parameters, *words[own + 1 :]]
    return shlex.join(
        [*about.command.split(), *options, *(["--ros-args", *behind] if behind else [])]
    )


def _nearest(about: NodeHelp, given: str) -> str:
    """The option or parameter that is most like what was given; empty if none is."""
    options = {option.lstrip("-"): option for option in about.options}
    names = {name.replace("_", "-"): name for name in about.all_names}
    known = names | options if given.startswith("-") else names
    near = difflib.get_close_matches(given.lstrip("-").replace("_", "-"), known, 1)
    return known[near[0]] if near else ""


def scalar(text: str) -> str:
    """`text` as the value of a parameter in ROS arguments, which rcl reads as YAML.

    Raises SettingsError for what is not UTF-8.
    """
    check_text([text])
    return quoted(text)


def as_parameters(words: Sequence[str], options: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The words with options such as `--server HOST:PORT` replaced by parameters.

    Raises SettingsError for an option without its value, and for a server that is not HOST:PORT.
    """
    own = words.index("--ros-args") if "--ros-args" in words else len(words)
    kept: list[str] = []
    set_: list[str] = []
    left = list(words[:own])
    while left:
        option, given, value = left.pop(0).partition("=")
        if option not in options:
            kept.append(option + given + value)
            continue
        if not given:
            value = left.pop(0) if left else ""
        names = options[option]
        if not value:
            raise SettingsError(f"{option}: got no value, expected one behind it")
        values = (scalar(value),) if len(names) == 1 else _host_and_port(value)
        set_ += [
            word for pair in zip(names, values, strict=True) for word in ("-p", ":=".join(pair))
        ]
    return [*kept, *(["--ros-args", *set_] if set_ else []), *words[own + bool(set_) :]]


def _host_and_port(server: str) -> tuple[str, str]:
    host, port = parse_place(server, lowest_port=1)
    return scalar(host), str(port)
