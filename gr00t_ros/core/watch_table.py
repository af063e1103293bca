"""The one table of watches over arm and inputs: what each makes of the motion, and why.

Source of the thresholds: control.md 3 and 4, where a row does not say otherwise. The documentation
(watch_document) and every watch's reaction and remedy (`finding`) come from here.
"""

from __future__ import annotations

from gr00t_ros.core.watch_row import Watch
from gr00t_ros.core.watch_rows_arm import ARM
from gr00t_ros.core.watch_rows_inputs import INPUTS
from gr00t_ros.core.watch_rows_policy import POLICY
from gr00t_ros.core.watchdog import Finding

ROWS: tuple[Watch, ...] = (*INPUTS, *POLICY, *ARM)
TABLE: dict[str, Watch] = {row.name: row for row in ROWS}


def finding(watch: str, seen: str, worse: bool = False) -> Finding:
    """The finding of a row: its reaction, or the worse one, and `seen` with the row's remedy."""
    row = TABLE[watch]
    reaction = row.worse if worse and row.worse is not None else row.reaction
    return Finding(watch, reaction, f"{seen}; {row.remedy}")
