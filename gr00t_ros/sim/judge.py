"""Judges a record: how fast, accelerated and jerky was what was commanded, and was it lawful?

A robot with a 1 kHz position interface differentiates its command once a cycle (limits.md, Franka),
and so does this, with one exception. Each window's stamp follows the measured offset between two
clocks, so that two windows may disagree about *now* by a microsecond: 1 urad at 1 rad/s, far below
what an encoder tells, and yet 2000 rad/s^3 in the third difference of position. So the differences
are those of the recorded velocity and acceleration, and position is held against velocity: what it
moved beyond what velocity tells is a step. Refuses to know ROS, clocks and files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.limits import JointLimits
from gr00t_ros.sim.record import ROW_NS, Record

Floats = NDArray[np.float64]

TOLERANCE = 0.02
"""Share by which velocity and what its differences over 1 ms give may exceed a limit."""
STAMP_NOISE_S = 1e-6
"""How far two windows may disagree about now."""
_STEP_S = ROW_NS * 1e-9


@dataclass(frozen=True, slots=True)
class Extremes:
    """Largest absolute values per joint, (J,) float64: rad/s, rad/s^2, rad/s^3.

    step: rad that position moved from row to row beyond what velocity tells and stamps explain.
    """

    velocity: Floats
    acceleration: Floats
    jerk: Floats
    step: Floats


def extremes(record: Record) -> Extremes:
    """The extremes of a record; zeros for fewer than 4 rows, NaN where the record has it."""
    velocity, acceleration = record.velocity, record.acceleration
    if len(record.time_ns) < 4:
        zeros = np.zeros(len(record.joint_names))
        return Extremes(zeros, zeros, zeros, zeros)
    steps = np.abs(position_steps(record)) - STAMP_NOISE_S * np.abs(velocity[1:])
    return Extremes(
        velocity=_largest(velocity),
        acceleration=np.maximum(
            _largest(acceleration), _largest(np.diff(velocity, axis=0)) / _STEP_S
        ),
        jerk=np.maximum(
            _largest(np.diff(acceleration, axis=0)) / _STEP_S,
            _largest(np.diff(velocity, n=2, axis=0)) / _STEP_S**2,
        ),
        step=np.maximum(steps.max(axis=0), 0.0),
    )


def position_steps(record: Record) -> Floats:
    """(N - 1, J) how far position moved from row to row beyond what velocity tells, rad."""
    mean = (record.velocity[1:] + record.velocity[:-1]) / 2
    curved = np.diff(record.acceleration, axis=0) * _STEP_S / 12
    return np.asarray(np.diff(record.position, axis=0) - _STEP_S * (mean - curved))


def allowed(limits: JointLimits) -> Extremes:
    """What extremes may be at most.

    A step: the rounding of the trapezoid where the jerk changes.
    """
    most = 1.0 + TOLERANCE
    step = limits.jerk * _STEP_S**3
    return Extremes(limits.velocity * most, limits.acceleration * most, limits.jerk * most, step)


def broken(record: Record, limits: JointLimits) -> list[str]:
    """Every joint and quantity that was not lawful, with both numbers; empty if all was.

    The record's joints must be those of `limits`, in their order.
    """
    found, most = extremes(record), allowed(limits)
    gaps = np.any(np.diff(record.time_ns) != ROW_NS)
    return ["the record has gaps"] * bool(gaps) + [
        f"{what} of {name}: {got:.4g} > {limit:.4g} {unit}"
        for what, unit, values, bounds in (
            ("velocity", "rad/s", found.velocity, most.velocity),
            ("acceleration", "rad/s^2", found.acceleration, most.acceleration),
            ("jerk", "rad/s^3", found.jerk, most.jerk),
            ("step in position", "rad", found.step, most.step),
        )
        for name, got, limit in zip(limits.names, values, bounds, strict=True)
        if not got <= limit
    ]


def _largest(values: Floats) -> Floats:
    return np.asarray(np.abs(values).max(axis=0))
