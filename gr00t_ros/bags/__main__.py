"""gr00t bag play, record, info and contact: the list of its verbs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gr00t_ros.command_line import DONE, Command, program, run

BAG = Command(
    "",
    verbs={
        "play": Command("publish a bag", "bags.play:main", DONE),
        "record": Command("record topics until Ctrl-C", "bags.record:main", DONE),
        "info": Command("what an embodiment finds in a bag", "bags.info:main"),
        "contact": Command("thresholds of contacts from a free motion", "bags.contact:main"),
    },
    about="rosbag2 bags (sqlite3, MCAP) where ros2 bag is not there.",
    example="gr00t bag info my_bag --embodiment franka_droid",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status."""
    return run(BAG, "gr00t bag", sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(program(main))
