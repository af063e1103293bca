"""gr00t: all commands of this package as verbs of one, with help, version and shell completion.

`gr00t doctor` is the same as `gr00t-doctor` and `ros2 run gr00t_ros doctor`. The exit statuses are
those of command_line.py.
"""

from __future__ import annotations

from gr00t_ros.starting import starting

with starting(interrupted=130):  # the first import of what pip installs as gr00t
    import contextlib
    import io
    import re
    import sys
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gr00t_ros.command_line import DONE, MISUSE, Command, program, run

COMMANDS: Mapping[str, Command] = {
    "try": Command("try an embodiment file without a robot", "demo.try_robot:main"),
    "doctor": Command("what keeps the robot from being moved; nothing moves", "tools.doctor:main"),
    "embodiment": Command(
        "embodiment files: begin one, check one, show what a key means", "tools.embodiment:main"
    ),
    "sidecar": Command(
        "policy servers: serve one, start NVIDIA's, ask one that runs", "sidecar.__main__:main"
    ),
    "policy": Command("node: queries the policy, commands the controllers", "node.node:main", DONE),
    "autostart": Command(
        "node: configures and activates the policy node once it is ready",
        "tools.autostart:main",
        DONE,
    ),
    "operator": Command(
        "the running node: status, pause, resume, estop, reset, instruction, set",
        "tools.operator:main",
    ),
    "bag": Command("play, record and look into bags without ros2 bag", "bags.__main__:main"),
    "record": Command(
        "episodes of a robot as bags: record, list, repair", "record.__main__:main", DONE
    ),
    "trace": Command("from camera to controller: a Perfetto trace out of a bag", "bags.trace:main"),
    "web": Command(
        "a page in the browser: what the policy sees and does, buttons, e-stop",
        "web.__main__:main",
        DONE,
    ),
    "eval": Command(
        "a policy against recorded episodes, without a robot: open loop, report",
        "evaluate.__main__:main",
    ),
    "dataset": Command(
        "datasets: convert bags to one, look into one, check one", "convert.__main__:main"
    ),
    "layout": Command(
        "layouts of Foxglove, RViz, PlotJuggler and rqt for a robot", "layout.__main__:main"
    ),
    "scene": Command(
        "scene files of the collision check: check one, draw it, find pairs of links",
        "tools.scene:main",
    ),
    "sim": Command(
        "simulated robots",
        about="Nodes that take the place of a robot, or disturb one.",
        example="gr00t sim stand-in --embodiment ur5e_2f85",
        verbs={
            "robot": Command(
                "node: a simulated robot with its controllers", "sim.robot:main", DONE
            ),
            "stand-in": Command(
                "node: follows its commands, made from any embodiment file",
                "sim.stand_in.robot:main",
                DONE,
            ),
            "relay": Command("node: relays its topics and injects faults", "sim.relay:main", DONE),
            "libero": Command(
                "node: LIBERO's Panda, cameras and tasks (optional extra)",
                "sim.libero.robot:main",
                DONE,
            ),
            "libero-policy": Command(
                "policy server: does libero_object without weights", "sim.libero.policy:main"
            ),
        },
    ),
    "stream": Command(
        "nodes that play windows where no trajectory controller does",
        about="Nodes that play the policy node's windows where no trajectory controller does.",
        example="gr00t stream commands --embodiment my_robot.yaml",
        verbs={
            "joints": Command(
                "node: joint windows as points of a forward controller", "stream.joints:main", DONE
            ),
            "commands": Command(
                "node: grippers, bases and poses as messages or goals", "stream.commands:main", DONE
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


_STOPS = ("estop", "pause")
_OPERATOR_VERBS = (*_STOPS, "status", "watch", "resume", "reset", "instruction", "set")
"""Verbs of `gr00t operator` that a person in a hurry types without it."""

_GR00T = Command(
    "",
    verbs=COMMANDS,
    about="Every command of gr00t_ros. `gr00t --version` shows the version.",
    example="gr00t try my_robot.yaml",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `gr00t VERB ...`; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    return program(lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    own = words[: words.index("--ros-args")] if "--ros-args" in words else words
    if "--version" in own:
        from gr00t_ros import __version__

        print(f"gr00t_ros {__version__}")
        return DONE
    if words and words[0] in _OPERATOR_VERBS:
        print(f"gr00t: no verb {words[0]!r}; type: gr00t operator {words[0]}", file=sys.stderr)
        if words[0] in _STOPS:
            print("NOTHING WAS STOPPED: press the robot's hardware e-stop!", file=sys.stderr)
        return MISUSE
    return run(_GR00T, "gr00t", words)


def alias() -> int:
    """Run the command after whose name this program is called, such as gr00t-doctor."""
    name = Path(sys.argv[0]).name.removeprefix("gr00t-").replace("_", "-")
    return main([*ALIASES.get(name, (name,)), *sys.argv[1:]])


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
        return DONE
    if words and words[0] in ("-h", "--help"):
        print(_COMPLETION_USAGE)
        return DONE
    script = _SCRIPTS.get(words[0]) if len(words) == 1 else None
    if script is None:
        print(_COMPLETION_USAGE, file=sys.stderr)
        return MISUSE
    print(script, end="")
    return DONE


_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_CHOICES = re.compile(r"\{([\w,-]+)\}")
_VERB = re.compile(r"^ {2,4}([a-z][\w-]*)(?: \([\w, -]+\))?(?: {2,}|$)", re.MULTILINE)
"""A verb in a list of verbs; its other names follow in parentheses, as those of `estop`."""


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
        status = _run([*verbs, "--help"])
    return text.getvalue() if status == DONE else ""


if __name__ == "__main__":
    sys.exit(main())
