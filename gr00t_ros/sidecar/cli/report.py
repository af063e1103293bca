"""What a verb found: a table for people, or JSON for programs, and the exit status.

Refuses to know how it was found out.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OK, PROBLEM, UNREACHABLE = 0, 1, 2
"""Exit statuses: all well; the server answered and something is wrong; no answer, wrong usage."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one verb; `figures` is the JSON, `text` the same for people."""

    figures: Mapping[str, object]
    text: str
    status: int = OK

    def show(self, as_json: bool) -> int:
        """Print it to stdout and return the exit status."""
        print(json.dumps(_finite(self.figures), indent=1) if as_json else self.text, flush=True)
        return self.status


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return columns as wide as their widest cell, two blanks apart."""
    cells = [[printable(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def facts(values: Mapping[str, object]) -> str:
    """Return one line a fact, the names in one column."""
    width = max(map(len, values), default=0)
    return "\n".join(f"{name:{width}}  {printable(str(value))}" for name, value in values.items())


def printable(text: str) -> str:
    """Return `text` without control characters: no server steers the operator's terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def milliseconds(duration_ns: int) -> float:
    """Return a duration in ms, to the microsecond."""
    return round(duration_ns / 1e6, 3)


def _finite(value: object) -> object:
    """Return `value` with NaN and infinity as text: JSON has neither."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
