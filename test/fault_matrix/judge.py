"""Judges one fault by the robot's own 1 kHz record: extremes of motion, and the time of rest.

If the clock goes back during a window, a controller that starts from its own last command may play
one of its cycles twice (docs/motion.md). `doubled` allows only those cycles. A plan for a
controller that never tells what it holds begins at the measured position: only that step is
allowed, and not within `no_start`, from the fault to its mending.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from stack import EMBODIMENT, arm_speed, rows_from

from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.sim.record import (
    ROW_NS,
    STAMP_NOISE_S,
    TOLERANCE,
    Record,
    allowed,
    broken,
    extremes,
    position_steps,
)

AT_REST_RAD_S = 1e-9
MEASURED_RAD = 2e-4
"""What a joint at rest may move between its last measurement and the command to start from it: our
choice, two hundredths of a second at 0.01 rad/s."""
LIMITS = load_embodiment(EMBODIMENT).limits


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest value of the joint that is nearest to its limit."""

    value: float
    limit: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Peaks in rad/s, rad/s^2, rad/s^3; rest_s after the first row, None if it did not rest.

    problem: the limits that were exceeded, empty if none was.
    """

    velocity: Peak
    acceleration: Peak
    jerk: Peak
    rest_s: float | None
    problem: str


Span = tuple[int, int]
"""Start and end, ns on the clock of the record."""


def judge(
    record: Record,
    spans: Sequence[Span],
    rest_by_ns: int,
    doubled: int = 0,
    no_start: Span | None = None,
) -> Verdict:
    """Judge the rows of `spans`; rest is searched from the first row to `rest_by_ns`.

    doubled: number of cycles in each span, one a window, that may be played twice as fast.
    no_start: outside this span a joint that is commanded to stand may step to where it is measured;
    None: it may not step at all.
    """
    parts = [_rows(record, *map(lambda ns: rows_from(record, ns), span)) for span in spans]
    whole = _rows(record, rows_from(record, spans[0][0]), len(record.time_ns))
    if no_start is not None:
        parts = [piece for part in parts for piece in _between_starts(part, no_start)]
    found = [extremes(part) for part in parts]
    return Verdict(
        _peak(np.max([one.velocity for one in found], axis=0), LIMITS.velocity),
        _peak(np.max([one.acceleration for one in found], axis=0), LIMITS.acceleration),
        _peak(np.max([one.jerk for one in found], axis=0), LIMITS.jerk),
        _rest_s(whole, rows_from(whole, rest_by_ns)),
        "; ".join(problem for part in parts for problem in _problems(part, doubled)),
    )


def _rows(record: Record, begin: int, end: int) -> Record:
    return replace(
        record,
        time_ns=record.time_ns[begin:end],
        position=record.position[begin:end],
        velocity=record.velocity[begin:end],
        acceleration=record.acceleration[begin:end],
        measured=record.measured[begin:end],
    )


def _between_starts(part: Record, no_start: Span) -> list[Record]:
    """The pieces of `part` between starts: steps of standing joints to where they are measured."""
    if len(part.time_ns) < 2:
        return [part]
    steps = np.abs(position_steps(part)) > allowed(LIMITS).step
    stood = np.abs(part.velocity[:-1]) <= AT_REST_RAD_S
    to_measured = np.abs(part.position[1:] - part.measured[1:]) <= MEASURED_RAD
    allowed_now = (part.time_ns[1:] < no_start[0]) | (part.time_ns[1:] >= no_start[1])
    begins = steps.any(axis=1) & (~steps | (stood & to_measured)).all(axis=1)
    starts = np.flatnonzero(allowed_now & begins) + 1
    edges = [0, *starts.tolist(), len(part.time_ns)]
    return [_rows(part, a, b) for a, b in pairwise(edges) if b - a > 1]


def _problems(part: Record, doubled: int) -> list[str]:
    if not len(part.time_ns):
        return ["the record has no such rows"]
    found = broken(part, LIMITS)
    if not found or not doubled or len(part.time_ns) < 2:
        return found
    steps = np.abs(position_steps(part))
    row = int(np.argmax(steps.max(axis=1)))
    second_rad = (np.abs(part.velocity[row]) * (1 + TOLERANCE)) * ROW_NS * 1e-9 + STAMP_NOISE_S
    if np.any(steps[row] > second_rad):
        return found
    halves = _rows(part, 0, row + 1), _rows(part, row + 1, len(part.time_ns))
    return [problem for half in halves for problem in _problems(half, doubled - 1)]


def _rest_s(part: Record, end: int) -> float | None:
    """The end of the last commanded motion before row `end`; None if that row moves."""
    moving = np.flatnonzero(arm_speed(part)[:end] > AT_REST_RAD_S)
    if not len(moving):
        return 0.0
    return None if moving[-1] >= end - 1 else float((moving[-1] + 1) * ROW_NS * 1e-9)


def _peak(found: NDArray[np.float64], limit: NDArray[np.float64]) -> Peak:
    worst = int(np.argmax(found / limit))
    return Peak(float(found[worst]), float(limit[worst]))
