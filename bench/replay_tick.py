"""What one tick of the replay costs: reference, shaper, plan and a window of about 100 knots.

One thread, no ROS. A new chunk is merged every eighth step, as in the node; the ticks after a merge
compute the whole future again and are reported separately.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from bench.motion_scenarios import HOME, LIMITS, MS
from bench.paired import percentile
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.robot.limits import JointLimits

# On a grid of 10 ms these give windows of about 100 knots, past and stop ramp included.
SETTINGS = ReplaySettings(knot_ns=10 * MS, horizon_ns=880 * MS)
STEPS, STEP_NS, EXECUTED = 40, 66_666_667, 8
TICKS, SMOKE_TICKS, WARM_UP = 400, 60, 50


@dataclass(frozen=True, slots=True)
class TickCost:
    """Milliseconds of a tick, of a tick right after a merge, of the merge; knots of a window."""

    joints: int
    knots: float
    median_ms: float
    p99_ms: float
    after_merge_ms: float
    merge_ms: float


def measure(joints: int, count: int = TICKS) -> TickCost:
    """Tick a moving plan of `joints` joints, with FR3's limits repeated for all joints."""
    home = np.resize(HOME, joints)
    replay, now_ns = Replay(_limits(joints), SETTINGS), 1_000 * MS
    replay.start(now_ns, home)
    merge_every = EXECUTED * STEP_NS // SETTINGS.refresh_ns
    ticks, fresh, merges, knots = [], [], [], []
    for number in range(WARM_UP + count):
        merged = number % merge_every == 0
        before = time.perf_counter_ns()
        if merged:
            replay.accept(_chunk(number, now_ns, home), now_ns)
        start = time.perf_counter_ns()
        window = replay.tick(now_ns)
        end = time.perf_counter_ns()
        if number >= WARM_UP and window is not None:
            ticks.append((end - start) * 1e-6)
            knots.append(len(window.times_ns))
            if merged:
                fresh.append((end - start) * 1e-6)
                merges.append((start - before) * 1e-6)
        now_ns += SETTINGS.refresh_ns
    median = statistics.median
    return TickCost(
        joints, statistics.mean(knots), median(ticks), percentile(ticks, 99),
        median(fresh), median(merges),
    )  # fmt: skip


def _chunk(number: int, now_ns: int, home: np.ndarray) -> ActionChunk:
    seconds = (now_ns - 120 * MS + STEP_NS * np.arange(STEPS)) * 1e-9
    rates = 0.5 + np.arange(len(home)) / len(home)
    joints = home + 0.2 * np.sin(np.outer(seconds, rates)) + 0.01 * (number % 2)
    return ActionChunk(number, 1, now_ns - 120 * MS, STEP_NS, joints, {})


def _limits(joints: int) -> JointLimits:
    def again(values: np.ndarray) -> np.ndarray:
        return np.resize(values, (joints, *values.shape[1:]))

    fields = ("lower", "upper", "velocity", "acceleration", "jerk", "margin", "jump", "held")
    return JointLimits(
        names=tuple(f"joint{number}" for number in range(joints)),
        envelope=again(LIMITS.envelope),
        **{name: again(getattr(LIMITS, name)) for name in fields},
    )
