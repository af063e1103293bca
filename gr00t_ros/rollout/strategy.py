"""Scheduling strategies by name: how chunks of actions become a motion, as parameters of the node.

IsaacLab-Arena has such a choice as its ActionScheduler. There the simulation waits for the policy;
here the robot moves on while it is asked, and steps that are due when a chunk arrives are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from gr00t_ros.command_line import nearest
from gr00t_ros.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Strategy:
    """One choice and what it does; None and empty: the node's default.

    execute_steps: steps from one query to the next, 0: as late as is safe. merge: how a
    new chunk follows the one before, of joints and of commands.
    """

    name: str
    text: str
    execute_steps: int | None = None
    merge: str = ""

    @property
    def parameters(self) -> dict[str, object]:
        """The node's parameters that differ from its defaults."""
        found: dict[str, object] = {}
        if self.execute_steps is not None:
            found["execute_steps"] = self.execute_steps
        if self.merge:
            found |= {"merge": self.merge, "merge_commands": self.merge}
        return found


STRATEGY_ROWS: Final = (
    Strategy("node", "the node's own defaults"),
    Strategy(
        "chunk",
        "ask each 8 steps; the new chunk takes over at once (Arena's ActionChunkScheduler)",
        8,
        "newest",
    ),
    Strategy(
        "first_step",
        "ask anew at each step, and play the first step of each chunk that is not due yet",
        1,
        "newest",
    ),
    Strategy(
        "ensemble",
        "ask anew at each step; the weighted mean of all chunks that have a step at a time (ACT)",
        1,
        "ensemble",
    ),
    Strategy(
        "offset_decay",
        "ask each 8 steps; the difference at the seam fades out over fade_ms",
        8,
        "offset_decay",
    ),
    Strategy("crossfade", "ask each 8 steps; from the old chunk to the new one", 8, "crossfade"),
)
STRATEGIES: Final[Mapping[str, Strategy]] = {row.name: row for row in STRATEGY_ROWS}


def parse_strategy(text: str) -> Strategy:
    """NAME, or NAME:K with K steps from one query to the next (0: as late as is safe).

    Raises SettingsError for an unknown name and for a K that the node does not take.
    """
    name, colon, steps = text.partition(":")
    if name not in STRATEGIES:
        hint = nearest(name, STRATEGIES) or f"expected one of {', '.join(STRATEGIES)}"
        raise SettingsError(f"strategy: got {name!r:.60}; {hint}")
    row = STRATEGIES[name]
    if not colon:
        return row
    if not steps.isdecimal() or not 0 <= int(steps) <= 128:
        raise SettingsError(f"strategy {text!r:.60}: expected NAME:K with K from 0 to 128 steps")
    return replace(row, name=text, execute_steps=int(steps))
