"""gr00t dataset validate: finds the faults of a dataset, and says what to do about each."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gr00t_ros.command_line import DONE, JSON_HELP, NO, CommandParser, fail
from gr00t_ros.dataset.checks.dataset import Checked, check_dataset
from gr00t_ros.dataset.checks.table import ERROR, MOST, WARNING, DatasetFinding
from gr00t_ros.errors import Gr00tError
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.sidecar.target import positive
from gr00t_ros.text_table import one_line

_SHOWN: Final = 5  # findings of one check in the report for people
_PROGRESS_S: Final = 0.5


def main(words: Sequence[str]) -> int:
    """Check a dataset; 1 if it is at fault."""
    parser = CommandParser(
        prog="gr00t dataset validate",
        description="Finds the faults of a dataset: metadata, rows, pictures, statistics, and how "
        "far state, action and pictures are apart. Every picture is decoded once. Exit status 1 "
        "if there is an error; warnings alone leave it 0. docs/dataset_checks.md lists the checks.",
        example="gr00t dataset validate my_dataset --embodiment my_robot.yaml",
    )
    parser.add_argument("dataset", metavar="DIR", help="the folder that holds meta/ and data/")
    parser.add_argument(
        "--embodiment",
        metavar="NAME|FILE",
        help="the robot: compares rate, keys, cameras and joint limits too",
    )
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        default=os.cpu_count() or 1,
        help="processes that check episodes (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help=JSON_HELP)
    options = parser.parse_args(words)
    try:
        return _validate(options)
    except Gr00tError as error:
        return fail(parser.prog, error)


def _validate(options: argparse.Namespace) -> int:
    embodiment = load_embodiment(options.embodiment) if options.embodiment else None
    progress = _Progress(sys.stderr.isatty() and not options.json)
    checked = check_dataset(Path(options.dataset), embodiment, options.workers, progress)
    progress.end()
    if options.json:
        print(json.dumps(_figures(checked), indent=1))
    else:
        print("\n".join(_report(checked)))
    return NO if checked.findings.of(ERROR) else DONE


class _Progress:
    """One line on a terminal: how many episodes are checked, and how long the others take."""

    def __init__(self, is_shown: bool) -> None:
        self._is_shown, self._begun, self._printed_s = is_shown, time.monotonic(), 0.0

    def __call__(self, done: int, of: int) -> None:
        now = time.monotonic()
        if self._is_shown and now - self._printed_s >= _PROGRESS_S:
            self._printed_s = now
            left_s = (now - self._begun) / done * (of - done)
            text = f"\r{done} of {of} episodes checked, {left_s:.0f} s left   "
            print(text, end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self._printed_s:
            print(f"\r{'':60}\r", end="", file=sys.stderr, flush=True)


def _report(checked: Checked) -> list[str]:
    """The report for people: errors first, a few of each check."""
    findings, lines = checked.findings, []
    for level in (ERROR, WARNING):
        kept: dict[str, list[DatasetFinding]] = {}
        for finding in findings.kept:
            if finding.is_error == (level == ERROR):
                kept.setdefault(finding.check, []).append(finding)
        for check, of in kept.items():
            lines += [one_line(finding.line(), 800) for finding in of[:_SHOWN]]
            more = findings.counts[check] - _SHOWN
            if more > 0:
                lines.append(f"  {more} more of {check}")
    errors, warnings = findings.of(ERROR), findings.of(WARNING)
    if checked.dataset is None:
        lines.append("rows and videos are not checked: the metadata does not say where they are")
    lines += [
        f"{name} {lag.rows:+.1f} rows behind the {'action' if name == 'state' else 'state'} "
        f"(correlation {lag.agreement:.2f})"
        for name, lag in checked.lags.items()
    ]
    counted = f"{checked.episodes} episodes, {checked.rows} rows"
    lines.append(f"{counted}: {errors or 'no'} errors, {warnings or 'no'} warnings")
    return lines


def _figures(checked: Checked) -> dict[str, Any]:
    """The report for programs; of one check at most MOST findings are listed."""
    findings = checked.findings
    return {
        "errors": findings.of(ERROR),
        "warnings": findings.of(WARNING),
        "episodes": checked.episodes,
        "rows": checked.rows,
        "lags_rows": {
            name: {"rows": round(lag.rows, 2), "correlation": round(lag.agreement, 3)}
            for name, lag in checked.lags.items()
        },
        "counts": findings.counts,
        "most_of_one_check": MOST,
        "findings": [finding.figures() for finding in findings.kept],
    }
