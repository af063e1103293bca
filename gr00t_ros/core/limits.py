"""The limits of every joint that is commanded, as arrays in plan joint order.

Owns the numbers; what is done when one is passed is the guard's and the shaper's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.schema import REST_S, Place

Array = NDArray[np.float64]

ROUNDING = 1e-6
"""rad or m: an end of a range as a float32 has it is no place beyond it."""

POSITION_UNIT = "rad or m"
"""What a joint's position is said in: a prismatic joint's is m, and no file says which one is."""


@dataclass(frozen=True, slots=True, eq=False)
class JointLimits:
    """Limits of J joints in plan joint order; every array is read-only (J,) float64.

    lower, upper: position, rad. velocity, acceleration, jerk: rad/s, rad/s^2, rad/s^3, positive.
    margin: kept inside the position limits, rad. jump: largest distance of a chunk's first step
    from the held position, rad, inf where unchecked. held: largest |held - measured| at a start,
    rad, inf where unchecked. envelope: (J, 4) float64 [offset, slope, upper, lower] of the FR3's
    velocity limit that depends on position, NaN rows where there is none:
    v <= -offset + sqrt(slope * (upper - q)), v >= offset - sqrt(slope * (q - lower))
    (libfranka rate_limiting.h, computeUpperLimitsJointVelocity and its lower twin).
    """

    names: tuple[str, ...]
    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    jerk: Array
    margin: Array
    jump: Array
    held: Array
    envelope: Array

    def __len__(self) -> int:
        """J, the number of joints."""
        return len(self.names)

    def allowed(self, joint: int) -> str:
        """Between what joint number `joint` may be commanded, and what its margin has to do."""
        lower, upper, margin = self.lower[joint], self.upper[joint], self.margin[joint]
        text = f"{lower + margin:.4f} to {upper - margin:.4f}"
        return f"{text} (margin {margin:g} of {lower:g} to {upper:g})" if margin > 0.0 else text

    def outside(self, positions: Mapping[str, float]) -> Iterator[str]:
        """Yield a line for each joint whose position, rad or m, is not what the plan may hold.

        Joints of which `positions` says nothing are passed over; one that is not finite is named.
        """
        for joint, name in enumerate(self.names):
            at = positions.get(name)
            low = self.lower[joint] + self.margin[joint] - ROUNDING
            high = self.upper[joint] - self.margin[joint] + ROUNDING
            if at is not None and not low <= at <= high:
                yield f"limits.{name}: it is at {at:.4f}, limits {self.allowed(joint)}"


def read_limits(places: Mapping[str, Place], joint_names: tuple[str, ...]) -> JointLimits:
    """The limits of all joints of all outputs, from the entries of the file's `limits`."""
    rows = [_joint(places[name]) for name in joint_names]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 12).T.copy()
    envelope = table[8:].T.copy()
    for array in (table, envelope):
        array.setflags(write=False)  # before the views are taken: they inherit it
    lower, upper, velocity, acceleration, jerk, margin, jump, held = table[:8]
    return JointLimits(
        names=joint_names,
        lower=lower,
        upper=upper,
        velocity=velocity,
        acceleration=acceleration,
        jerk=jerk,
        margin=margin,
        jump=jump,
        held=held,
        envelope=envelope,
    )


def _joint(place: Place) -> tuple[float, ...]:
    """lower, upper, velocity, acceleration, jerk, margin, jump, held and the envelope's four."""
    at = place.fields(
        ("position", "velocity", "acceleration", "jerk", "margin", "jump", "held"),
        ("velocity_envelope",),
    )
    lower, upper = at["position"].interval()
    margin = at["margin"].number(low=0.0)
    if not lower + margin < upper - margin:
        raise at["margin"].error(f"room between {lower:g} + margin and {upper:g} - margin")
    speeds = tuple(at[name].positive() for name in ("velocity", "acceleration", "jerk"))
    _refuse_long_stops(at["jerk"], *speeds)
    return (
        lower,
        upper,
        *speeds,
        margin,
        *(_unless_unchecked(at[name]) for name in ("jump", "held")),
        *(_envelope(at["velocity_envelope"]) if "velocity_envelope" in at else [np.nan] * 4),
    )


def _refuse_long_stops(place: Place, velocity: float, acceleration: float, jerk: float) -> None:
    """A joint that could not come to rest within REST_S would move on after every stop.

    Jerk takes the acceleration away, turns it into braking and ends that; in between it is held
    where the velocity is large enough.
    """
    turn_s = acceleration / jerk
    held = velocity >= acceleration * turn_s
    brake_s = velocity / acceleration + turn_s if held else 2.0 * math.sqrt(velocity / jerk)
    if turn_s + brake_s > REST_S:
        raise place.problem(
            f"got {jerk:g}, with which a stop from velocity {velocity:g} while accelerating with "
            f"{acceleration:g} takes {turn_s + brake_s:.3g} s ({turn_s:.3g} s to end the "
            f"acceleration, {brake_s:.3g} s to brake), expected at most {REST_S:g} s: "
            "raise jerk or acceleration, or lower velocity"
        )


def _unless_unchecked(place: Place) -> float:
    if place.value == "unchecked":
        return np.inf
    if isinstance(place.value, str):
        raise place.error("a number above 0, or unchecked")
    return place.positive()


def _envelope(place: Place) -> tuple[float, ...]:
    at: Mapping[str, Place] = place.fields(("offset", "slope", "upper", "lower"))
    offset, slope = at["offset"].number(low=0.0), at["slope"].positive()
    upper, lower = at["upper"].number(), at["lower"].number()
    if not lower < upper:
        raise place.error("lower < upper")
    return offset, slope, upper, lower
