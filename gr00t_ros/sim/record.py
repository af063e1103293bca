"""The 1 kHz record of the controllers' commands, and the judge of it.

A robot with a 1 kHz position interface differentiates its command once a cycle (limits.md,
Franka). The judge does the same, with one exception. Each window's stamp follows the measured
offset between two clocks, so two windows may differ by a microsecond in their "now". That is 1 urad
at 1 rad/s, but 2000 rad/s^3 in the third difference of position. So the judge differentiates the
recorded velocity and acceleration instead, and compares position with velocity: a change of
position that velocity does not explain is a step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.limits import CommandLimits, JointLimits

Floats = NDArray[np.float64]

ROW_NS = 1_000_000
"""Time between two rows: one cycle of a 1 kHz controller, ns."""
TOLERANCE = 0.02
"""Share by which velocity, and the differences of velocity over 1 ms, may exceed a limit."""
STAMP_NOISE_S = 1e-6
"""Largest difference between the "now" of two windows."""
KNOT_S = 0.02
"""Time between two knots of the node's plan by default; commands change on them."""
_ROUNDING = 1e-6

BLOCK_ROWS = 10_000
_STEP_S = ROW_NS * 1e-9
_TIMES, _VALUES = "command_time_ns ", "command_values "  # prefixes of a topic's name


@dataclass(frozen=True, slots=True)
class TimedRows:
    """Values (M, D) float64 received at ``time_ns`` (M,) int64 on the controllers' clock."""

    time_ns: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Record:
    """Commands of N controller cycles to J joints, and the measured positions.

    ``time_ns``: (N,) int64, ns of the controllers' clock (steady clock, or simulated time);
    ``time_ns + ros_offset_ns`` is the ROS time. ``position`` rad, ``velocity`` rad/s,
    ``acceleration`` rad/s^2: (N, J) float64, as sampled from the trajectories.
    ``measured``: (N, J) float64, rad. ``commands``: all other commands, by topic.
    """

    joint_names: tuple[str, ...]
    ros_offset_ns: int
    time_ns: NDArray[np.int64]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    acceleration: NDArray[np.float64]
    measured: NDArray[np.float64]
    commands: Mapping[str, TimedRows] = field(default_factory=dict)

    def since(self, time_ns: int, until_ns: int | None = None) -> Record:
        """The rows from a time of the controllers' clock on, and until another one."""
        last_ns = np.iinfo(np.int64).max if until_ns is None else until_ns
        rows = (self.time_ns >= time_ns) & (self.time_ns <= last_ns)
        commands = {
            topic: TimedRows(one.time_ns[kept], one.values[kept])
            for topic, one in self.commands.items()
            for kept in ((one.time_ns >= time_ns) & (one.time_ns <= last_ns),)
        }
        return Record(
            self.joint_names,
            self.ros_offset_ns,
            self.time_ns[rows],
            self.position[rows],
            self.velocity[rows],
            self.acceleration[rows],
            self.measured[rows],
            commands,
        )


