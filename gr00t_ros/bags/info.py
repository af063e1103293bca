"""gr00t-bag info: what a bag holds, and whether that is all that an embodiment needs."""

from __future__ import annotations

import argparse

from gr00t_ros.bags.bag import Bag, open_bag
from gr00t_ros.bags.needed import Finding, compare_bag
from gr00t_ros.sidecar.embodiment_file import load_embodiment


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what the command line takes."""
    parser.add_argument("bag", help="folder of the bag, or a single .db3 or .mcap file")
    parser.add_argument(
        "--embodiment", required=True, metavar="NAME", help="name or path of an embodiment file"
    )


def main(options: argparse.Namespace) -> int:
    """Print the table; 1 if something is missing. Raises BagError and EmbodimentError."""
    embodiment = load_embodiment(options.embodiment)
    with open_bag(options.bag) as bag:
        findings = compare_bag(bag, embodiment)
        print("\n".join(_report(bag, findings)))
    return int(any(finding.problem for finding in findings))


def _report(bag: Bag, findings: tuple[Finding, ...]) -> list[str]:
    needed = {finding.topic for finding in findings}
    others = [topic.name for topic in bag.topics if topic.name not in needed]
    wrong = sum(1 for finding in findings if finding.problem)
    verdict = f"{wrong} of {len(findings)} topics missing" if wrong else "all topics are there"
    return [
        f"{(bag.end_ns - bag.start_ns) * 1e-9:.3f} s, {verdict}",
        *(_line(finding) for finding in findings),
        *([f"not needed: {', '.join(others)}"] if others else []),
    ]


def _line(finding: Finding) -> str:
    readers = ", ".join(finding.readers)
    if finding.found is None:
        return f"  {finding.topic}: MISSING (for {readers})"
    found = finding.found
    counted = f"{found.count} messages, {finding.rate_hz:.1f} Hz, {found.type_name}"
    problem = f" WRONG: {finding.problem}" if finding.problem else ""
    return f"  {finding.topic}: {counted} (for {readers}){problem}"
