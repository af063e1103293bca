"""gr00t embodiment new, validate, explain and schema: begins, checks and explains embodiment files.

Needs ROS only for --topics. `new` leaves a value open if no source states it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path

from gr00t_ros.command_line import (
    DONE,
    JSON_HELP,
    Command,
    CommandParser,
    number,
    program,
    run,
    status_of,
)
from gr00t_ros.dataset.embodiment_facts import read_dataset_meta
from gr00t_ros.dataset.embodiment_file import COPY
from gr00t_ros.errors import EmbodimentError, Gr00tError, SettingsError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import config_folders, load_embodiment
from gr00t_ros.robot.known import Known
from gr00t_ros.robot.questions import refuse_open, settled_names
from gr00t_ros.sidecar.ask import check_server
from gr00t_ros.sidecar.embodiment_skeleton import skeleton
from gr00t_ros.sidecar.target import Report, Target, add_server, questioning, target_of
from gr00t_ros.text_table import printable_lines
from gr00t_ros.tools.embodiment_schema import FILE_NAME, explained, schema_text
from gr00t_ros.tools.embodiment_tables import figures_of, summary

EMBODIMENT = Command(
    "",
    verbs={
        "new": Command(
            "begin a file from a dataset, a server and live topics", "tools.embodiment:new"
        ),
        "validate": Command(
            "what is wrong with a file, or what it says", "tools.embodiment:validate"
        ),
        "explain": Command("what a key means, wherever it may stand", "tools.embodiment:explain"),
        "schema": Command("print the JSON Schema of embodiment files", "tools.embodiment:schema"),
    },
    about="Embodiment files: begin one, check one, show what a key means.",
    example="gr00t embodiment validate my_robot.yaml",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status."""
    return run(EMBODIMENT, "gr00t embodiment", sys.argv[1:] if argv is None else argv)


def new(argv: Sequence[str]) -> int:
    """Begin an embodiment file."""
    parser = _parser(
        "new",
        "Begin an embodiment file; the keys of a live server win over the dataset's.",
        "--dataset FOLDER --topics --output my_robot.yaml",
    )
    add = parser.add_argument
    add("--dataset", metavar="FOLDER", help="GR00T dataset with meta/modality.json")
    add_server(parser)
    _add_topics(parser, "look at the ROS topics that are there")
    add("--robot", metavar="NAME", help="the robot's name")
    add("--tag", metavar="TAG", help="the embodiment tag")
    add("--output", metavar="FILE", help="a new file; else stdout")
    return _answer(parser, argv, _new)


def validate(argv: Sequence[str]) -> int:
    """Print what is wrong with a file, or what it says."""
    parser = _parser(
        "validate",
        "Check an embodiment file; with --server and --topics also against these.",
        "my_robot.yaml --server gpu:5555 --topics",
    )
    add = parser.add_argument
    add("embodiment", metavar="NAME|FILE", help="name of a shipped file, or path of your own")
    parser.instead["--embodiment"] = "NAME|FILE is its argument, without an option"
    add_server(parser)
    _add_topics(parser, "compare with the running robot")
    add("--settled", metavar="NAMES", default="", help="as the node's parameter: by comma")
    add("--json", action="store_true", help=JSON_HELP)
    return _answer(parser, argv, _validate)


def explain(argv: Sequence[str]) -> int:
    """Print what a key means."""
    parser = _parser(
        "explain",
        "Show where a key may stand in an embodiment file, its values and its meaning.",
        "margin",
    )
    parser.add_argument("key", metavar="KEY", help="name of the key")
    return _answer(parser, argv, _explain)


def schema(argv: Sequence[str]) -> int:
    """Print the JSON Schema."""
    parser = _parser(
        "schema",
        "Print the JSON Schema (draft 2020-12) of embodiment files, for editors.",
        "> embodiment.schema.json",
    )
    return _answer(parser, argv, _schema)


def _parser(verb: str, description: str, example: str) -> CommandParser:
    called = f"gr00t embodiment {verb}"
    return CommandParser(prog=called, description=description, example=f"{called} {example}")


