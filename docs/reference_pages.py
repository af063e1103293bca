"""The pages of docs/reference, which are made from the code when the site is built.

They are not kept in git: parameters, messages and services, every command's --help, and the
interfaces of the pure rooms. docs/interfaces.md, watchdogs.md and others are made by
`gr00t_ros.tools.documents` and kept.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from gr00t_ros.command_line import DONE

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("robot", "observe", "motion", "collide", "watch", "session")
"""The pure rooms: what others may import without ROS, sockets or clocks."""
COPIES = {
    "architecture.md": "ARCHITECTURE.md",
    "contributing.md": "CONTRIBUTING.md",
    "small_policy.md": "examples/small_policy/README.md",
    "changelog.rst": "CHANGELOG.rst",
}
"""Pages of the site that lie elsewhere in the repository, where a reader of it looks for them."""
UNLISTED = {"record": ("info", "recover")}
"""Verbs that stand in no list of the help above them, only in its text."""


def write_pages(folder: Path) -> None:
    """Write each page that has changed, and remove pages that are no longer made."""
    folder.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        page, text = folder / name, make()
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
    for page in folder.iterdir():
        if page.name not in PAGES:
            page.unlink()


def parameters() -> str:
    """Every parameter of the policy node, one heading each."""
    from gr00t_ros.ros.parameters import PARAMETERS

    lines = [
        "# Parameters of the policy node",
        "",
        "Made from `gr00t_ros/ros/parameters.py`. The same as a file for `params_file:=`:",
        "[config/policy.yaml](../../config/policy.yaml).",
    ]
    for name, row in PARAMETERS.items():
        lines += ["", f"## {name}", "", f"{row.description}{row.when}", ""]
        lines.append(f"- default: `{json.dumps(row.default)}`")
        lines += [f"- range: {row.span}"] if row.span else []
    return "\n".join(lines) + "\n"


def messages() -> str:
    """The definitions of all messages and services, with their comments."""
    lines = ["# Messages and services", "", "Made from the files of `msg/` and `srv/`."]
    lines += ["Which topic or service has which type: [interfaces](../interfaces.md)."]
    for kind, title in (("msg", "Messages"), ("srv", "Services")):
        lines += ["", f"## {title}"]
        for file in sorted((ROOT / kind).iterdir()):
            lines += ["", f"### gr00t_ros/{kind}/{file.stem}", "", "```text"]
            lines += [file.read_text(encoding="utf-8").rstrip("\n"), "```"]
    return "\n".join(lines) + "\n"


def commands() -> str:
    """The --help of every command and verb."""
    from gr00t_ros.tools.gr00t import COMMANDS, following

    lines = [
        "# Commands",
        "",
        "The `--help` of each command. Exit statuses: [using](../using.md#exit-statuses).",
        "",
        _fenced(_help()),
    ]
    for name in COMMANDS:
        listed = _help(name)
        lines += ["", f"## gr00t {name}", "", _fenced(listed)]
        for verb in (*following([name]), *UNLISTED.get(name, ())):
            text = "" if verb.startswith("-") else _help(name, verb)
            if text not in ("", listed):  # a word that is no verb: refused, or one to read
                lines += ["", f"### gr00t {name} {verb}", "", _fenced(text)]
    return "\n".join(lines) + "\n"


def _help(*words: str) -> str:
    """What `gr00t WORDS --help` prints; empty if it is refused."""
    from gr00t_ros.tools.gr00t import main

    os.environ["COLUMNS"] = "100"  # argparse would take the width of the builder's terminal
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()):
        status = main([*words, "--help"])
    return text.getvalue().rstrip("\n") if status == DONE else ""


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```"


def room(name: str) -> Callable[[], str]:
    """What makes the page of one pure room: all its files by autodoc."""

    def make() -> str:
        package = ROOT / "gr00t_ros"
        about = (package / name / "__init__.py").read_text(encoding="utf-8").strip().strip('"')
        title = f"gr00t_ros.{name}"
        lines = [title, "=" * len(title), "", about.splitlines()[0] if about else ""]
        for file in sorted((package / name).rglob("*.py")):
            if file.name == "__init__.py":
                continue
            module = ".".join(file.relative_to(package.parent).with_suffix("").parts)
            short = module.removeprefix(f"gr00t_ros.{name}.")
            lines += ["", short, "-" * len(short), "", f".. automodule:: {module}"]
        return "\n".join(lines) + "\n"

    return make


def copy(name: str) -> Callable[[], str]:
    """What makes the copy of a page that lies elsewhere, with its links as they are from here."""

    def make() -> str:
        original = ROOT / COPIES[name]
        text = original.read_text(encoding="utf-8")
        return links_from(text, original.parent, ROOT / "docs" / "reference")

    return make


def links_from(text: str, old: Path, new: Path) -> str:
    """The text of a page whose links begin in the folder `old`, with links that begin in `new`.

    A link to the original of a copy becomes one to the copy.
    """
    copies = {(ROOT / place).resolve(): name for name, place in COPIES.items()}

    def moved(match: re.Match[str]) -> str:
        name, hash_sign, anchor = match[1].partition("#")
        target = (old / name).resolve()
        if not name or not target.exists():
            return match[0]
        if target in copies:
            target = ROOT / "docs" / "reference" / copies[target]
        return f"]({os.path.relpath(target, new)}{hash_sign}{anchor})"

    return re.sub(r"\]\(([^()\s]+)\)", moved, text)


PAGES: Mapping[str, Callable[[], str]] = {
    "parameters.md": parameters,
    "messages.md": messages,
    "commands.md": commands,
    **{name: copy(name) for name in COPIES},
    **{f"api_{name}.rst": room(name) for name in ROOMS},
}
