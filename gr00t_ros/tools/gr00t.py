"""gr00t: all commands of this package as verbs of one, with help, version and shell completion.

`gr00t doctor` is the same as `gr00t-doctor` and `ros2 run gr00t_ros doctor`. Exit statuses: 0 done,
1 the answer is no, 2 wrong usage or the command could not run; nodes end with 0 at Ctrl-C.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from gr00t_ros.starting import starting

OK, MISUSE, INTERRUPTED = 0, 2, 130
CLOSED_PIPE = 141
"""As a shell reports a program that SIGPIPE ended: its reader, such as `head`, has gone."""


@dataclass(frozen=True, slots=True)
class Command:
    """One verb. place: MODULE:FUNCTION below gr00t_ros, imported only when it runs.

    interrupted: the exit status at Ctrl-C while it starts. verbs: its own commands, if `place` does
    not list them itself.
    """

    text: str
    place: str = ""
    interrupted: int = INTERRUPTED
    verbs: Mapping[str, Command] | None = None


COMMANDS: Mapping[str, Command] = {
    "try": Command("try an embodiment file without a robot", "demo.try_robot:main"),
    "doctor": Command("what keeps the robot from being moved; nothing moves", "tools.doctor:main"),
    "embodiment": Command(
        "embodiment files: begin one, check one, show what a key means", "tools.embodiment:main"
    ),
    "sidecar": Command(
        "policy servers: serve one, start NVIDIA's, ask one that runs", "sidecar.__main__:main"
    ),
    "policy": Command("node: queries the policy, commands the controllers", "node.node:main", OK),
    "autostart": Command(
        "node: configures and activates the policy node once it is ready",
        "tools.autostart:main",
        OK,
    ),
    "operator": Command(
        "the running node: status, pause, resume, estop, reset, instruction, set",
        "tools.operator:main",
    ),
    "bag": Command("play, record and look into bags without ros2 bag", "bags.__main__:main"),
    "sim": Command(
        "simulated robots",
        verbs={
            "robot": Command("node: a simulated robot with its controllers", "sim.robot:main", OK),
            "stand-in": Command(
                "node: follows its commands, made from any embodiment file",
                "sim.stand_in.robot:main",
                OK,
            ),
            "relay": Command("node: relays its topics and injects faults", "sim.relay:main", OK),
        },
    ),
    "stream": Command(
        "nodes that play windows where no trajectory controller does",
        verbs={
            "joints": Command(
                "node: joint windows as points of a forward controller", "stream.joints:main", OK
            ),
            "commands": Command(
                "node: grippers, bases and poses as messages or goals", "stream.commands:main", OK
            ),
        },
    ),
    "completion": Command(
        "script for the shell: source <(gr00t completion bash|zsh)", "tools.gr00t:completion"
    ),
}

ALIASES: Mapping[str, tuple[str, ...]] = {
    "sim-robot": ("sim", "robot"),
    "sim-relay": ("sim", "relay"),
    "streamer": ("stream", "joints"),
    "command-streamer": ("stream", "commands"),
}
"""Commands whose own name differs from the verb: gr00t-NAME, and `ros2 run` with underscores."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `gr00t VERB ...`; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    with _closed_pipe() as ended:
        ended.status = _run(COMMANDS, ("gr00t",), words)
    return ended.status


def alias() -> int:
    """Run the command after whose name this program is called, such as gr00t-doctor."""
    name = Path(sys.argv[0]).name.removeprefix("gr00t-").replace("_", "-")
    return main([*ALIASES.get(name, (name,)), *sys.argv[1:]])


def version() -> str:
    """The version in package.xml: of this checkout, else of what is installed."""
    from gr00t_ros.robot.files import config_folders

    files = (folder.parents[1] / "package.xml" for folder in config_folders("embodiments"))
    found = (ElementTree.parse(file).findtext("version") for file in files if file.is_file())
    return next(found, None) or "unknown"


