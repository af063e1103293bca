"""gr00t record: records episodes of a robot; info and recover: of what was recorded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gr00t_ros.command_line import MISUSE, CommandParser, fail, program
from gr00t_ros.errors import Gr00tError
from gr00t_ros.robot.data_file import options_problem
from gr00t_ros.ros.node_help import scalar
from gr00t_ros.ros.policy_node import POLICY_NAME
from gr00t_ros.sidecar.target import add_embodiment

EXAMPLE = "gr00t record my_recording --embodiment franka_droid"
_OPTIONS = ("embodiment", "instruction", "episodes", "policy_node", "min_free_gb", "topics")
"""Options that stand for parameters of the node, beside the folder."""


def main(argv: Sequence[str] | None = None) -> int:
    """Record, or run the verb that the first word names; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb = VERBS.get(words[0]) if words else None
    return verb(words[1:]) if verb is not None else _answer("gr00t record", _record, words)


def _record(words: Sequence[str]) -> int:
    split = words.index("--ros-args") if "--ros-args" in words else len(words)
    parser = _parser()
    options = parser.parse_args(words[:split])
    if problem := options_problem(vars(options)):
        parser.error(problem)
    from gr00t_ros.record.node import RecordNode, leave
    from gr00t_ros.record.terminal import Terminal, is_terminal
    from gr00t_ros.ros.process import run_node

    arguments = _ros_arguments(options, words[split + 1 :])
    if options.no_screen or not is_terminal():
        return run_node(RecordNode, arguments, leave)
    with Terminal() as terminal:
        quiet = [*arguments, "--disable-stdout-logs"]  # the screen shows the last lines
        return run_node(lambda: terminal.show(RecordNode()), quiet, leave)


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="gr00t record",
        description="Records episodes of one robot: topics of its embodiment file, action chunks, "
        "status, windows, and who commanded it. Begin and end episodes by keys in this terminal, "
        "by services of the node gr00t_record, or by the policy node's own episodes.",
        notes="`gr00t record info DIR` lists the episodes of a recording, `gr00t record recover\n"
        "DIR` repairs those whose recorder was killed. ROS arguments follow --ros-args.",
        example=EXAMPLE,
    )
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of the recording: created, or gone on in")
    add_embodiment(parser, by_tag=False)
    add("--teleop", action="store_true", help="no policy: all commands are a person's")
    text = "who begins and ends episodes: keys and services, or the policy node"
    add("--episodes", choices=("operator", "policy"), help=text)
    add("--instruction", metavar="TEXT", help="what the episodes show (the policy node's)")
    add("--policy-node", metavar="NAME", help=f"the policy node's name ({POLICY_NAME})")
    add("--topics", nargs="+", metavar="TOPIC", help="further topics to record")
    add("--min-free-gb", type=float, metavar="GB", help="least free disk (5)")
    add("--use-sim-time", action="store_true", help="bag time is /clock: for simulated robots")
    add("--no-screen", action="store_true", help="log lines instead of screen and keys")
    return parser


def _ros_arguments(options: Any, given: Sequence[str]) -> list[str]:
    """The options as parameters of the node; those that were given as ROS arguments come last."""
    values = {name: getattr(options, name) for name in _OPTIONS}
    if values["topics"] is not None:
        values["topics"] = " ".join(values["topics"])
    values = {"folder": options.folder, **values}
    words = ["--ros-args"]
    for name, value in values.items():
        if value is not None:
            text = scalar(value) if isinstance(value, str) else repr(value)
            words += ["-p", f"{name}:={text}"]
    for name in ("teleop", "use_sim_time"):
        if getattr(options, name):
            words += ["-p", f"{name}:=true"]
    return [*words, *given]


def _info(words: Sequence[str]) -> int:
    from gr00t_ros.record.info import main as run

    return _answer("gr00t record info", run, words)


def _recover(words: Sequence[str]) -> int:
    from gr00t_ros.record.recover import main as run

    return _answer("gr00t record recover", run, words)


def _answer(called: str, run: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    try:
        return run(words)
    except Gr00tError as error:
        return fail(called, error)
    except OSError as error:
        print(f"{called}: {error}", file=sys.stderr)
        return MISUSE


VERBS: Mapping[str, Callable[[Sequence[str]], int]] = {"info": _info, "recover": _recover}


if __name__ == "__main__":
    sys.exit(program(main))
