"""What a verb found: a table for people, or JSON for programs, and the exit status.

Refuses to know how it was found out.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from gr00t_ros.sidecar.text_table import printable

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


def facts(values: Mapping[str, object]) -> str:
    """Return one line a fact, the names in one column."""
    width = max(map(len, values), default=0)
    return "\n".join(f"{name:{width}}  {printable(str(value))}" for name, value in values.items())


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
