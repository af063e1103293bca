"""The effect of a server's RTC on the motion: a policy that changes its mind, with RTC and without.

Each chunk of this policy goes to one of two sides at random, with jitter in each step: it is
multimodal, as policies that learned from several people are. With RTC our servers' own inpainting
joins each chunk to the one before, with the steps that the node asks for (session/overlap.py). The
lag of the plan, which a node would ask with, is left out here: the chunks are made before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.motion_methods import SETTINGS, play, raw_reference
from bench.motion_scenarios import (
    HOME,
    JITTER_SHARE,
    LIMITS,
    MS,
    START_NS,
    Scenario,
    arrivals_of,
    chunk_path,
)
from bench.paired import Target
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.serve.inpaint import inpainted
from gr00t_ros.session.overlap import Followed, overlap_with
from gr00t_ros.wire.rtc import RAMP_RATE

Floats = NDArray[np.float64]
Arrivals = Sequence[tuple[int, ActionChunk]]

SIDE_RAD = 0.05  # how far each of the two modes is from the middle
STEP_JITTER_RAD = 0.002
TURN_RAD = 0.15  # by which the policy's target moves at once, in the scenario without two modes
TURN_NS = START_NS + 3_000 * MS
SEAM_GOAL = 0.5  # with RTC, of the jump without it
METHODS = ("gr00t_ros", "whole chunk")
OURS = METHODS[0]


@dataclass(frozen=True, slots=True)
class RtcRow:
    """One method at one latency; velocity, acceleration and jerk are the largest of 1 ms samples.

    seam_rad: rms over joints and seams of the jump from one chunk to the next where it takes over.
    rms_jerk: of all samples and joints, rad/s^3. rms_lag: rad from the merged chunks. turn_ms: from
    the first picture of a target that moved until half of the way is played.
    """

    method: str
    rtc: bool
    latency_ms: int
    seam_rad: float
    max_velocity: float
    max_acceleration: float
    max_jerk: float
    rms_jerk: float
    rms_lag: float
    turn_ms: float
    rejected: int


def rtc_rows(smoke: bool = False) -> list[RtcRow]:
    """Both methods, with RTC and without, at three latencies; smoke: at one."""
    latencies = (60, 120, 250)[: 1 if smoke else 3]
    return [row for latency_ms in latencies for row in _rows(latency_ms)]


def _rows(latency_ms: int) -> Iterator[RtcRow]:
    scenario = Scenario("40 at 15 Hz, two modes", 40, 66_666_667, latency_ms * MS, SIDE_RAD)
    for method in METHODS:
        for rtc in (False, True):
            chunks = _arrivals(scenario, rtc, two_modes=True)
            played, rejected = play(method, scenario, chunks)
            turn = _arrivals(scenario, rtc, two_modes=False)
            v, a, j = (np.diff(played, n=n, axis=0) * 1e3**n for n in (1, 2, 3))
            velocity, acceleration, jerk = (float(np.abs(one).max()) for one in (v, a, j))
            lag = (played - raw_reference(chunks))[1000:]
            yield RtcRow(
                method,
                rtc,
                latency_ms,
                _seam_rad(chunks),
                velocity,
                acceleration,
                jerk,
                float(np.sqrt(np.mean(j**2))),
                float(np.sqrt(np.mean(lag**2))),
                _turn_ms(play(method, scenario, turn)[0], turn),
                rejected,
            )


def _arrivals(scenario: Scenario, rtc: bool, two_modes: bool) -> Arrivals:
    """Chunks and their times of arrival; without two modes the target moves at TURN_NS instead."""
    slowest_ns = round(scenario.latency_ns * (1.0 + JITTER_SHARE))
    acts_after_ns = slowest_ns + SETTINGS.commit_ns + SETTINGS.knot_ns

    def answer(
        rng: np.random.Generator, rows: Floats, asked_ns: int, before: ActionChunk | None
    ) -> Floats:
        side = rng.choice([-1.0, 1.0], len(HOME)) * scenario.disagreement
        jitter = rng.normal(0.0, STEP_JITTER_RAD, (scenario.steps, len(HOME)))
        moved = (side + jitter) if two_modes else TURN_RAD * (asked_ns >= TURN_NS)
        free = rows + moved
        return _continued(before, free, asked_ns, acts_after_ns) if rtc and before else free

    return arrivals_of(scenario, answer)


def _continued(before: ActionChunk, joints: Floats, asked_ns: int, acts_after_ns: int) -> Floats:
    """The answer of a server with RTC, asked as the node asks; (T, J) rad."""
    overlap = overlap_with(Followed(before, 0, acts_after_ns), asked_ns)
    if overlap is None:
        return joints
    old, new = ({"joints": rows[None].astype(np.float32)} for rows in (before.joints, joints))
    joined = inpainted(old, new, overlap, RAMP_RATE)["joints"][0]
    return np.asarray(joined, np.float64)


def _seam_rad(chunks: Arrivals) -> float:
    """The rms jump where each chunk takes over from the one before."""
    jumps = []
    for (_, old), (arrival_ns, new) in zip(chunks, chunks[1:], strict=False):
        at_ns = arrival_ns + SETTINGS.commit_ns
        jumps.append(_position(new, at_ns) - _position(old, at_ns))
    return float(np.sqrt(np.mean(np.square(jumps))))


def _position(chunk: ActionChunk, at_ns: int) -> Floats:
    """(J,) rad of the raw chunk at a time, linear between its steps."""
    along = (at_ns - chunk.stamp_ns) / chunk.step_ns
    steps = np.arange(len(chunk.joints))
    return np.array([np.interp(along, steps, column) for column in chunk.joints.T])


def _turn_ms(played: Floats, chunks: Arrivals) -> float:
    """Time from the first observation that shows the moved target until half of it is played."""
    path = chunk_path(np.random.default_rng(0))
    times_ns = MS * np.arange(len(played))
    away = (played - HOME - path(times_ns * np.float64(1e-9))).mean(axis=1)
    first_ns = next(chunk.stamp_ns for _, chunk in chunks if chunk.stamp_ns >= TURN_NS) - START_NS
    later = np.flatnonzero((away > TURN_RAD / 2) & (times_ns > first_ns))
    return float(times_ns[later[0]] - first_ns) / MS if len(later) else float("inf")


def rtc_table(rows: Sequence[RtcRow]) -> list[str]:
    """One line a row."""
    lines = [
        f"{'two modes, 40 at 15 Hz':22}{'latency':>8}{'RTC':>5}{'seam, rad':>11}{'rad/s':>8}"
        f"{'rad/s^2':>10}{'rad/s^3':>11}{'rms jerk':>10}{'rms lag':>9}{'turn':>9}"
    ]
    for row in rows:
        lines.append(
            f"{row.method:22}{row.latency_ms:>5} ms{'on' if row.rtc else 'off':>5}"
            f"{row.seam_rad:>11.4f}{row.max_velocity:>8.2f}{row.max_acceleration:>10.2f}"
            f"{row.max_jerk:>11.0f}{row.rms_jerk:>10.1f}{row.rms_lag:>9.4f}{row.turn_ms:>6.0f} ms"
        )
    return lines


def rtc_targets(rows: Sequence[RtcRow], rounding: float) -> tuple[Target, ...]:
    """Our limits with RTC and without, and what RTC does to seams and jerk."""
    ours = [row for row in rows if row.method == OURS]
    on, off = ([row for row in ours if row.rtc is rtc] for rtc in (True, False))
    seams = max(a.seam_rad / b.seam_rad for a, b in zip(on, off, strict=True))
    jerks = max(a.rms_jerk / b.rms_jerk for a, b in zip(on, off, strict=True))
    acceleration, jerk = float(LIMITS.acceleration[0]), float(LIMITS.jerk[0])
    fastest = max(row.max_acceleration for row in ours) / rounding
    return (
        Target("two modes, rad/s^2", fastest, acceleration),
        Target("two modes, rad/s^3", max(r.max_jerk for r in ours) / rounding, jerk),
        Target("two modes, windows rejected", sum(r.rejected for r in ours), 0),
        Target("two modes, seam with RTC / without", seams, SEAM_GOAL),
        Target("two modes, rms jerk with RTC / without", jerks, 1.0),
    )
