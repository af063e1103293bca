"""Run one benchmark, print its lines and goals, exit 1 when a goal is missed."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.paired import Report

BENCHES = (
    *("wire", "camera", "dds", "motion", "replay", "proxy", "client", "collision"),
    *("commit", "record", "convert", "watch", "web", "reaction", "jpeg", "pool"),
)
ROWS = ("all", "base", "fps", "cameras", "server", "apart")
_CHOICES = {
    "seconds": ("replay", "record", "watch", "reaction"),
    "rows": ("reaction",),
    "baseline": ("reaction",),
}
"""Option -> the benchmarks that have it."""


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=BENCHES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="of each variant of replay, record and watch, of each run of reaction",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="one short slice: whether it runs, no goal counts"
    )
    parser.add_argument("--rows", choices=ROWS, help="of reaction, all by default")
    parser.add_argument("--baseline", metavar="FOLDER", help="reaction: another checkout's node")
    options = parser.parse_args(arguments)
    given: dict[str, Any] = {}
    for choice, benches in _CHOICES.items():
        if (value := getattr(options, choice)) is None:
            continue
        if options.name not in benches:
            known = ", ".join(benches)
            parser.error(f"--{choice} is for {known}: {options.name} has no such choice")
        given[choice] = value
    if options.smoke:
        given["smoke"] = True
    report: Report = importlib.import_module(f"bench.{options.name}").run(**given)
    for line in (*report.lines, *map(str, report.targets)):
        print(line)
    if options.json:
        targets = [asdict(t) | {"passed": t.passed} for t in report.targets]
        document = {"name": report.name, "figures": report.figures, "targets": targets}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.smoke:
        print("a smoke run: too few samples to compare the figures with the goals")
        return 0
    return 0 if all(target.passed for target in report.targets) else 1


if __name__ == "__main__":
    sys.exit(main())
