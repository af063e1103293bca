"""How each verb of gr00t bag reads its words and ends; words after --ros-args go to ROS."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from gr00t_ros.command_line import CommandParser, fail
from gr00t_ros.errors import Gr00tError


def parser_of(verb: str, description: str, example: str) -> CommandParser:
    """Return the parser of one verb."""
    called = f"gr00t bag {verb}"
    return CommandParser(prog=called, description=description, example=f"{called} {example}")


def add_bag(parser: CommandParser) -> None:
    """Add the argument that names a bag that is there."""
    parser.add_argument(
        "bag", metavar="BAG", help="folder of the bag, or a single .db3 or .mcap file"
    )


def answer(
    parser: CommandParser,
    words: Sequence[str],
    verb: Callable[[argparse.Namespace, Sequence[str]], int],
) -> int:
    """Run the verb with its options and ROS arguments; a Gr00tError ends it with one message."""
    split = words.index("--ros-args") if "--ros-args" in words else len(words)
    options = parser.parse_args(words[:split])
    try:
        return verb(options, words[split:])
    except Gr00tError as error:
        return fail(parser.prog, error)
