"""What the robot's own 1 kHz record says of one fault: extremes of motion, and when it rested."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from stack import EMBODIMENT, arm_speed, assert_inside_the_limits, rows_from

from gr00t_ros.sidecar.embodiment_file import load_embodiment
from gr00t_ros.sim.record import ROW_NS, Record

STEP_S = ROW_NS * 1e-9
AT_REST_RAD_S = 1e-9


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest value of the joint that came nearest to its limit."""

    value: float
    limit: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Peaks in rad/s, rad/s^2, rad/s^3; rest_s after the fault, None where it did not rest.

    problem: which limit was exceeded, empty where none was.
    """

    velocity: Peak
    acceleration: Peak
    jerk: Peak
    rest_s: float | None
    problem: str


def judge(record: Record, since_ns: int, rest_by_ns: int, until_ns: int) -> Verdict:
    """Judge the rows from `since_ns` to `until_ns`; at rest is looked for up to `rest_by_ns`."""
    part = _part(record, rows_from(record, since_ns), rows_from(record, until_ns))
    limits = load_embodiment(EMBODIMENT).limits
    velocity, acceleration = part.velocity, part.acceleration
    peaks = (
        _peak((velocity,), limits.velocity),
        _peak((acceleration, np.diff(velocity, axis=0) / STEP_S), limits.acceleration),
        _peak(
            (
                np.diff(acceleration, axis=0) / STEP_S,
                np.diff(velocity, n=2, axis=0) / STEP_S**2,
            ),
            limits.jerk,
        ),
    )
    problem = ""
    try:
        assert_inside_the_limits(part)
    except AssertionError as error:
        problem = str(error).splitlines()[0]
    return Verdict(*peaks, _rest_s(part, rows_from(part, rest_by_ns)), problem)


def _rest_s(part: Record, end: int) -> float | None:
    """When the last commanded motion before row `end` ended, None where that row moves."""
    moving = np.flatnonzero(arm_speed(part)[:end] > AT_REST_RAD_S)
    if not len(moving):
        return 0.0
    return None if moving[-1] >= end - 1 else float((moving[-1] + 1) * STEP_S)


def _peak(series: tuple[NDArray[np.float64], ...], limit: NDArray[np.float64]) -> Peak:
    found = np.max([np.abs(rates).max(axis=0, initial=0.0) for rates in series], axis=0)
    worst = int(np.argmax(found / limit))
    return Peak(float(found[worst]), float(limit[worst]))


def _part(record: Record, begin: int, end: int) -> Record:
    arrays = {
        field.name: getattr(record, field.name)[begin:end]
        for field in fields(Record)
        if field.name not in ("joint_names", "ros_offset_ns")
    }
    return Record(record.joint_names, record.ros_offset_ns, **arrays)
