"""gr00t dataset convert, info and validate: the list of its verbs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gr00t_ros.command_line import Command, program, run

DATASET = Command(
    "",
    verbs={
        "convert": Command("recorded episodes and bags as a dataset", "convert.command:main"),
        "info": Command("what a dataset holds", "convert.info:main"),
        "validate": Command("find a dataset's faults", "convert.validate:main"),
    },
    about="Datasets of episodes in GR00T's flavour of LeRobot v2.1, and in LeRobot v3.0.",
    example="gr00t dataset convert my_recording --output my_dataset",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status."""
    return run(DATASET, "gr00t dataset", sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(program(main))