def _add_topics(parser: CommandParser, text: str) -> None:
    parser.add_argument("--topics", action="store_true", help=text)
    parser.add_argument(
        "--seconds",
        type=number(0.1, 3600.0),
        metavar="S",
        default=4.0,
        help="time to look (%(default)s s)",
    )


def _answer(
    parser: CommandParser, argv: Sequence[str], verb: Callable[[argparse.Namespace], int]
) -> int:
    """Run one verb; an error goes to stderr, and into the JSON where that is asked for."""
    options = parser.parse_args(argv)
    try:
        return verb(options)
    except Gr00tError as error:
        print(f"{parser.prog}: {printable_lines(str(error))}", file=sys.stderr)
        if getattr(options, "json", False):
            Report({"problem": str(error), "kind": type(error).__name__}, "").show(True)
        return status_of(error)


_DISCOVERY = ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE")


def _schema(_: argparse.Namespace) -> int:
    print(schema_text(), end="")
    return DONE


def _explain(options: argparse.Namespace) -> int:
    print(explained(options.key))
    return DONE


def _new(options: argparse.Namespace) -> int:
    if not (options.dataset or _names_server(options)):
        raise SettingsError("new: got no source of keys, expected --dataset, --server or both")
    if _gives_back(options):
        return _give_back(options)
    modality, known, sources = _sources(options)
    served = _names_server(options)
    tag, robot = options.tag or known.tag, options.robot or known.robot
    begun = skeleton(modality, ", ".join(sources), tag, known, robot, served)
    _write(f"{_for_editors()}{begun}", options.output)
    if options.output:
        then = f"gr00t embodiment validate {options.output}"
        print(f"wrote {options.output}; fill in what it marks, then: {then}")
    return DONE


def _gives_back(options: argparse.Namespace) -> bool:
    """Whether the dataset has the embodiment file that it was converted with, and that is asked."""
    if not options.dataset or not (Path(options.dataset) / COPY).exists():
        return False
    others = [
        f"--{name}" for name in ("server", "topics", "robot", "tag") if getattr(options, name)
    ]
    if others:
        print(
            f"{options.dataset}: has the embodiment file that it was converted with ({COPY}); it "
            f"is not used, because of {', '.join(others)}",
            file=sys.stderr,
        )
    return not others


def _give_back(options: argparse.Namespace) -> int:
    """Write the dataset's own embodiment file as it is."""
    path = Path(options.dataset) / COPY
    load_embodiment(str(path))  # refuses what is none
    _write(path.read_bytes().decode(), options.output)
    wrote = f"wrote {options.output}" if options.output else "this"
    print(
        f"{wrote}: {path} as it is, the embodiment file that the dataset was converted with",
        file=sys.stdout if options.output else sys.stderr,
    )
    return DONE


def _write(text: str, output: str | None) -> None:
    """Write a new file, or to stdout."""
    if not output:
        print(text, end="")
        return
    try:
        with Path(output).open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise SettingsError(f"{output}: {error.strerror}") from error


def _for_editors() -> str:
    """The line by which an editor finds the schema of this installation; empty if it has none."""
    paths = (folder / FILE_NAME for folder in config_folders(""))
    path = next((path for path in paths if path.is_file()), None)
    return "" if path is None else f"# yaml-language-server: $schema={path}\n"


def _sources(options: argparse.Namespace) -> tuple[ModalityConfig, Known, list[str]]:
    modality: ModalityConfig = {}
    known, sources = Known(), []
    if options.dataset:
        modality, known = read_dataset_meta(options.dataset)
        sources.append(str(options.dataset))
    if _names_server(options):
        target = target_of(options)
        recorded, modality = modality, _ask(target)
        remarks = {**known.remarks, **_not_on_the_server(recorded, modality)}
        known = replace(known, remarks=remarks)
        sources.append(f"{target.host}:{target.port}")
    if options.topics:
        seen = _look(options.seconds)
        known = replace(
            known,
            cameras=seen.cameras,
            joint_topics=seen.joint_topics,
            controllers=seen.controllers,
            ranges=seen.ranges,
            positions=seen.positions,
            remarks=_all_remarks(known, seen),
        )
        sources.append("live topics")
    return modality, known, sources


