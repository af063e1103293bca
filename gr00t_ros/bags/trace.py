"""gr00t trace: a Perfetto trace out of the flows of observations in a bag."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rclpy.serialization import deserialize_message

from gr00t_ros.bags.bag import open_bag
from gr00t_ros.bags.verb import add_bag, answer
from gr00t_ros.command_line import DONE, CommandParser
from gr00t_ros.errors import BagError
from gr00t_ros.msg import ObservationFlow
from gr00t_ros.ros.flow_messages import flow_of_message
from gr00t_ros.ros.pulled import graph_name
from gr00t_ros.trace.flow import Flow
from gr00t_ros.trace.perfetto_file import refuse_path, write_trace

TOPIC = "flows"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the trace and print what it holds; returns the exit status."""
    parser = CommandParser(
        prog="gr00t trace",
        description="Writes a Perfetto trace of the flows of observations in a bag: from camera to "
        "controller, one track for each thread. Open it at https://ui.perfetto.dev.",
        notes="The bag must hold the policy node's topic ~/flows. A running node writes a trace "
        "itself:\nros2 service call /gr00t_policy/trace gr00t_ros/srv/Trace '{seconds: 10}'",
        example="gr00t trace my_bag --output my_bag.pftrace",
    )
    add_bag(parser)
    parser.add_argument(
        "--output", metavar="FILE", required=True, help="the new file, which ends with .pftrace"
    )
    return answer(parser, sys.argv[1:] if argv is None else argv, _trace)


def _trace(options: argparse.Namespace, _ros_arguments: Sequence[str]) -> int:
    path = Path(options.output)
    refuse_path(path)
    flows = flows_of(options.bag)
    write_trace(path, flows)
    counts = Counter(flow.outcome for flow in flows)
    parts = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    print(f"{path}: {len(flows)} observations ({parts})")
    return DONE


def flows_of(bag: str) -> list[Flow]:
    """The flows in a bag, in the order in which they ended. Raises BagError without any.

    They are numbered anew: a node that was configured again began again at 1.
    """
    with open_bag(bag) as opened:
        wanted = graph_name(ObservationFlow)
        topics = {topic.name for topic in opened.topics if topic.type_name == wanted}
        messages = [one.data for one in opened.messages(topics)] if topics else []
    if not messages:
        raise BagError(
            f"{bag}: no flow of an observation is in it, expected the node's topic ~/{TOPIC} "
            f"({wanted}): record it with the others"
        )
    found = [flow_of_message(deserialize_message(data, ObservationFlow)) for data in messages]
    return [replace(flow, number=number) for number, flow in enumerate(found, 1)]


if __name__ == "__main__":
    sys.exit(main())
