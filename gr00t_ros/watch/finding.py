"""What a watch returns: a Finding with its reaction, and which of several findings is told.

Each watch is a pure function that returns a Finding or None. The text names what was seen, the
threshold and what to do. While a pause lasts, the operator is told the cause, not its
consequences.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.limits import JointLimits

_OUTSIDE = 0.01  # of a joint's range


class Reaction(str, Enum):
    """What a finding makes of the motion, mildest first."""

    DROP = "drop"  # the chunk is dropped, the plan goes on
    PAUSE = "pause"  # controlled stop; continues by itself when healthy again
    FAULT = "fault"  # controlled stop; latched until reset


@dataclass(frozen=True, slots=True)
class Finding:
    """One watch that has something to say: its name, the reaction and the reason's text.

    tail: what the controllers play is not known any more, so that the stop is the tail of what they
    have: nothing may be sent.
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
    """Watch the age of a stream's newest usable sample; None is a stream that never had one.

    A stream without `fault_ns` never faults, however old it gets. `why` is the cause and what to
    do, where they are known. awake_ns: how much of its age this process was awake; what aged while
    nobody could hear pauses, and is no fault.
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
    """Watch chunks and answers refused one after another; `limit` of them are a fault."""
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

    A plan starts from the held position (design decision 11); a larger difference means that
    the controller pushes against something or does not control this robot. NaN is a finding.
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

    A joint may be its margin and a hundredth of its range outside: calibration and noise. Further
    outside no robot stands: another unit, joint, zero or file. NaN is a finding.
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
