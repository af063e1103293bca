"""Scenarios of `bench motion`: a policy's chunks, their times of arrival, and what is measured.

motion_methods.py has the methods to play them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.robot.limits import JointLimits

Floats = NDArray[np.float64]
MS = 1_000_000
START_NS = 1_000 * MS
DURATION_NS = 6_000 * MS
EXECUTED_STEPS = 8
JITTER_SHARE = 0.2
SPEED_RAD_S = 0.5

# FR3 (limits.md): libfranka's position-dependent velocity limits, this package's 6 and 400.
LOWER = np.array([-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159])
UPPER = np.array([2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159])
HOME = np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8])
LIMITS = JointLimits(
    names=tuple(f"fr3_joint{k}" for k in range(1, 8)),
    lower=LOWER,
    upper=UPPER,
    velocity=np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26]),
    acceleration=np.full(7, 6.0),
    jerk=np.full(7, 400.0),
    margin=np.full(7, 0.05),
    # so large that every method gets every chunk: the motion is compared, not the guard
    jump=np.full(7, 9.0),
    held=np.full(7, 0.05),
    envelope=np.array(
        [
            [0.30, 12.0, 2.75010, -2.75010],
            [0.20, 5.17, 1.79180, -1.79180],
            [0.20, 7.00, 2.90650, -2.90650],
            [0.30, 8.00, -0.1458, -3.04810],
            [0.35, 34.0, 2.81010, -2.81010],
            [0.35, 11.0, 4.52050, 0.54092],
            [0.35, 34.0, 3.01960, -3.01960],
        ]
    ),
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A form of chunks, a latency with jitter, and a disagreement between successive chunks, rad.

    death_ns: the time at which the node is killed.
    """

    name: str
    steps: int
    step_ns: int
    latency_ns: int
    disagreement: float
    death_ns: int | None = None


def scenarios() -> Iterator[Scenario]:
    """Three forms of chunks, four latencies, two disagreements; and for each form a killed node."""
    forms = (
        ("16 at 30 Hz", 16, 33_333_333),
        ("40 at 15 Hz", 40, 66_666_667),
        ("50 at 20 Hz", 50, 50 * MS),
    )
    for disagreement in (0.02, 0.1):
        for name, steps, step_ns in forms:
            for latency_ms in (60, 120, 250, 400):
                yield Scenario(name, steps, step_ns, latency_ms * MS, disagreement)
    for name, steps, step_ns in forms:
        killed = f"{name}, killed"
        yield Scenario(killed, steps, step_ns, 120 * MS, 0.02, START_NS + 3_137 * MS)


def arrivals(scenario: Scenario) -> list[tuple[int, ActionChunk]]:
    """Chunks that disagree by up to `disagreement`, and their times of arrival."""

    def answer(rng: np.random.Generator, rows: Floats, asked_ns: int, _: object) -> Floats:
        return rows + rng.uniform(-scenario.disagreement, scenario.disagreement, len(HOME))

    return arrivals_of(scenario, answer)


def arrivals_of(
    scenario: Scenario,
    answer: Callable[[np.random.Generator, Floats, int, ActionChunk | None], Floats],
) -> list[tuple[int, ActionChunk]]:
    """Chunks and their times of arrival: one request in flight, one every 8 steps or later.

    answer: what the policy makes of the rows (T, J) rad of the path, for an observation of that
    time; the last argument is the chunk before, None for the first one.
    """
    rng = np.random.default_rng(0)
    path = chunk_path(rng)
    result: list[tuple[int, ActionChunk]] = []
    asked_ns = START_NS
    while asked_ns < START_NS + DURATION_NS:
        late = 1.0 + rng.uniform(-JITTER_SHARE, JITTER_SHARE)
        arrival_ns = asked_ns + round(scenario.latency_ns * late / MS) * MS
        times_ns = asked_ns - START_NS + np.arange(scenario.steps) * scenario.step_ns
        before = result[-1][1] if result else None
        joints = answer(rng, HOME + path(times_ns * np.float64(1e-9)), asked_ns, before)
        chunk = ActionChunk(len(result), 1, asked_ns, scenario.step_ns, joints, {})
        if scenario.death_ns is None or arrival_ns < scenario.death_ns:
            result.append((arrival_ns, chunk))
        asked_ns = max(asked_ns + EXECUTED_STEPS * scenario.step_ns, arrival_ns)
    return result


def chunk_path(rng: np.random.Generator) -> Callable[[Floats], Floats]:
    """A smooth path of at most about 0.5 rad/s: seconds (N,) -> (N, 7) rad from home."""
    rate = rng.uniform(0.5, 2.0, (2, len(HOME)))
    phase = rng.uniform(0, 2 * np.pi, (2, len(HOME)))
    size = SPEED_RAD_S / rate / 2

    def path(seconds: Floats) -> Floats:
        t = seconds[:, None]
        waves = [size[k] * (np.sin(rate[k] * t + phase[k]) - np.sin(phase[k])) for k in (0, 1)]
        total: Floats = sum(waves, np.zeros((1, len(HOME)))) * np.minimum(t, 1.0) ** 2
        return total

    return path


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one method in one scenario, over all samples of 1 ms and all joints."""

    method: str
    scenario: str
    latency_ms: int
    disagreement: float
    feasible: bool
    max_velocity: float
    max_acceleration: float
    max_jerk: float
    rms_lag: float
    rejected: int
    # after the death of the node: seconds until rest, NaN if it did not die or never rested
    rest_s: float


def measure(
    method: str, scenario: Scenario, feasible: bool, played: Floats, raw: Floats, rejected: int
) -> Row:
    """The row from difference quotients over 1 ms of the controller's commands, (N, 7) rad."""
    v, a, j = (np.abs(np.diff(played, n=n, axis=0)).max() * 1e3**n for n in (1, 2, 3))
    alive = slice(1000, None)
    rest_s = np.nan
    if scenario.death_ns is not None:
        dead = (scenario.death_ns - START_NS) // MS
        alive = slice(1000, dead)
        moving = np.flatnonzero(np.abs(np.diff(played[dead:], axis=0)).max(axis=1) > 1e-9)
        rest_s = float(moving[-1] + 1) * 1e-3 if len(moving) else 0.0
    lag = float(np.sqrt(np.mean((played - raw)[alive] ** 2)))
    latency_ms = scenario.latency_ns // MS
    return Row(
        method, scenario.name, latency_ms, scenario.disagreement, feasible,
        float(v), float(a), float(j), lag, rejected, rest_s,
    )  # fmt: skip
