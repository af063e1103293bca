"""gr00t bag play, record and info: one command line; words after --ros-args go to ROS."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gr00t_ros.bags import info, play, record
from gr00t_ros.errors import Gr00tError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns 2, with one line on stderr, if it cannot run on this bag."""
    words = list(sys.argv[1:] if argv is None else argv)
    split = words.index("--ros-args") if "--ros-args" in words else len(words)
    options = _parser().parse_args(words[:split])
    try:
        if options.verb == "info":
            return info.main(options)
        verb = play if options.verb == "play" else record
        return verb.main(options, words[split:])
    except Gr00tError as error:
        print(f"gr00t bag: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gr00t bag",
        description="rosbag2 bags (sqlite3, MCAP) where ros2 bag is not there",
        epilog="example: gr00t bag info my_bag --embodiment franka_droid",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, text, module, example in (
        ("play", "publish a bag", play, "my_bag --clock"),
        ("record", "record topics until Ctrl-C", record, "my_bag --topics /joint_states /tf"),
        ("info", "what an embodiment finds in a bag", info, "my_bag --embodiment franka_droid"),
    ):
        epilog = f"example: gr00t bag {name} {example}"
        module.add_options(verbs.add_parser(name, help=text, description=text, epilog=epilog))
    return parser


if __name__ == "__main__":
    sys.exit(main())
