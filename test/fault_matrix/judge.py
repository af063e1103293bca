"""What the robot's own 1 kHz record says of one fault: extremes of motion, and when it rested."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from stack import EMBODIMENT, arm_speed, rows_from

from gr00t_ros.sidecar.embodiment_file import load_embodiment
from gr00t_ros.sim.judge import broken, extremes
from gr00t_ros.sim.record import ROW_NS, Record

AT_REST_RAD_S = 1e-9
LIMITS = load_embodiment(EMBODIMENT).limits


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest value of the joint that came nearest to its limit."""

    value: float
    limit: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Peaks in rad/s, rad/s^2, rad/s^3; rest_s after the first row, None where it did not rest.

    problem: which limits were exceeded, empty where none was.
    """

    velocity: Peak
    acceleration: Peak
    jerk: Peak
    rest_s: float | None
    problem: str


def judge(record: Record, since_ns: int, rest_by_ns: int, until_ns: int) -> Verdict:
    """Judge the rows from `since_ns` to `until_ns`; at rest is looked for up to `rest_by_ns`."""
    begin, end = rows_from(record, since_ns), rows_from(record, until_ns)
    part = replace(
        record,
        time_ns=record.time_ns[begin:end],
        position=record.position[begin:end],
        velocity=record.velocity[begin:end],
        acceleration=record.acceleration[begin:end],
        measured=record.measured[begin:end],
    )
    found = extremes(part)
    return Verdict(
        _peak(found.velocity, LIMITS.velocity),
        _peak(found.acceleration, LIMITS.acceleration),
        _peak(found.jerk, LIMITS.jerk),
        _rest_s(part, rows_from(part, rest_by_ns)),
        "; ".join(broken(part, LIMITS)) if len(part.time_ns) else "the record has no such rows",
    )


def _rest_s(part: Record, end: int) -> float | None:
    """When the last commanded motion before row `end` ended, None where that row moves."""
    moving = np.flatnonzero(arm_speed(part)[:end] > AT_REST_RAD_S)
    if not len(moving):
        return 0.0
    return None if moving[-1] >= end - 1 else float((moving[-1] + 1) * ROW_NS * 1e-9)


def _peak(found: NDArray[np.float64], limit: NDArray[np.float64]) -> Peak:
    worst = int(np.argmax(found / limit))
    return Peak(float(found[worst]), float(limit[worst]))
