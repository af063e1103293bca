"""Time without clocks: the offset between two clocks, the time this process was awake, latencies.

A window's stamp moves with the offset, so its noise becomes motion: if it moves by d between two
windows, an arm at velocity v moves by v*d beside its course, and a robot that differentiates its
commands at 1 kHz sees v*d/h^2 and 2*v*d/h^3 (the third difference of a step is 1, -2, 1; h = 1
ms). At 1.3 rad/s, 75 ns are 195 rad/s^3; 5 ns are 13 rad/s^3. Each reading bounds the offset from
both sides, and Linux slews its monotonic and its system clock alike, so a reading moves the
estimate only where it contradicts it. Callers read the clocks and pass integer nanoseconds.

A stopped process hears nothing. A gap in the notes of its own thread longer than allowed is sleep,
and time asleep says nothing about a topic's age. One thread notes, others may read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# What a reading rules the estimate out by is believed in this share: smooths over about 30
# readings, which at 50 Hz follows a clock that is slewed by 500 ppm (NTP's most) to within 0.3 ms.
SHARE = 1 / 32
# Below this it is the coarseness of an earlier reading, and the estimate moves by CREEP_NS alone:
# about five readings are made between two windows, which is 5 ns.
COARSE_NS = 1_000
CREEP_NS = 1
# Ruled out by more than this: a step of a clock.
STEP_NS = 1_000_000


@dataclass(slots=True)
class ClockOffset:
    """The estimate of `other - own` in ns; None until the first reading."""

    # An int: as a float, ROS time in ns comes in steps of 256 ns, and each would be a step.
    estimate_ns: int | None = None

    def update(self, before_ns: int, other_ns: int, after_ns: int) -> int:
        """Take one reading of the other clock, made between two of the own; returns the offset.

        The true offset lies in [other - after, other - before]. The first reading, and one after a
        step, is taken at its middle: its caller makes those as narrow as it can.
        """
        low_ns, high_ns = other_ns - after_ns, other_ns - before_ns
        estimate_ns = self.estimate_ns
        if estimate_ns is None or not low_ns - STEP_NS <= estimate_ns <= high_ns + STEP_NS:
            estimate_ns = (low_ns + high_ns) // 2
        else:
            nearest_ns = min(max(estimate_ns, low_ns), high_ns)
            estimate_ns += _move_ns(nearest_ns - estimate_ns)
        self.estimate_ns = estimate_ns
        return estimate_ns


def _move_ns(away_ns: int) -> int:
    if abs(away_ns) > COARSE_NS:
        return round(SHARE * away_ns)
    return min(max(away_ns, -CREEP_NS), CREEP_NS)


Span = tuple[int, int]
"""From and until, steady time, ns."""

_KEPT = 64
"""Sleeps that are remembered: more than lie within any age that a watch compares."""


class Awake:
    """One thread's notes; reading them needs no lock, they are replaced as a whole."""

    def __init__(self, allowed_ns: int) -> None:
        """allowed_ns: the longest gap between two notes that is no sleep."""
        self.allowed_ns = allowed_ns
        self._ran_ns: int | None = None
        self._sleeps: tuple[Span, ...] = ()

    def ran(self, now_ns: int) -> int:
        """Note that the thread runs; returns how long it slept before, ns, 0 where it did not."""
        last_ns, self._ran_ns = self._ran_ns, now_ns
        if last_ns is None or now_ns - last_ns <= self.allowed_ns:
            return 0
        self._sleeps = (*self._sleeps[1 - _KEPT :], (last_ns, now_ns))
        return now_ns - last_ns

    def sleeps(self, now_ns: int) -> tuple[Span, ...]:
        """The sleeps so far, with the one that lasts now, if it does."""
        last_ns, sleeps = self._ran_ns, self._sleeps
        if last_ns is None or now_ns - last_ns <= self.allowed_ns:
            return sleeps
        return (*sleeps, (last_ns, now_ns))


def awake_ns(since_ns: int, now_ns: int, sleeps: Iterable[Span]) -> int:
    """How much of [since_ns, now_ns] lies in none of `sleeps`, which may overlap; ns."""
    left_ns, at_ns = max(0, now_ns - since_ns), since_ns
    for begin_ns, end_ns in sorted(sleeps):
        begin_ns, end_ns = max(begin_ns, at_ns), min(end_ns, now_ns)
        if begin_ns < end_ns:
            left_ns -= end_ns - begin_ns
            at_ns = end_ns
    return left_ns


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Summary of one stage over its last samples; all durations in ns, 0 without samples."""

    count: int
    p50_ns: int
    p99_ns: int
    max_ns: int


class Latencies:
    """Keeps the last `window` durations of each stage; the count goes on rising."""

    def __init__(self, window: int = 512) -> None:
        """Keep `window` durations a stage: 512 queries are minutes of replay."""
        self._window = window
        self._samples: dict[str, deque[int]] = {}
        self._counts: dict[str, int] = {}

    def add(self, stage: str, duration_ns: int) -> None:
        """Record one duration of `stage`."""
        self._samples.setdefault(stage, deque(maxlen=self._window)).append(duration_ns)
        self._counts[stage] = self._counts.get(stage, 0) + 1

    def summary(self, stage: str) -> Percentiles:
        """Percentiles of `stage`, nearest rank, so that each is a duration that was measured."""
        samples = self._samples.get(stage)
        if not samples:
            return Percentiles(0, 0, 0, 0)
        p50, p99 = np.percentile(list(samples), [50, 99], method="higher")
        return Percentiles(self._counts[stage], int(p50), int(p99), max(samples))

    def stages(self) -> tuple[str, ...]:
        """Names of the stages seen so far, in the order in which they were first seen."""
        return tuple(self._samples)
