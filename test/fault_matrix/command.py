"""./dev faults: runs the matrix and writes docs/faults.md; exits 1 if a reaction differs."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fault_matrix.document import document
from fault_matrix.row import Group
from fault_matrix.runner import Outcome, run_group
from fault_matrix.table import GROUPS, SHORT

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows that the command line names; only a complete run writes the document."""
    options = _options(arguments)
    groups = [
        group for group in map(_chosen(options), SHORT if options.short else GROUPS) if group.faults
    ]
    ran: list[tuple[Group, list[Outcome]]] = []
    for group in groups:
        print(f"--- {group.name}: {len(group.faults)} faults", flush=True)
        ran.append((group, run_group(group, not options.short, _say)))
    whole = not (options.short or options.group or options.fault)
    text = document(ran, f"{os.cpu_count()} cores ({platform.machine()}), {time.strftime('%F')}")
    target = options.output or (DOCUMENT if whole else None)
    if target is None:
        print(text)
    else:
        target.write_text(text)
        print(f"written: {target}")
    wrong = [one for _, some in ran for one in some if one.problem]
    for one in wrong:
        print(f"DIFFERS: {one.fault.name}: {one.problem}")
    print(f"{sum(len(some) for _, some in ran)} faults, {len(wrong)} differ")
    return 1 if wrong else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the form of ./dev test, no cameras")
    parser.add_argument("--group", help="only groups whose name has this in it")
    parser.add_argument("--fault", help="only faults whose name has this in it")
    parser.add_argument("--output", type=Path, help=f"file to write (a whole run: {DOCUMENT.name})")
    return parser.parse_args(arguments)


def _chosen(options: argparse.Namespace) -> Callable[[Group], Group]:
    def chosen(group: Group) -> Group:
        if options.group and options.group.lower() not in group.name.lower():
            return replace(group, faults=())
        wanted = (options.fault or "").lower()
        return replace(group, faults=tuple(f for f in group.faults if wanted in f.name.lower()))

    return chosen


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
