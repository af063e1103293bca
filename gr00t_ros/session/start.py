"""Where a plan starts or continues: held, measured, the end of our own plan, or unknown and why.

The rule, for each output (design decision 11): start where its controller holds the arm. Seeding
from the measured position would turn an impedance controller's sag into a step. A controller that
never published a state holds what it was last commanded: the end of our own plan, and before the
first plan the measured position. If joint states were silent in a motion, it may have missed the
end of our plan, and the measured position counts again (node/watches.py). A controller that
published before and is late now may have been moved by somebody else, so the start position is
unknown until it is back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.observe.buffer import CONTROLLER_MAX_AGE_NS
from gr00t_ros.robot.actions import Output
from gr00t_ros.robot.limits import JointLimits
from gr00t_ros.watch.arm import held_position
from gr00t_ros.watch.finding import Finding
from gr00t_ros.watch.table import milder, reasoned

Positions = NDArray[np.float64]

HELD_UNKNOWN = (
    "a controller that published its state before is late, so where it holds the arm is unknown; "
    "is it active?"
)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutput:
    """What is known of the position that one output's controller holds.

    position: (n,) that it holds or plays now, None without a usable present state. ever_reported:
    it has published a state since the node was configured.
    """

    output: Output
    position: Positions | None
    ever_reported: bool

    @property
    def late(self) -> bool:
        """Whether the controller published a state before and has no usable one now."""
        return self.position is None and self.ever_reported


def held_by_all(outputs: Sequence[HeldOutput]) -> Positions | None:
    """(J,) position that the controllers hold or play; None if one of them is unknown."""
    known = [one.position for one in outputs if one.position is not None]
    return np.concatenate(known) if len(known) == len(outputs) else None


def start_from(
    outputs: Sequence[HeldOutput], measured: Sequence[Positions | str]
) -> Positions | str:
    """(J,) position from which a first plan starts, or the reason why it is unknown.

    For each output the held position, or the measured one if its controller never published a
    state. measured: (n,) for each output, or the reason why it is not measured.
    """
    parts: list[Positions] = []
    for one, position in zip(outputs, measured, strict=True):
        if one.late:
            return (
                f"output {one.output.name}: no usable state of its controller on "
                f"{one.output.state_topic} within {CONTROLLER_MAX_AGE_NS / 1e9:.1f} s, expected "
                "where it holds the arm"
            )
        part = position if one.position is None else one.position
        if isinstance(part, str):
            return part
        parts.append(part)
    return np.concatenate(parts)


def continue_from(outputs: Sequence[HeldOutput], planned: Positions) -> Positions | None:
    """(J,) position from which a plan at rest continues; None (HELD_UNKNOWN) if it is unknown.

    For each output the held position, or its part of `planned`, (J,) the end of our own plan, if
    its controller never published a state: after our own stop it holds that position.
    """
    parts: list[Positions] = []
    begin = 0
    for one in outputs:
        if one.late:
            return None
        end = begin + len(one.output.names)
        parts.append(planned[begin:end] if one.position is None else one.position)
        begin = end
    return np.concatenate(parts)


def leave_from(
    continued: Positions | None,
    start: Positions | None,
    measured: Positions | None,
    limits: JointLimits,
) -> Positions | None:
    """(J,) position from which a pause or fault is left; None if it is unknown.

    `continued` if the measured position agrees with it; otherwise somebody has moved the arm, and
    the plan starts like a first one, from `start`.
    """
    if continued is None or start is None:
        return start
    return start if apart(continued, measured, limits) is not None else continued


def apart(held: Positions, measured: Positions | None, limits: JointLimits) -> Finding | None:
    """The watch held_position of (J,) and (J,) rad; None if `measured` is unknown."""
    if measured is None:
        return None
    return held_position(limits.names, held, measured, limits.held)


def pause_lasts(
    continued: Positions | None, measured: Positions | None, limits: JointLimits
) -> Finding | None:
    """A finding that holds a pause; None if the plan may continue.

    The pause is held while the position to continue from, (J,) rad, is unknown, and while it is
    apart from the measured one, (J,): the arm was moved by hand or by another program.
    """
    if continued is None:
        return milder(reasoned("held_position", HELD_UNKNOWN))
    found = apart(continued, measured, limits)
    return None if found is None else milder(found)