def _run(commands: Mapping[str, Command], path: tuple[str, ...], words: Sequence[str]) -> int:
    first, rest = (words[0], list(words[1:])) if words else ("", [])
    if first == "--version":
        print(f"gr00t_ros {version()}")
        return OK
    if first in ("-h", "--help"):
        print(_usage(commands, path))
        return OK
    if first not in commands:
        print(_refusal(commands, path, first), file=sys.stderr)
        return MISUSE
    command = commands[first]
    if command.verbs is not None:
        return _run(command.verbs, (*path, first), rest)
    own = rest[: rest.index("--ros-args")] if "--ros-args" in rest else rest
    if "--version" in own:
        return _run(commands, path, ["--version"])
    return _call(command, rest)


def _call(command: Command, words: Sequence[str]) -> int:
    module, _, name = command.place.partition(":")
    with starting(command.interrupted):
        run = getattr(importlib.import_module(f"gr00t_ros.{module}"), name)
    try:
        return int(run(words))
    except SystemExit as end:  # argparse: its usage, or --help
        return end.code if isinstance(end.code, int) else OK
    except KeyboardInterrupt:
        return INTERRUPTED


def _usage(commands: Mapping[str, Command], path: tuple[str, ...]) -> str:
    called = " ".join(path)
    lines = [f"usage: {called} VERB [OPTIONS]", ""]
    lines += [f"  {name:12} {command.text}" for name, command in commands.items()]
    more = f"`{called} VERB --help` shows its options and an example."
    if len(path) == 1:
        more += " `gr00t --version` shows the version."
    return "\n".join([*lines, "", more])


def _refusal(commands: Mapping[str, Command], path: tuple[str, ...], word: str) -> str:
    called = " ".join(path)
    if not word:
        return _usage(commands, path)
    near = difflib.get_close_matches(word, commands, 1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(commands)}"
    return f"{called}: got {word!r:.60}, no verb of it; {hint}"


class _Ended:
    status = OK


@contextlib.contextmanager
def _closed_pipe() -> Iterator[_Ended]:
    """End quietly where the reader of stdout has gone, such as `| head`."""
    ended = _Ended()
    try:
        yield ended
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer would raise again when the interpreter flushes it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        ended.status = CLOSED_PIPE


# --- completion ------------------------------------------------------------------------------

_BASH = """\
_gr00t() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(gr00t completion --words "${COMP_WORDS[@]:1:COMP_CWORD-1}")" \\
        -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _gr00t gr00t
"""
_SCRIPTS = {"bash": _BASH, "zsh": "autoload -U +X bashcompinit && bashcompinit\n" + _BASH}
_COMPLETION_USAGE = """\
usage: gr00t completion {bash,zsh}

Print the completion script of a shell. Add to ~/.bashrc: source <(gr00t completion bash)"""


def completion(words: Sequence[str]) -> int:
    """Print a shell's script; with --words, the words that may follow those given."""
    if words and words[0] == "--words":
        print("\n".join(following(words[1:])))
        return OK
    if words and words[0] in ("-h", "--help"):
        print(_COMPLETION_USAGE)
        return OK
    script = _SCRIPTS.get(words[0]) if len(words) == 1 else None
    if script is None:
        print(_COMPLETION_USAGE, file=sys.stderr)
        return MISUSE
    print(script, end="")
    return OK


_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_CHOICES = re.compile(r"\{([\w,-]+)\}")
_VERB = re.compile(r"^ {2,4}([a-z][\w-]*)(?: {2,}|$)", re.MULTILINE)


def following(words: Sequence[str]) -> list[str]:
    """Verbs and options that may follow `words`, read from the help of the command they name."""
    verbs = [word for word in words if not word.startswith("-")][:2]
    for count in (2, 1, 0):
        help_text = _help_of(verbs[:count]) if len(verbs) >= count else ""
        if help_text:
            break
    found = [*_VERB.findall(help_text), *_OPTION.findall(help_text)]
    for choices in _CHOICES.findall(help_text):
        found += choices.split(",")
    return sorted(set(found))


def _help_of(verbs: Sequence[str]) -> str:
    """What --help prints after these verbs; empty if it is refused."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()):
        status = _run(COMMANDS, ("gr00t",), [*verbs, "--help"])
    return text.getvalue() if status == OK else ""


if __name__ == "__main__":
    sys.exit(main())
