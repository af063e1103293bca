"""The record of the simulated tool, and the verdict on twist and tool: which limits were broken.

A twist is judged as the file promises it (sim/record). The tool is judged by what a Franka can do.
Its velocity is the simulation's own; acceleration is the change of velocity over one step of the
physics, and jerk the change of acceleration.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.limits import CommandLimits
from gr00t_ros.sim.record import Record, TimedRows, broken_commands

Floats = NDArray[np.float64]

TWIST, TOOL, ACTION, BEGINS = "twist", "tool", "action", "begins"
"""Names in a record's `commands`: accepted twists (M, 6) by stamp; the tool's pose and twist
(N, 13) and LIBERO's action (N, 7), a row for each step of the physics; the beginnings of episodes
(E, 1)."""
FRANKA_M_S, FRANKA_M_S2, FRANKA_M_S3 = 2.0, 13.0, 6500.0
FRANKA_RAD_S, FRANKA_RAD_S2, FRANKA_RAD_S3 = 2.5, 25.0, 12500.0
"""Largest Cartesian motion of a Franka Panda (libfranka 0.8, rate_limiting.h)."""


class ToolRecorder:
    """Keeps the newest rows; one thread appends, ``rows`` may run in another."""

    def __init__(self, span_s: float, tick_ns: int) -> None:
        """Keep ``span_s`` seconds, a row each ``tick_ns``."""
        kept = round(span_s * 1e9 / tick_ns)
        self._rows: deque[tuple[int, list[float]]] = deque(maxlen=kept)
        self._actions: deque[tuple[int, Sequence[float]]] = deque(maxlen=kept)
        self._begins: list[int] = []

    def begin(self, time_ns: int) -> None:
        """An episode begins: the tool may be elsewhere at once."""
        self._begins.append(time_ns)

    def append(
        self, time_ns: int, state: Mapping[str, list[float]], action: Sequence[float]
    ) -> None:
        """Add a step of the physics: the child's state and the action (7,)."""
        self._rows.append((time_ns, [*state["tool"], *state["twist"]]))
        self._actions.append((time_ns, action))

    def rows(self, stamps: NDArray[np.int64], twists: Floats) -> dict[str, TimedRows]:
        """A copy of everything kept, with accepted twists: (N,) ns, and (N, 6) m/s and rad/s."""
        begins = np.array(self._begins, dtype=np.int64)
        return {
            TWIST: TimedRows(stamps, twists),
            TOOL: _timed(list(self._rows), 13),
            ACTION: _timed(list(self._actions), 7),
            BEGINS: TimedRows(begins, np.zeros((len(begins), 1))),
        }


def _timed(rows: Sequence[tuple[int, Sequence[float]]], width: int) -> TimedRows:
    times = np.array([time_ns for time_ns, _ in rows], dtype=np.int64)
    return TimedRows(times, np.array([values for _, values in rows]).reshape(len(rows), width))


@dataclass(frozen=True, slots=True)
class ToolExtremes:
    """Largest speeds m/s, rad/s, accelerations m/s^2, rad/s^2 and jerks m/s^3, rad/s^3."""

    linear_m_s: float = 0.0
    angular_rad_s: float = 0.0
    linear_m_s2: float = 0.0
    angular_rad_s2: float = 0.0
    linear_m_s3: float = 0.0
    angular_rad_s3: float = 0.0


def tool_extremes(record: Record) -> ToolExtremes:
    """The extremes of a record's tool; the steps between two episodes are left out."""
    rows = record.commands[TOOL]
    if len(rows.values) < 2:
        return ToolExtremes()
    parts = np.diff(_episodes(record, rows.time_ns)) == 0
    seconds = np.diff(rows.time_ns)[:, None] * 1e-9

    def of(velocity: Floats) -> Iterator[float]:
        acceleration = np.diff(velocity, axis=0) / seconds
        jerk = np.diff(acceleration, axis=0) / seconds[1:]
        for values in (velocity, acceleration[parts], jerk[parts[1:] & parts[:-1]]):
            yield float(np.linalg.norm(values, axis=1).max(initial=0.0))

    along, about = of(rows.values[:, 7:10]), of(rows.values[:, 10:13])
    return ToolExtremes(*(value for pair in zip(along, about, strict=True) for value in pair))


def figures_of(found: ToolExtremes) -> dict[str, float]:
    """The extremes by the names that reports have: tool_m_s to tool_rad_s3."""
    return {
        "tool_m_s": found.linear_m_s,
        "tool_rad_s": found.angular_rad_s,
        "tool_m_s2": found.linear_m_s2,
        "tool_rad_s2": found.angular_rad_s2,
        "tool_m_s3": found.linear_m_s3,
        "tool_rad_s3": found.angular_rad_s3,
    }


def broken(record: Record, limits: CommandLimits) -> list[str]:
    """Every quantity of twist and tool beyond its limit, with both numbers; empty if none is."""
    twists = record.commands[TWIST]
    episodes = _episodes(record, twists.time_ns)
    lines = [
        f"twist {line}"
        for episode in np.unique(episodes)
        for line in broken_commands(
            TimedRows(twists.time_ns[episodes == episode], twists.values[episodes == episode]),
            limits,
        )
    ]
    return [*dict.fromkeys(lines), *_tool_broken(tool_extremes(record))]


def _tool_broken(found: ToolExtremes) -> list[str]:
    return [
        f"{what} of the tool: {got:.4g} > {most:.4g} {unit}"
        for what, got, most, unit in (
            ("velocity", found.linear_m_s, FRANKA_M_S, "m/s"),
            ("angular velocity", found.angular_rad_s, FRANKA_RAD_S, "rad/s"),
            ("acceleration", found.linear_m_s2, FRANKA_M_S2, "m/s^2"),
            ("angular acceleration", found.angular_rad_s2, FRANKA_RAD_S2, "rad/s^2"),
            ("jerk", found.linear_m_s3, FRANKA_M_S3, "m/s^3"),
            ("angular jerk", found.angular_rad_s3, FRANKA_RAD_S3, "rad/s^3"),
        )
        if not got <= most
    ]


def _episodes(record: Record, times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """(M,) number of the episode to which each row belongs."""
    begins = record.commands[BEGINS].time_ns
    return np.searchsorted(begins, times_ns, side="left").astype(np.int64)
