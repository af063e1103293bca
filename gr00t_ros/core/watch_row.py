"""What is known of a watch beside its code: reaction, thresholds, cause and remedy.

One row's type; the rows are in watch_table. Judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gr00t_ros.core.watchdog import Reaction

Home = Literal["parameter", "embodiment", "constant"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that a watch compares with; `default` alone where it cannot be turned.

    home: a node's parameter, a key of the embodiment file's limits (whose number is per joint,
    `default` that of franka_droid's arm), or a constant of the code.
    """

    name: str
    unit: str
    default: float | int | bool
    low: float | None = None
    high: float | None = None
    home: Home = "parameter"


@dataclass(frozen=True, slots=True)
class Watch:
    """One row. `by` is the code that judges, as MODULE.NAME below gr00t_ros.

    worse, when: the graver reaction and what brings it; None and empty where there is one only.
    note: what the node does today, where that is not the whole row.
    """

    name: str
    watches: str
    reaction: Reaction
    thresholds: tuple[Threshold, ...]
    cause: str
    remedy: str
    by: str
    worse: Reaction | None = None
    when: str = ""
    note: str = ""
