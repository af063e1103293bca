"""Which finding an operator is told of while a pause lasts: the cause, not what follows from it.

Knows watches by name only.
"""

from __future__ import annotations

from collections.abc import Sequence

from gr00t_ros.core.watchdog import Finding

_SYMPTOMS = frozenset({"stream_age", "stream_content"})
"""A clock that stands still or a camera that hangs shows in these first."""

_EVENTS = frozenset({"clock_backward", "clock_forward", "replay_starvation"})
"""Found once, at the instant: what follows from them is found for longer."""


def better_reason(by: str, pauses: Sequence[Finding]) -> Finding | None:
    """The finding to tell in place of watch `by`'s, which paused; None where that is still it.

    `pauses` are the present findings that pause, gravest first, at least one.
    """
    first = pauses[0]
    present = any(finding.watch == by for finding in pauses)
    if first.watch in _SYMPTOMS:
        return None if present or by in _EVENTS else first
    return first if by in _SYMPTOMS or not present else None
