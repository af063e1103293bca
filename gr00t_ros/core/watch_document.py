"""The table of watches as the text of docs/watchdogs.md.

Returns text; who writes it into the file is told in the text itself.
"""

from __future__ import annotations

from gr00t_ros.core.watch_row import Threshold, Watch
from gr00t_ros.core.watch_table import ROWS

_HEAD = """\
# Watchdogs

Made from the rows of `gr00t_ros/core/watch_table.py`; a test keeps the two equal. Make it anew with

    python3 -c "from gr00t_ros.core.watch_document import document; print(document(), end='')" \\
        > docs/watchdogs.md

**drop**: the chunk is dropped, the plan goes on. **pause**: controlled stop and hold; continues by
itself when healthy again, through a fresh observation and a new episode. **fault**: controlled
stop and a latched fault that needs `~/reset`.

These are functional stops in software, no emergency or protective stop: a robot needs its hardware
e-stop beside them.
"""


def document() -> str:
    """The whole text: the table, then each watch's thresholds, cause and remedy."""
    lines = [
        _HEAD,
        "| watch | what it watches | reaction |",
        "|---|---|---|",
    ]
    lines += [f"| {w.name} | {w.watches} | {_reaction(w)} |" for w in ROWS]
    return "\n".join(lines + [_section(watch) for watch in ROWS]) + "\n"


def _reaction(watch: Watch) -> str:
    if watch.worse is None:
        return watch.reaction.value
    return f"{watch.reaction.value}; {watch.worse.value}: {watch.when}"


def _section(watch: Watch) -> str:
    lines = [f"\n## {watch.name}\n", f"Cause: {watch.cause}\n", f"Remedy: {watch.remedy}."]
    if watch.note:
        lines.append(f"\nToday: {watch.note}.")
    if watch.thresholds:
        lines += ["", "| threshold | where | default | range |", "|---|---|---|---|"]
        lines += [_threshold(t) for t in watch.thresholds]
    return "\n".join(lines)


def _threshold(one: Threshold) -> str:
    name = one.name if one.home == "constant" else f"`{one.name}`"
    unit = f" {one.unit}" if one.unit else ""
    value = str(one.default).lower() if isinstance(one.default, bool) else f"{one.default:g}{unit}"
    span = f"{one.low:g} to {one.high:g}{unit}" if one.low is not None else ""
    return f"| {name} | {one.home} | {value} | {span} |"
