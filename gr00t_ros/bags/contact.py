"""gr00t bag contact: thresholds of contacts, proposed from a bag with a free motion.

The proposal is the largest residual of each value in the bag, times a margin. The bag must have the
motion that the robot will make, at its speed and with its payload, without a contact.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from rclpy.serialization import deserialize_message

from gr00t_ros.bags.bag import Bag, open_bag
from gr00t_ros.bags.message_types import message_class
from gr00t_ros.bags.verb import add_bag, answer, parser_of
from gr00t_ros.collide.dynamics import InverseDynamics
from gr00t_ros.command_line import DONE, JSON_HELP, NO, number
from gr00t_ros.errors import ObservationError, SettingsError
from gr00t_ros.graph.limits import DESCRIPTION
from gr00t_ros.inputs.contact import MESSAGES, ContactReader
from gr00t_ros.robot.contact.sources import ContactSource
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros.pulled import graph_name
from gr00t_ros.sidecar.target import add_embodiment
from gr00t_ros.text_table import table
from gr00t_ros.watch.contact import FreeMotion, Proposal

MARGIN = 2.0


def main(words: Sequence[str]) -> int:
    """Print thresholds for each source; 1 if there are none for one of them."""
    text = (
        "Thresholds of contacts from a bag with a free motion: the largest residual of each joint "
        "times a margin. Record the motion that the robot will make, with its payload, without a "
        "contact."
    )
    parser = parser_of("contact", text, "my_bag --embodiment my_robot.yaml")
    add_bag(parser)
    add_embodiment(parser, by_tag=False)
    parser.add_argument(
        "--margin",
        type=number(1.0, 10.0),
        default=MARGIN,
        help="times the largest residual (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help=JSON_HELP)
    return answer(parser, words, _contact)


def _contact(options: argparse.Namespace, _ros_arguments: Sequence[str]) -> int:
    embodiment = load_embodiment(options.embodiment)
    sources = [source for source in embodiment.contacts if source.type != "flag"]
    if not sources:
        raise SettingsError(
            f"{embodiment.source}: got no source of torques, forces or efforts below contact, "
            "expected one to find thresholds for (docs/collision.md, Contact)"
        )
    with open_bag(options.bag) as bag:
        dynamics = _dynamics(bag, sources)
        found = [propose(bag, source, options.margin, dynamics) for source in sources]
    if options.json:
        print(json.dumps({"margin": options.margin, "sources": list(map(_figures, found))}))
    else:
        print("\n\n".join(_text(one, options.margin) for one in found))
    return NO if any(one.problem for one in found) else DONE


def propose(
    bag: Bag, source: ContactSource, margin: float, dynamics: InverseDynamics | None
) -> Proposal:
    """Thresholds from all messages of a source in a bag."""
    motion, read = FreeMotion(source), ContactReader(source)
    for message, time_ns in _messages(bag, source):
        try:
            found = read(message, dynamics)
        except ObservationError as error:
            motion.refuse(str(error))
        else:
            if found is not None:
                motion.take(time_ns, found.values, found.columns)
    return motion.propose(margin)


def _messages(bag: Bag, source: ContactSource) -> Any:
    """The messages of a source's topic with their bag times, ns; none of another type."""
    types = {graph_name(each): each for each in MESSAGES[source.type]}
    topic = next((one for one in bag.topics if one.name == source.topic), None)
    if topic is None or topic.type_name not in types:
        return
    for one in bag.messages([source.topic]):
        yield deserialize_message(one.data, types[topic.type_name]), one.time_ns


def _dynamics(bag: Bag, sources: Sequence[ContactSource]) -> InverseDynamics | None:
    """The dynamics of the recorded description; None if no source needs it."""
    if all(source.type != "effort" for source in sources):
        return None
    for one in bag.messages([DESCRIPTION]):
        text = deserialize_message(one.data, message_class("std_msgs/msg/String")).data
        return InverseDynamics(text, DESCRIPTION)
    raise SettingsError(
        f"the bag has no message of {DESCRIPTION}, expected the description with the masses: "
        "record it with the efforts"
    )


def _figures(found: Proposal) -> dict[str, object]:
    source = found.source
    return {
        "name": source.name,
        "topic": source.topic,
        "unit": source.unit,
        "messages": found.samples,
        "names": list(found.names),
        "largest": list(found.largest),
        "bias": list(found.bias),
        "proposed": list(found.proposed),
        "present": list(source.thresholds),
        "problem": found.problem,
    }


def _text(found: Proposal, margin: float) -> str:
    source = found.source
    head = f"{source.name}: {source.topic}, {found.samples} messages"
    if found.problem:
        return f"{head}\n  no thresholds: {found.problem}"
    unit, names = source.unit, found.names
    columns = ("joint", f"largest {unit}", f"proposed {unit}", f"in the file {unit}")
    present = [f"{value:g}" for value in source.thresholds] or [""] * len(names)
    cells = zip(names, found.largest, found.proposed, present, strict=True)
    rows = [(name, f"{most:.2f}", f"{new:g}", old) for name, most, new, old in cells]
    key = "threshold" if source.type == "wrench" else "thresholds"
    new = f"{found.proposed[0]:g}" if key == "threshold" else str(list(found.proposed))
    lines = [f"    {key}: {new}", f"    source: {margin:g} times the largest of a free motion"]
    return "\n".join([head, table(columns, rows), f"contact.{source.name}:", *lines])
