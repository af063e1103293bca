"""Whether the velocities that a robot was sent kept their ranges and rates; pure.

A value may change by its rate and by no more, except to zero at once: that is a stop. Values stand
on the knots of the node's plan, so a change is judged with one knot more time than its stamps say.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.outputs import CommandLimits
from gr00t_ros.rollout.trial import Plain
from gr00t_ros.sim.record import Record, TimedRows

KNOT_S: Final = 0.02
_ROUNDING: Final = 1e-6


def since(record: Record, time_ns: int) -> Record:
    """The rows of a record from a time of its clock on; with what it has beside the joints."""
    rows = record.time_ns >= time_ns
    commands = {
        topic: TimedRows(one.time_ns[one.time_ns >= time_ns], one.values[one.time_ns >= time_ns])
        for topic, one in record.commands.items()
    }
    arrays = (record.position, record.velocity, record.acceleration, record.measured)
    kept = (values[rows] for values in arrays)
    return Record(record.joint_names, record.ros_offset_ns, record.time_ns[rows], *kept, commands)


def judged(
    times_s: NDArray[np.float64], values: NDArray[np.float64], limits: CommandLimits
) -> Plain:
    """The verdict on M messages: times (M,) s of their stamps, values (M, C) in order of `limits`.

    "broken" has a line for each number and limit that was not kept, with both values.
    """
    stops = int(((values[1:] == 0).all(axis=1) & (values[:-1] != 0).any(axis=1)).sum())
    found: Plain = {"messages": len(values), "stops": stops, "broken": []}
    if not len(values):
        return found
    lines = []
    if not np.isfinite(values).all():
        lines.append("a value is not finite")
    if (np.diff(times_s) < 0).any():
        lines.append("a stamp runs back")
    changed = np.abs(np.diff(values, axis=0))
    knots = np.maximum(np.ceil(np.diff(times_s) / KNOT_S), 0.0) + 1.0
    over = changed / (knots * KNOT_S)[:, None]
    over[values[1:] == 0] = 0.0
    for column, name in enumerate(limits.names):
        low, high, rate = limits.lower[column], limits.upper[column], limits.rate[column]
        least, most = float(np.min(values[:, column])), float(np.max(values[:, column]))
        if least < low - _ROUNDING or most > high + _ROUNDING:
            lines.append(f"{name}: got {least:.4g} to {most:.4g}, limits {low:.4g} to {high:.4g}")
        steepest = float(np.max(over[:, column], initial=0.0))
        if steepest > rate * (1 + _ROUNDING) + _ROUNDING:
            lines.append(f"{name}: changed by {steepest:.4g} a second, rate {rate:.4g}")
    found["broken"] = lines
    largest = np.max(np.abs(values), axis=0)
    found["largest"] = {
        name: float(value) if math.isfinite(value) else None
        for name, value in zip(limits.names, largest, strict=True)
    }
    return found
