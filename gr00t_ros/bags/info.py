"""gr00t bag info: what a bag holds, and whether it has every topic that an embodiment needs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass

from gr00t_ros.bags.bag import Bag, BagTopic, open_bag
from gr00t_ros.bags.message_types import type_name
from gr00t_ros.bags.verb import add_bag, answer, parser_of
from gr00t_ros.command_line import DONE, JSON_HELP, NO
from gr00t_ros.graph.limits import DESCRIPTION
from gr00t_ros.inputs.controller_state import STATE_TYPES
from gr00t_ros.inputs.readings import READS, kind
from gr00t_ros.robot.described import unknown_chains
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.streams import StateStream, Stream
from gr00t_ros.sidecar.target import add_embodiment

_TF: dict[str, tuple[str, ...]] = dict.fromkeys(("/tf", "/tf_static"), ("tf2_msgs/msg/TFMessage",))

_DESCRIPTION: dict[str, tuple[str, ...]] = {DESCRIPTION: ("std_msgs/msg/String",)}


@dataclass(frozen=True, slots=True)
class TopicFinding:
    """One topic: `readers` are its streams and controllers; `problem` is empty if there is none."""

    topic: str
    readers: tuple[str, ...]
    found: BagTopic | None
    rate_hz: float
    problem: str


def needed_topics(embodiment: Embodiment) -> dict[str, tuple[str, ...]]:
    """Topic -> its possible message types, for all streams and controller states.

    Includes robot_description if only that can give the chain of a stream or the workspace.
    """
    topics = {
        topic: types
        for stream in embodiment.streams
        for name in stream.topics
        for topic, types in _read_from(stream, name).items()
    }
    if unknown_chains(embodiment):
        topics |= _DESCRIPTION
    controllers = tuple(type_name(one) for one in STATE_TYPES)
    return topics | {output.state_topic: controllers for output in embodiment.outputs}


def compare_bag(bag: Bag, embodiment: Embodiment) -> tuple[TopicFinding, ...]:
    """Each needed topic as the bag has it; the rate is the average over the bag's whole span."""
    found = {topic.name: topic for topic in bag.topics}
    span_s = (bag.end_ns - bag.start_ns) * 1e-9
    return tuple(
        _finding(topic, types, embodiment, found.get(topic), span_s)
        for topic, types in needed_topics(embodiment).items()
    )


def _finding(
    topic: str,
    types: tuple[str, ...],
    embodiment: Embodiment,
    found: BagTopic | None,
    span_s: float,
) -> TopicFinding:
    streams = [one.key for one in embodiment.streams if topic in _topics(one)]
    if topic in _DESCRIPTION and unknown_chains(embodiment):
        streams.append("workspace")
    outputs = [f"controller {one.name}" for one in embodiment.outputs if one.state_topic == topic]
    problem, rate_hz = "", 0.0
    if found is None:
        problem = "missing"
    elif found.problem:
        problem = found.problem
    elif found.type_name not in types:
        problem = f"wrong type, expected {' or '.join(types)}"
    elif found.count == 0:
        problem = found.difference or "no message"
    else:
        problem = found.difference if found.lost else ""
        rate_hz = found.count / span_s if span_s > 0.0 else 0.0
    return TopicFinding(topic, (*streams, *outputs), found, rate_hz, problem)


def _topics(stream: Stream) -> tuple[str, ...]:
    """All topics of the bag from which a stream is read."""
    return tuple(topic for name in stream.topics for topic in _read_from(stream, name))


def _read_from(stream: Stream, name: str) -> dict[str, tuple[str, ...]]:
    """Topic -> types for one of a stream's topics; tf2 reads two topics.

    Kinematics also need robot_description if the file has no chain.
    """
    if kind(stream) == "tf":
        return _TF
    types: dict[str, tuple[str, ...]] = {name: (type_name(READS[kind(stream)][0]),)}
    if isinstance(stream, StateStream) and stream.source == "kinematics" and stream.chain is None:
        types |= _DESCRIPTION
    return types


def main(words: Sequence[str]) -> int:
    """Print what an embodiment finds in a bag; 1 if something is missing."""
    text = "What a bag holds, and whether it has every topic that an embodiment needs."
    parser = parser_of("info", text, "my_bag --embodiment franka_droid")
    add_bag(parser)
    add_embodiment(parser, by_tag=False)
    parser.add_argument("--json", action="store_true", help=JSON_HELP)
    return answer(parser, words, _info)


def _info(options: argparse.Namespace, _ros_arguments: Sequence[str]) -> int:
    embodiment = load_embodiment(options.embodiment)
    with open_bag(options.bag) as bag:
        findings = compare_bag(bag, embodiment)
        text = (
            json.dumps(_figures(bag, findings), indent=1)
            if options.json
            else "\n".join(_report(bag, findings))
        )
        print(text)
    return NO if any(finding.problem for finding in findings) else DONE


def _figures(bag: Bag, findings: tuple[TopicFinding, ...]) -> dict[str, object]:
    """The report for programs."""
    return {
        "seconds": (bag.end_ns - bag.start_ns) * 1e-9,
        "topics": [
            {
                "topic": one.topic,
                "readers": list(one.readers),
                "type": one.found.type_name if one.found else "",
                "messages": one.found.count if one.found else 0,
                "rate_hz": one.rate_hz,
                "problem": one.problem,
            }
            for one in findings
        ],
    }


def _report(bag: Bag, findings: tuple[TopicFinding, ...]) -> list[str]:
    needed = {finding.topic for finding in findings}
    others = [topic.name for topic in bag.topics if topic.name not in needed]
    wrong = sum(1 for finding in findings if finding.problem)
    verdict = f"{wrong} of {len(findings)} topics missing" if wrong else "all topics are there"
    return [
        f"{(bag.end_ns - bag.start_ns) * 1e-9:.3f} s, {verdict}",
        *(_line(finding) for finding in findings),
        *([f"not needed: {', '.join(others)}"] if others else []),
    ]


def _line(finding: TopicFinding) -> str:
    readers = ", ".join(finding.readers)
    if finding.found is None:
        return f"  {finding.topic}: MISSING (for {readers})"
    found = finding.found
    counted = f"{found.count} messages, {finding.rate_hz:.1f} Hz, {found.type_name}"
    problem = f" WRONG: {finding.problem}" if finding.problem else ""
    return f"  {finding.topic}: {counted} (for {readers}){problem}"
