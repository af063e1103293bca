"""What a watch returns: a Finding with its reaction, and which of several findings is reported.

Each watch is pure and returns a Finding or None. The text names what was seen, the threshold and
what to do. While a pause lasts, the reported reason is its cause, not a consequence of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.limits import JointLimits

AwakeTime = Callable[[int], int]
"""The part of an age, ns, during which this process was awake and could receive."""

_OUTSIDE = 0.01  # of a joint's range


def all_awake(age_ns: int) -> int:
    """The AwakeTime of a process that never slept."""
    return age_ns


class Reaction(str, Enum):
    """What a finding does to the motion, mildest first."""

    DROP = "drop"  # the chunk is dropped, the plan continues
    PAUSE = "pause"  # controlled stop; continues by itself when healthy again
    FAULT = "fault"  # controlled stop; latched until reset


@dataclass(frozen=True, slots=True)
class Finding:
    """The finding of one watch: its name, the reaction and the text of the reason.

    tail: it is unknown what the controllers play, so nothing more of the plan may be sent. The stop
    is then the stop ramp of the last window that they received.
    """

    watch: str
    reaction: Reaction
    reason: str
    tail: bool = False


def stream_age(
    stream: str,
    topic: str,
    age_ns: int | None,
    pause_ns: int,
    fault_ns: int | None,
    why: str = "",
    awake_ns: int | None = None,
) -> Finding | None:
    """Watch the age of a stream's newest usable sample; None is a stream without one so far.

    A stream without `fault_ns` pauses and never faults. why: the cause and what to do, if known.
    awake_ns: the part of the age during which this process was awake; only this part counts towards
    a fault.
    """
    if age_ns is not None and age_ns <= pause_ns:
        return None
    judged_ns = age_ns if awake_ns is None else awake_ns
    late = judged_ns is not None and fault_ns is not None and judged_ns > fault_ns
    seen = (
        f"nothing usable on {topic} yet"
        if age_ns is None
        else f"newest usable sample on {topic} is {age_ns / 1e9:.2f} s old, at most "
        f"{pause_ns / 1e9:.2f} s allowed"
    )
    cause = why or "check the driver and the network"
    return Finding(
        "stream_age", Reaction.FAULT if late else Reaction.PAUSE, f"{stream}: {cause} ({seen})"
    )


def consecutive_refusals(count: int, limit: int, last_reason: str) -> Finding | None:
    """Watch refused chunks and answers in a row; `limit` of them are a fault."""
    if count < limit:
        return None
    text = f"{count} answers of the policy server refused in a row, the last: {last_reason}"
    return Finding("consecutive_failures", Reaction.FAULT, text)


def held_position(
    names: tuple[str, ...],
    held: NDArray[np.float64],
    measured: NDArray[np.float64],
    allowed: NDArray[np.float64],
) -> Finding | None:
    """Compare the position (J,) that the controller holds with the measured one, before a start.

    A plan starts from the held position (design decision 11). A larger difference than `allowed`
    means that the controller pushes against something or does not control this robot. NaN is a
    finding.
    """
    apart = np.abs(held - measured)
    bad = ~(apart <= allowed)
    if not bad.any():
        return None
    joint = int(np.argmax(np.where(bad, np.nan_to_num(apart, nan=np.inf), -1.0)))
    text = (
        f"{names[joint]}: held at {held[joint]:.4f}, measured {measured[joint]:.4f}, at most "
        f"{allowed[joint]:.3f} apart allowed; is the controller active and the arm free?"
    )
    return Finding("held_position", Reaction.FAULT, text)


def outside_limits(limits: JointLimits, measured: NDArray[np.float64]) -> Finding | None:
    """Compare the measured position (J,) with the file's position limits, before a start.

    A joint may be outside by its margin and a hundredth of its range, for calibration and noise. A
    larger distance means another unit, joint, zero or file. NaN is a finding.
    """
    slack = limits.margin + _OUTSIDE * (limits.upper - limits.lower)
    bad = ~((measured >= limits.lower - slack) & (measured <= limits.upper + slack))
    if not bad.any():
        return None
    turned = np.radians(measured[bad])
    degrees = ((turned >= limits.lower[bad]) & (turned <= limits.upper[bad])).all()
    hint = (
        "as degrees it would be inside: let the driver publish radians"
        if degrees
        else "is it the file of this robot, and are its joints at their zero?"
    )
    named = "; ".join(
        f"{limits.names[j]}: measured at {measured[j]:.4g}, limits {limits.lower[j]:.4g} to "
        f"{limits.upper[j]:.4g}"
        for j in np.flatnonzero(bad)
    )
    return Finding("outside_limits", Reaction.FAULT, f"{named}; {hint}")


_SYMPTOMS = frozenset({"stream_age", "stream_content", "controller_silent", "controller_late"})
"""Watches whose findings may be consequences: of a clock that stands still, or a camera that hangs.

A silent controller pauses only if the clock or this process stood still; else it is a fault."""

_EVENTS = frozenset({"clock_backward", "clock_forward", "replay_starvation"})
"""Watches that find an event once; the findings that follow from the event last longer."""


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
    if first.watch in _SYMPTOMS:
        return None if present or (by in _EVENTS and not lasting) else first
    return first if by in _SYMPTOMS or not present else None


def _same(finding: Finding, by: str, reported: str) -> bool:
    if finding.watch != by:
        return False
    return by not in _SYMPTOMS or finding.reason.partition(":")[0] == reported.partition(":")[0]
