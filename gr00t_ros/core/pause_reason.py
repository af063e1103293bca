"""Which finding an operator is told of while a pause lasts: the cause, not what follows from it.

Knows watches by name only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gr00t_ros.core.watchdog import Finding

_SYMPTOMS = frozenset({"stream_age", "stream_content", "controller_silent", "controller_late"})
"""A clock that stands still or a camera that hangs shows in these first.

A silent controller pauses only where the clock or this process stood still; else it is a fault."""

_EVENTS = frozenset({"clock_backward", "clock_forward", "replay_starvation"})
"""Found once, at the instant: what follows from them is found for longer."""


# A number of its own: the digits in fr3_joint1 and in 10.0.0.7 tell one event from another.
_NUMBER = re.compile(r"(?<![\w./:-])-?\d+(\.\d+)?(?![\w/:]|\.\d)")


def without_numbers(reason: str) -> str:
    """A reason with its numbers masked: equal where nothing new has happened."""
    return _NUMBER.sub("#", reason)


def better_reason(
    by: str, told: str, pauses: Sequence[Finding], lasting: bool = False
) -> Finding | None:
    """The finding to tell in place of watch `by`'s, which paused; None where that is still it.

    `told` is the reason given so far: of several streams it names the first, and another one where
    that is well again. `pauses` are the present findings that pause, gravest first, at least one.
    `lasting`: `told` is so old that what is found now no longer follows from an event.
    """
    first = pauses[0]
    present = any(_same(finding, by, told) for finding in pauses)
    if first.watch in _SYMPTOMS:
        return None if present or (by in _EVENTS and not lasting) else first
    return first if by in _SYMPTOMS or not present else None


def _same(finding: Finding, by: str, told: str) -> bool:
    if finding.watch != by:
        return False
    return by not in _SYMPTOMS or finding.reason.partition(":")[0] == told.partition(":")[0]