class CommandRecorder:
    """Keeps the newest rows of a run in blocks, and drops the oldest block when there are too many.

    One thread appends; ``snapshot`` may run in another thread, because a row is counted only after
    it was written.
    """

    def __init__(self, joint_names: tuple[str, ...], span_s: float) -> None:
        """Keep at least ``span_s`` seconds of rows of these joints."""
        self._names = joint_names
        kept = max(1, -(-round(span_s * 1e9 / ROW_NS) // BLOCK_ROWS))
        self._blocks: deque[_Block] = deque(maxlen=kept + 1)

    def append(
        self,
        time_ns: int,
        position: NDArray[np.float64],
        velocity: NDArray[np.float64],
        acceleration: NDArray[np.float64],
        measured: NDArray[np.float64],
    ) -> None:
        """Add one row; each array (J,) float64 in the order of the joint names."""
        if not self._blocks or self._blocks[-1].count == BLOCK_ROWS:
            self._blocks.append(_Block(len(self._names)))
        self._blocks[-1].append(time_ns, (position, velocity, acceleration, measured))

    def snapshot(
        self, ros_offset_ns: int, commands: Mapping[str, TimedRows] | None = None
    ) -> Record:
        """Return a copy of all rows kept so far, with these other commands."""
        parts = [block.rows() for block in list(self._blocks)] or [_Block(len(self._names)).rows()]
        time_ns = np.concatenate([part[0] for part in parts])
        values = np.concatenate([part[1] for part in parts])
        position, velocity, acceleration, measured = (
            np.ascontiguousarray(values[:, field]) for field in range(4)
        )
        arrays = (time_ns, position, velocity, acceleration, measured)
        return Record(self._names, ros_offset_ns, *arrays, commands or {})


TORQUES, WALL_FORCE = "external_torques", "wall_force"
"""Names in a record's `commands`: Nm of the first controller's joints, and N on the wall."""


class TouchRecorder:
    """Keeps what contacts do to the arm, a row for each tick of the physics.

    One thread appends; ``rows`` may run in another thread.
    """

    def __init__(self, joint_names: tuple[str, ...], span_s: float) -> None:
        """Keep the newest ``span_s`` seconds of rows of these joints."""
        self.joint_names = joint_names
        self._rows: deque[tuple[int, Floats, float]] = deque(maxlen=round(span_s * 500))

    def append(self, time_ns: int, torques_nm: Floats, wall_n: float) -> None:
        """Add a row; ``torques_nm`` (J,)."""
        self._rows.append((time_ns, torques_nm, wall_n))

    def rows(self) -> dict[str, TimedRows]:
        """Return a copy of the kept rows as TORQUES (M, J) and WALL_FORCE (M, 1)."""
        rows = list(self._rows)
        times = np.array([row[0] for row in rows], dtype=np.int64)
        torques = np.array([row[1] for row in rows]).reshape(len(rows), len(self.joint_names))
        force = np.array([row[2] for row in rows]).reshape(len(rows), 1)
        return {TORQUES: TimedRows(times, torques), WALL_FORCE: TimedRows(times, force)}


class _Block:
    def __init__(self, joint_count: int) -> None:
        self.count = 0
        self._time_ns = np.empty(BLOCK_ROWS, dtype=np.int64)
        self._values = np.empty((BLOCK_ROWS, 4, joint_count))

    def append(self, time_ns: int, fields: tuple[NDArray[np.float64], ...]) -> None:
        row = self._values[self.count]
        for index, values in enumerate(fields):
            row[index] = values
        self._time_ns[self.count] = time_ns
        self.count += 1

    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return self._time_ns[: self.count], self._values[: self.count]


def save_or_explain(path: str | Path, record: Record) -> tuple[bool, str]:
    """Save a record; whether that worked, and the sentence that answers a service's caller."""
    try:
        save_record(path, record)
    except OSError as error:
        return False, f"record_path: {error}"
    return True, f"{len(record.time_ns)} rows of the record in {path}"


def save_record(path: str | Path, record: Record) -> None:
    """Write a record as .npz; raises OSError if the path cannot be written."""
    commands: dict[str, Any] = {}  # Any: no topic is called as an option of savez
    for topic, rows in record.commands.items():
        commands |= {_TIMES + topic: rows.time_ns, _VALUES + topic: rows.values}
    with open(path, "wb") as file:
        np.savez(
            file,
            joint_names=np.array(record.joint_names),
            ros_offset_ns=np.int64(record.ros_offset_ns),
            time_ns=record.time_ns,
            position=record.position,
            velocity=record.velocity,
            acceleration=record.acceleration,
            measured=record.measured,
            **commands,
        )


def load_record(path: str | Path) -> Record:
    """Read a record of ``save_record``; raises OSError, or KeyError for other content."""
    with np.load(path, allow_pickle=False) as content:
        return Record(
            joint_names=tuple(str(name) for name in content["joint_names"]),
            ros_offset_ns=int(content["ros_offset_ns"]),
            time_ns=content["time_ns"],
            position=content["position"],
            velocity=content["velocity"],
            acceleration=content["acceleration"],
            measured=content["measured"],
            commands={
                topic: TimedRows(content[_TIMES + topic], content[_VALUES + topic])
                for topic in (name[len(_TIMES) :] for name in content if name.startswith(_TIMES))
            },
        )


@dataclass(frozen=True, slots=True)
class Extremes:
    """Largest absolute values per joint, (J,) float64: rad/s, rad/s^2, rad/s^3.

    step: rad, change of position from row to row that neither velocity nor stamps explain.
    """

    velocity: Floats
    acceleration: Floats
    jerk: Floats
    step: Floats


def extremes(record: Record) -> Extremes:
    """The extremes of a record; zeros for fewer than 4 rows, NaN where the record has NaN."""
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
    """(N - 1, J) rad, change of position from row to row that velocity does not explain."""
    mean = (record.velocity[1:] + record.velocity[:-1]) / 2
    curved = np.diff(record.acceleration, axis=0) * _STEP_S / 12
    return np.asarray(np.diff(record.position, axis=0) - _STEP_S * (mean - curved))


def allowed(limits: JointLimits) -> Extremes:
    """The largest extremes that are allowed.

    For a step: the error of the trapezoid rule where the jerk changes.
    """
    most = 1.0 + TOLERANCE
    step = limits.jerk * _STEP_S**3
    return Extremes(limits.velocity * most, limits.acceleration * most, limits.jerk * most, step)


def broken(record: Record, limits: JointLimits) -> list[str]:
    """Every joint and quantity beyond its limit, with both numbers; empty if there is none.

    The record's joints must be those of `limits`, in the same order.
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


def broken_commands(sent: TimedRows, limits: CommandLimits) -> list[str]:
    """Every command that left its range or changed faster than its rate, with both numbers.

    sent: messages (M, C) in the order of `limits`, by stamp. A change to zero of all of them is a
    stop, and may be at once for those that `limits` lets stop so. Commands change on the knots of
    the node's plan, and a message may stand at any time between two, so a change has a knot more
    than its stamps say.
    """
    values = sent.values
    if not len(values):
        return []
    seconds = np.diff(sent.time_ns) * 1e-9
    rates = np.abs(np.diff(values, axis=0)) / (np.maximum(seconds, 0.0) + KNOT_S)[:, None]
    stops = (values[1:] == 0.0).all(axis=1)
    rates[np.ix_(stops, limits.at_once)] = 0.0
    lines = ["a value is not finite"] * (not np.isfinite(values).all())
    lines += ["a stamp runs back"] * bool((seconds < 0.0).any())
    for column, name in enumerate(limits.names):
        low, high, most = limits.lower[column], limits.upper[column], limits.rate[column]
        least, largest = float(values[:, column].min()), float(values[:, column].max())
        if least < low - _ROUNDING or largest > high + _ROUNDING:
            lines.append(f"{name}: got {least:.4g} to {largest:.4g}, range {low:.4g} to {high:.4g}")
        fastest = float(rates[:, column].max(initial=0.0))
        if fastest > most * (1.0 + _ROUNDING):
            lines.append(f"{name}: changed by {fastest:.4g} a second, rate {most:.4g}")
    for vector in limits.vectors:
        at = limits.columns(vector)
        longest = float(np.linalg.norm(values[:, at], axis=1).max())
        fastest = float(np.linalg.norm(rates[:, at], axis=1).max(initial=0.0))
        if longest > vector.speed + _ROUNDING:
            lines.append(f"{vector.name}: got {longest:.4g}, at most {vector.speed:.4g}")
        if fastest > vector.rate * (1.0 + _ROUNDING):
            lines.append(
                f"{vector.name}: changed by {fastest:.4g} a second, rate {vector.rate:.4g}"
            )
    return lines


WINDOW_DELAY = "window_delay "
"""Prefix of a controller's name in a record's `commands`: s from a window's stamp to its use."""


def explained(record: Record) -> str:
    """When the velocity changed most, and how late the window arrived that was the latest.

    A window that comes later than the commit time after its stamp is a step: no limit holds then.
    Empty for a record without motion or without delays.
    """
    late = [
        (float(rows.values.max()), topic.removeprefix(WINDOW_DELAY), rows)
        for topic, rows in record.commands.items()
        if topic.startswith(WINDOW_DELAY) and len(rows.values)
    ]
    if not late or len(record.time_ns) < 2:
        return ""
    delay_s, name, rows = max(late, key=lambda one: one[0])
    change = np.abs(np.diff(record.velocity, axis=0)).max(axis=1)
    changed_ns = int(record.time_ns[1 + int(np.argmax(change))])
    arrived_ns = int(rows.time_ns[int(np.argmax(rows.values))])
    began_ns = int(record.time_ns[0])
    return (
        f"the velocity changed most at {(changed_ns - began_ns) * 1e-9:.3f} s of the record; the "
        f"latest window arrived at {(arrived_ns - began_ns) * 1e-9:.3f} s, {1e3 * delay_s:.0f} ms "
        f"after its stamp, at {name}"
    )


def _largest(values: Floats) -> Floats:
    return np.asarray(np.abs(values).max(axis=0))
