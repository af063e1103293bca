"""Methods to play action chunks on a joint trajectory controller: ours, and those that others use.

The loop calls each method every millisecond, delivers what it publishes 0 to 20 ms later, in order,
and samples the controller's model. The simpler methods are written as their users write them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.motion_scenarios import DURATION_NS, HOME, LIMITS, MS, START_NS, Scenario
from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.reference import Reference
from gr00t_ros.motion.replay import Replay
from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.motion.sampler import JtcSampler, Trajectory

Floats = NDArray[np.float64]
Arrivals = Sequence[tuple[int, ActionChunk]]
SETTINGS = ReplaySettings()


class Method(Protocol):
    """The part of a node that takes chunks and publishes trajectories."""

    def arrived(self, chunk: ActionChunk, now_ns: int) -> Trajectory | None:
        """Take a chunk; returns what is published on its arrival."""
        ...

    def due(self, now_ns: int) -> Trajectory | None:
        """What a timer publishes in this millisecond."""
        ...


class Ours:
    """gr00t_ros: rolling windows of a jerk-limited plan, each with a stop ramp at its end."""

    def __init__(self, settings: ReplaySettings = SETTINGS) -> None:
        self._replay = Replay(LIMITS, settings)
        self._replay.start(START_NS, HOME)

    def arrived(self, chunk: ActionChunk, now_ns: int) -> Trajectory | None:
        """Check and merge the chunk; the timer publishes."""
        self._replay.accept(chunk, now_ns)
        return None

    def due(self, now_ns: int) -> Trajectory | None:
        """A window every 20 ms."""
        return self._replay.tick(now_ns) if now_ns % SETTINGS.refresh_ns == 0 else None


class Measured(Ours):
    """The same with a commit time by the delivery of states, which take up to 20 ms as windows."""

    def __init__(self) -> None:
        super().__init__(replace(SETTINGS, commit="measured"))
        self._rng = np.random.default_rng(1)
        for now_ns in range(START_NS - 60_000 * MS, START_NS, SETTINGS.refresh_ns):
            self._heard(now_ns)
            self._replay.commit.at(now_ns)

    def due(self, now_ns: int) -> Trajectory | None:
        """A state and a window every 20 ms."""
        if now_ns % SETTINGS.refresh_ns == 0:
            self._heard(now_ns)
        return super().due(now_ns)

    def _heard(self, now_ns: int) -> None:
        self._replay.commit.received(now_ns, int(self._rng.integers(0, 21)) * MS)


class WholeChunk:
    """The whole chunk on arrival, from its first step, positions only, stamp 0."""

    def arrived(self, chunk: ActionChunk, now_ns: int) -> Trajectory | None:
        """Row k is due k + 1 steps after the start."""
        times_ns = (np.arange(len(chunk.joints), dtype=np.int64) + 1) * chunk.step_ns
        return Trajectory(0, times_ns, chunk.joints)

    def due(self, now_ns: int) -> Trajectory | None:
        """Nothing."""
        return None


class SinglePoints:
    """A timer at the step rate publishes one point, a period ahead; step 0 is the arrival's."""

    def __init__(self) -> None:
        self._chunk: ActionChunk | None = None
        self._next_ns, self._index = 0, 0

    def arrived(self, chunk: ActionChunk, now_ns: int) -> Trajectory | None:
        """The newest chunk replaces the one before."""
        self._chunk, self._index, self._next_ns = chunk, 0, now_ns
        return None

    def due(self, now_ns: int) -> Trajectory | None:
        """The next row, the last one again and again."""
        if self._chunk is None or now_ns < self._next_ns:
            return None
        row = self._chunk.joints[min(self._index, len(self._chunk.joints) - 1)]
        self._index, self._next_ns = self._index + 1, self._next_ns + self._chunk.step_ns
        return Trajectory(0, np.array([self._chunk.step_ns]), row[None])


class LinearSampling:
    """The chunk, aligned by its stamp, sampled linearly at 100 Hz; each sample is held."""

    PERIOD_NS = 10 * MS

    def __init__(self) -> None:
        self._reference = Reference("newest", MS)

    def arrived(self, chunk: ActionChunk, now_ns: int) -> Trajectory | None:
        """The chunk takes over at once."""
        self._reference.clear()
        self._reference.merge(chunk, chunk.joints, now_ns - 9 * MS, HOME, 0)
        return None

    def due(self, now_ns: int) -> Trajectory | None:
        """A step, as a forward command controller takes it."""
        if not self._reference or now_ns % self.PERIOD_NS:
            return None
        row = self._reference.sample(np.array([now_ns]))
        return Trajectory(0, np.zeros(1, dtype=np.int64), row)


