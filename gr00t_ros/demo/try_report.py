"""The report of one try: what moved, how far, and how fast against the limits; as data and text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.actions import AnyOutput, Output
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.limits import JointLimits
from gr00t_ros.robot.outputs import CommandOutput, PoseOutput
from gr00t_ros.serve.wave import WavePolicy
from gr00t_ros.sim.record import TOLERANCE, Record, TimedRows, broken, extremes
from gr00t_ros.text_table import printable, table

Floats = NDArray[np.float64]

_MOVED = 0.02
"""Least share of its amplitude that a joint must have moved; the stand-in robot has no noise."""

_STATE_S = 0.02  # a streamer publishes what it plays at 50 Hz


@dataclass(frozen=True, slots=True)
class PeakRate:
    """The largest value of a rate, and its limit in the file."""

    most: float
    limit: float

    def __str__(self) -> str:
        """Both numbers."""
        return f"{self.most:.3g} of {self.limit:g}"


@dataclass(frozen=True, slots=True)
class TriedJoint:
    """One joint: where it was commanded (rad or m), and its rates."""

    name: str
    output: str
    lowest: float
    highest: float
    lower_limit: float
    upper_limit: float
    velocity: PeakRate
    acceleration: PeakRate
    jerk: PeakRate


@dataclass(frozen=True, slots=True)
class TriedOutput:
    """One output: what happened; `problem` is empty if that is right."""

    name: str
    type: str
    result: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class TryReport:
    """Everything that one run showed; `problem`: why it ended early, else empty."""

    file: str
    robot: str
    embodiment_tag: str
    problem: str
    motion_s: float
    joints: tuple[TriedJoint, ...] = ()
    outputs: tuple[TriedOutput, ...] = ()
    beyond_limits: tuple[str, ...] = ()
    chunks: Mapping[str, int] = field(default_factory=dict)
    latencies_ms: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    pauses: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the answer is no; empty if every output did what it should inside its limits."""
        early = (self.problem,) if self.problem else ()
        outputs = (f"output {one.name}: {one.problem}" for one in self.outputs if one.problem)
        return (*early, *outputs, *self.beyond_limits)

    def as_map(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {"success": not self.problems, "problems": list(self.problems), **asdict(self)}


# --- what the record shows -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Course:
    """What some joints were commanded: positions (N, J), and their largest rates (J,)."""

    names: tuple[str, ...]
    position: Floats
    velocity: Floats
    acceleration: Floats
    jerk: Floats


def judged(
    record: Record, robot: Embodiment, policy: WavePolicy
) -> tuple[tuple[TriedJoint, ...], tuple[TriedOutput, ...], tuple[str, ...]]:
    """Joints, outputs, and lines about limits that were not kept.

    Trajectories are judged at 1 kHz, streamed joints by what their streamer played.
    """
    played = _played(record)
    courses = [*([played] if played else []), *_streamed(record, robot)]
    found = {joint.name: joint for course in courses for joint in _joints(course, robot)}
    joints = tuple(found[name] for name in robot.joint_names if name in found)
    beyond = [line for course in courses for line in _outside(course, robot.limits)]
    if played:
        beyond += broken(record, robot.limits.of(record.joint_names))
    beyond += [
        line for course in courses if course is not played for line in _too_fast(course, robot)
    ]
    spans = {joint.name: joint.highest - joint.lowest for joint in joints}
    outputs = [_of_joints(one, spans, policy) for one in robot.outputs]
    outputs += [_of_others(one, record, policy) for one in robot.streamed]
    return joints, tuple(outputs), tuple(beyond)


def _played(record: Record) -> _Course | None:
    """The joints of all trajectory controllers."""
    if not len(record.time_ns) or not record.joint_names:
        return None
    found = extremes(record)
    return _Course(
        record.joint_names, record.position, found.velocity, found.acceleration, found.jerk
    )


def _streamed(record: Record, robot: Embodiment) -> Iterator[_Course]:
    """The joints of each streamer; the jerk is a mean over 20 ms."""
    for output in robot.outputs:
        rows = record.commands.get(output.state_topic)
        if output.type != "forward_command" or rows is None or len(rows.time_ns) < 2:
            continue
        position, velocity, acceleration = np.split(rows.values, 3, axis=1)
        seconds = np.maximum(np.diff(rows.time_ns) * 1e-9, _STATE_S)[:, None]
        jerk = np.abs(np.diff(acceleration, axis=0)) / seconds
        yield _Course(
            output.names,
            position,
            np.abs(velocity).max(axis=0),
            np.abs(acceleration).max(axis=0),
            jerk.max(axis=0),
        )


def _joints(course: _Course, robot: Embodiment) -> Iterator[TriedJoint]:
    limits = robot.limits.of(course.names)
    owner = {name: output.name for output in robot.outputs for name in output.names}
    for column, name in enumerate(course.names):
        yield TriedJoint(
            name,
            owner[name],
            float(course.position[:, column].min()),
            float(course.position[:, column].max()),
            float(limits.lower[column]),
            float(limits.upper[column]),
            PeakRate(float(course.velocity[column]), float(limits.velocity[column])),
            PeakRate(float(course.acceleration[column]), float(limits.acceleration[column])),
            PeakRate(float(course.jerk[column]), float(limits.jerk[column])),
        )


def _outside(course: _Course, limits: JointLimits) -> Iterator[str]:
    for ends in (course.position.min(axis=0), course.position.max(axis=0)):
        yield from limits.outside(dict(zip(course.names, ends.tolist(), strict=True)))


def _too_fast(course: _Course, robot: Embodiment) -> Iterator[str]:
    """The joints of a streamer that were faster than their limits."""
    for joint in _joints(course, robot):
        for what, rate in (
            ("velocity", joint.velocity),
            ("acceleration", joint.acceleration),
            ("jerk", joint.jerk),
        ):
            if not rate.most <= rate.limit * (1.0 + TOLERANCE):
                yield f"{what} of {joint.name}: {rate}"


def _of_joints(output: Output, spans: Mapping[str, float], policy: WavePolicy) -> TriedOutput:
    waved = [name for name in output.names if name in policy.amplitudes]
    still = [name for name in waved if not spans.get(name, 0.0) > _MOVED * policy.amplitudes[name]]
    if still:
        return TriedOutput(output.name, output.type, "", f"did not move: {', '.join(still)}")
    moved = [f"moved by up to {max(spans[name] for name in waved):.3f}"] if waved else []
    return TriedOutput(output.name, output.type, "; ".join([*moved, *_held(output, policy)]))


def _of_others(
    output: CommandOutput | PoseOutput, record: Record, policy: WavePolicy
) -> TriedOutput:
    """A base, a level, a gripper by action or a pose: all are held."""
    rows = record.commands.get(output.topic)
    goals = isinstance(output, CommandOutput) and output.goals is not None
    if rows is None and not goals:  # a gripper gets a goal only where one is needed
        return TriedOutput(output.name, output.type, "", f"nothing arrived on {output.topic}")
    got = "no goal was sent" if rows is None else _received(rows)
    return TriedOutput(output.name, output.type, "; ".join([*_held(output, policy), got]))


def _held(output: AnyOutput, policy: WavePolicy) -> list[str]:
    """Why it is held, or which part of it."""
    return [
        f"held: {one.why}" if len(one.names) == len(output.names) else f"held: {one}"
        for one in policy.held
        if one.output == output.name
    ]


def _received(rows: TimedRows) -> str:
    low, high = rows.values.min(axis=0), rows.values.max(axis=0)
    span = float((high - low).max())
    numbers = ", ".join(f"{value:.3g}" for value in low)
    same = f"all {numbers}" if span == 0.0 else f"equal to {span:.2g}"
    return f"{len(rows.time_ns)} messages, {same}"


# --- text ----------------------------------------------------------------------------------


def report_text(report: TryReport) -> str:
    """The report as lines for a terminal."""
    chunks = ", ".join(f"{count} {what}" for what, count in report.chunks.items())
    blocks = [
        f"{report.file}: {report.robot}, tag {report.embodiment_tag}; "
        f"{report.motion_s:.1f} s of motion without a robot",
        f"answered as assumed: {', '.join(report.settled)}" if report.settled else "",
        _listed("replaced for this try", report.replaced),
        _outputs_text(report.outputs),
        _joints_text(report.joints),
        f"chunks: {chunks}" if chunks else "",
        _latencies_text(report.latencies_ms),
        _listed("pauses", report.pauses) if report.joints else "",
        _parameters_text(report.parameters),
    ]
    moved = any(one.result.startswith("moved") for one in report.outputs)
    done = "every output moved or was held" if moved else "nothing moves: every output was held"
    verdict, problems = f"{done}, inside the limits", "; ".join(report.problems)
    blocks.append(f"FAILURE: {problems}" if problems else f"SUCCESS: {verdict}")
    return "\n".join(block for block in blocks if block)


def _listed(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return "pauses: none" if title == "pauses" else ""
    return "\n".join([f"{title}:", *(f"  {printable(line)}" for line in lines)])


def _outputs_text(outputs: Sequence[TriedOutput]) -> str:
    if not outputs:
        return ""
    rows = [(one.name, one.type, one.problem or one.result) for one in outputs]
    return "\n" + table(("output", "type", "what it did"), rows)


def _joints_text(joints: Sequence[TriedJoint]) -> str:
    """Units are those of the file: rad, or m for a joint that slides."""
    if not joints:
        return ""
    rows = [
        (
            one.name,
            f"{one.highest - one.lowest:.4f}",
            f"{one.lowest:.3f} to {one.highest:.3f} of {one.lower_limit:g} to {one.upper_limit:g}",
            one.velocity,
            one.acceleration,
            one.jerk,
        )
        for one in joints
    ]
    header = ("joint", "moved", "position", "velocity /s", "acceleration /s^2", "jerk /s^3")
    return "\n" + table(header, rows) + "\n"


def _latencies_text(latencies_ms: Mapping[str, tuple[float, float, float]]) -> str:
    stages = (
        f"{stage} {p50:.0f}/{p99:.0f}/{most:.0f}"
        for stage, (p50, p99, most) in latencies_ms.items()
    )
    return f"latencies p50/p99/max, ms: {', '.join(stages)}" if latencies_ms else ""


def _parameters_text(parameters: Mapping[str, object]) -> str:
    given = ", ".join(f"{name}:={value}" for name, value in parameters.items())
    return f"parameters of the node: {given}" if given else ""
