"""What a watch returns: a Finding with its reaction, and which of several findings is reported.

Each watch is pure and returns a Finding or None. The text names what was seen, the threshold and
what to do. While a pause lasts, the reported reason is its cause, not a consequence of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

AwakeTime = Callable[[int], int]
"""The part of an age, ns, during which this process was awake and could receive."""


def all_awake(age_ns: int) -> int:
    """The AwakeTime of a process that never slept."""
    return age_ns


def call(service: str, node: str = "") -> str:
    """Return how a person calls an operator's service, as every remedy names it.

    node: the policy node's full name, if it is not the default one.
    """
    option = f"--node {node} " if node else ""
    return f"call ~/{service} (gr00t operator {option}{service})"


RESET, RESUME = call("reset"), call("resume")


class Reaction(str, Enum):
    """What a finding does to the motion, mildest first."""

    DROP = "drop"  # nothing of the answer is played, the plan continues
    PAUSE = "pause"  # controlled stop; continues by itself when healthy again
    FAULT = "fault"  # controlled stop; latched until reset


@dataclass(frozen=True, slots=True)
class Earlier:
    """Joints that played an earlier window than the last at plan time `at_ns`."""

    joint_names: tuple[str, ...]
    at_ns: int


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of one watch: its name, the reaction and the text of the reason.

    stop_ramp_only: it is unknown what the controllers play, so nothing more of the plan may be
    sent. The stop is then the stop ramp of the last window that they received.
    soon: the stop begins inside the committed part, as soon as a window can arrive.
    earlier: joints to which the last windows are lost, if that is known.
    """

    watch: str
    reaction: Reaction
    reason: str
    stop_ramp_only: bool = False
    soon: bool = False
    earlier: Earlier | None = None


_SYMPTOMS = frozenset({"stream_age", "stream_content", "controller_silent", "controller_late"})
"""Watches whose findings may be consequences: of a clock that stands still, or a camera that hangs.

A silent controller pauses only if the clock or this process stood still; else it is a fault."""

_EVENTS = frozenset({"clock_backward", "clock_forward", "replay_starvation"})
"""Watches that find an event once; the findings that follow from the event last longer."""

_AFTER_EVENTS = _SYMPTOMS | {"controller_clock"}
"""Watches whose findings may follow from an event: after a clock jump each clock is unknown."""


_LATE_OR_SILENT = "controller_clock", "silent_clock"
"""A /clock that stands still looks like a late one first; that it is silent says more."""


# A number that stands alone: digits in names such as fr3_joint1 or 10.0.0.7 are not masked.
_NUMBER = re.compile(r"(?<![\w./:-])-?\d+(\.\d+)?(?![\w/:]|\.\d)")


def without_numbers(reason: str) -> str:
    """A reason with its numbers masked, to compare reasons: equal if nothing new has happened."""
    return _NUMBER.sub("#", reason)


def better_reason(
    by: str, reported: str, pauses: Sequence[Finding], lasting: bool = False
) -> Finding | None:
    """The finding to report in place of the reported one; None if that is still the best.

    by, reported: watch and reason that are reported for the pause so far. If the stream that the
    reason names is healthy again, another unhealthy stream replaces it. pauses: the present
    findings that pause, gravest first, at least one. lasting: `reported` is so old that the present
    findings no longer follow from an event.
    """
    first = pauses[0]
    present = any(_same(finding, by, reported) for finding in pauses)
    if by in _EVENTS and not lasting and first.watch in _AFTER_EVENTS:
        return None
    if first.watch in _SYMPTOMS:
        return None if present else first
    if (by, first.watch) == _LATE_OR_SILENT:
        return first
    return first if by in _SYMPTOMS or not present else None


def _same(finding: Finding, by: str, reported: str) -> bool:
    if finding.watch != by:
        return False
    return by not in _SYMPTOMS or finding.reason.partition(":")[0] == reported.partition(":")[0]