class CrossfadeCubic:
    """The rest of the chunk crossfaded with the last one, cubic knots every 50 ms, stamp 0."""

    def __init__(self) -> None:
        self._reference = Reference("crossfade", SETTINGS.fade_ns)

    def arrived(self, chunk: ActionChunk, now_ns: int) -> Trajectory | None:
        """Velocities are central differences, zero at both ends."""
        self._reference.merge(chunk, chunk.joints, now_ns, HOME, 0)
        end_ns = max(chunk.end_ns, now_ns + 100 * MS)
        times_ns = np.arange(50 * MS, end_ns - now_ns + 1, 50 * MS)
        positions = self._reference.sample(now_ns + times_ns)
        velocities = np.gradient(positions, 0.05, axis=0)
        velocities[-1] = 0.0
        return Trajectory(0, times_ns, positions, velocities)

    def due(self, now_ns: int) -> Trajectory | None:
        """Nothing."""
        return None


METHODS: dict[str, tuple[Callable[[], Method], bool]] = {
    # name: (method, interpolate_from_desired_state)
    "gr00t_ros": (Ours, False),
    "gr00t_ros, measured commit": (Measured, False),
    "gr00t_ros, ensemble": (lambda: Ours(replace(SETTINGS, merge="ensemble")), False),
    "whole chunk": (WholeChunk, False),
    "whole chunk, desired start": (WholeChunk, True),
    "single points": (SinglePoints, False),
    "linear sampling": (LinearSampling, False),
    "crossfade cubic": (CrossfadeCubic, False),
}


def play(name: str, scenario: Scenario, arrivals: Arrivals, seed: int = 0) -> tuple[Floats, int]:
    """The controller's commands each millisecond, (N, 7) rad, and the number of its rejections."""
    make, from_desired = METHODS[name]
    method, rng = make(), np.random.default_rng(seed)
    jtc = JtcSampler(len(HOME), interpolate_from_desired_state=from_desired, period_ns=MS)
    jtc.hold(HOME)
    waiting, under_way = list(arrivals), list[tuple[int, Trajectory]]()
    played, rejected = np.empty((DURATION_NS // MS, len(HOME))), 0
    for index in range(len(played)):
        now_ns = START_NS + index * MS
        published: list[Trajectory | None] = []
        while waiting and waiting[0][0] <= now_ns:
            published.append(method.arrived(waiting.pop(0)[1], now_ns))
        if scenario.death_ns is None or now_ns < scenario.death_ns:
            published.append(method.due(now_ns))
        for trajectory in published:
            if trajectory is not None:
                last_ns = under_way[-1][0] if under_way else 0
                arrives_ns = now_ns + int(rng.integers(0, 21)) * MS
                under_way.append((max(last_ns, arrives_ns), trajectory))
        while under_way and under_way[0][0] <= now_ns:
            measured = played[max(index - 1, 0)] if index else HOME
            reason = jtc.accept(under_way.pop(0)[1], now_ns, measured)
            rejected += reason is not None
        played[index] = jtc.sample(now_ns)[0]
    return played, rejected


def raw_reference(arrivals: Arrivals) -> Floats:
    """The merged raw reference each millisecond, (N, 7) rad, as gr00t_ros merges it."""
    reference = Reference(SETTINGS.merge, SETTINGS.fade_ns)
    times_ns = START_NS + MS * np.arange(DURATION_NS // MS)
    raw = np.tile(HOME, (len(times_ns), 1))
    for arrival_ns, chunk in arrivals:
        knot_ns = SETTINGS.knot_ns
        splice_ns = -(-(arrival_ns + SETTINGS.commit_ns) // knot_ns) * knot_ns
        if chunk.end_ns < splice_ns:
            continue
        reference.merge(chunk, chunk.joints, splice_ns, HOME, 0)
        later = times_ns >= splice_ns
        raw[later] = reference.sample(times_ns[later])
    return raw