def _all_remarks(known: Known, seen: Known) -> dict[str, tuple[str, ...]]:
    """The remarks of both by place; on the whole file also why a description was not read."""
    unread = {"": (seen.unreadable,)} if seen.unreadable else {}
    parts = (known.remarks, seen.remarks, unread)
    return {
        place: tuple(chain.from_iterable(part.get(place, ()) for part in parts))
        for place in dict.fromkeys(chain(*parts))
    }


def _not_on_the_server(
    recorded: ModalityConfig, served: ModalityConfig
) -> dict[str, tuple[str, ...]]:
    """A remark that names the dataset's keys that the server does not have; empty if none."""
    left = [
        f"{modality}.{key}"
        for modality, entry in recorded.items()
        for key in entry.keys
        if key not in (served[modality].keys if modality in served else ())
    ]
    text = f"the dataset has keys that the server does not have: {', '.join(left)}"
    return {"": (text,)} if left else {}


def _look(seconds: float) -> Known:
    try:
        from gr00t_ros.graph.traffic import survey
    except ImportError as error:
        raise SettingsError(f"--topics needs ROS 2 in this environment: {error}") from error
    known = survey(seconds)
    if not (known.cameras or known.joint_topics or known.controllers or known.description):
        seen = (f"{name} (here {os.environ.get(name, 'not set')})" for name in _DISCOVERY)
        raise SettingsError(
            f"--topics: in {seconds:g} s no message of a camera, joint states, a controller or "
            f"/robot_description: start the robot, and check that {' and '.join(seen)} are the "
            "robot's"
        )
    return known


def _names_server(options: argparse.Namespace) -> bool:
    return bool(options.server)


def _ask(target: Target) -> ModalityConfig:
    # The modality config is the same in both key styles, and no inference is made here.
    with questioning(), closing(target.client("nested")) as client:
        return client.connect().modality


def _validate(options: argparse.Namespace) -> int:
    embodiment = load_embodiment(options.embodiment)
    figures, texts = figures_of(embodiment), [summary(embodiment)]
    if not options.json:
        print(texts.pop(), flush=True)  # what the file says is shown also if something is wrong
    refuse_open(embodiment.unsettled, settled_names(options.settled), embodiment.source)
    status = DONE
    if options.topics:
        texts.append(_against_the_robot(embodiment, options.seconds))
    if _names_server(options):
        with questioning():
            compared = check_server(target_of(options))
        figures["server"], status = compared.figures, compared.status
        texts.append(compared.text)
    if options.json or texts:
        text = "\n\n".join(texts)
        Report(figures, text if options.json else f"\n{text}").show(options.json)
    return status


_OUTSIDE = "move the joint inside, or give it a smaller margin or its description's range"


def _against_the_robot(embodiment: Embodiment, seconds: float) -> str:
    """Compare with the limits and the chains of the robot's description, and its position.

    Returns what was compared. Raises EmbodimentError if the file contradicts one of them.
    """
    known = _look(seconds)
    from gr00t_ros.graph.limits import chain_problems, described_problems  # need ROS, as _look does

    found = described_problems(embodiment, known.ranges)
    found += (f"{line}: {_OUTSIDE}" for line in embodiment.limits.outside(known.positions))
    title = "not the limits of this robot" if found else "not compared with this robot"
    if known.unreadable:
        found.append(known.unreadable)
    if found:
        lines = "".join(f"\n- {line}" for line in found)
        raise EmbodimentError(f"{embodiment.source}: {title}:{lines}")
    chains = chain_problems(embodiment, known.description)
    if chains:
        lines = "".join(f"\n- {line}" for line in chains)
        raise EmbodimentError(f"{embodiment.source}: not the chains of this robot:{lines}")
    of = embodiment.limits.names
    sources = {"description": known.ranges, "joint states": known.positions}
    counts = (f"{sum(n in has for n in of)} in the {name}" for name, has in sources.items())
    compared = f"of {len(of)} joints: {', '.join(counts)}; all inside their limits"
    return "\n".join((compared, *(line for lines in known.remarks.values() for line in lines)))


if __name__ == "__main__":
    sys.exit(program(main))
