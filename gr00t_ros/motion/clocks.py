"""The offset between two clocks, the time this process was awake, latencies; reads no clock.

Callers read the clocks and pass integer nanoseconds.

Offset: a window's stamp moves with the estimate, so noise of the estimate becomes motion. If it
moves by d between two windows, an arm at velocity v is displaced by v*d, and a robot that
differentiates its commands at 1 kHz sees v*d/h^2 and 2*v*d/h^3 (the third difference of a step is
1, -2, 1; h = 1 ms). At 1.3 rad/s, 75 ns are 195 rad/s^3; 5 ns are 13 rad/s^3. Each reading bounds
the offset from both sides, and Linux slews its monotonic and its system clock alike. So a reading
moves the estimate only where it contradicts it.

Awake: a stopped process receives nothing. Its thread notes each run; a gap between two notes that
is longer than allowed counts as sleep, and sleep does not count towards the age of a topic. One
thread writes the notes, others may read them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

# Share of a contradiction by which a reading moves the estimate. It smooths over about 30 readings;
# at 50 Hz it follows a clock that is slewed by 500 ppm (NTP's maximum) to within 0.3 ms.
SHARE = 1 / 32
# A smaller contradiction comes from the coarseness of an earlier reading, and the estimate moves by
# CREEP_NS only: about five readings are made between two windows, which is 5 ns.
COARSE_NS = 1_000
CREEP_NS = 1
# A larger contradiction is a step of a clock.
STEP_NS = 1_000_000


@dataclass(slots=True)
class ClockOffset:
    """The estimate of `other - own` in ns; None until the first reading."""

    # An int: a float holds ROS time in ns only in steps of 256 ns, and each would move the arm.
    estimate_ns: int | None = None

    def update(self, before_ns: int, other_ns: int, after_ns: int) -> int:
        """Take one reading of the other clock between two of our own; return the offset, ns.

        The true offset lies in [other - after, other - before]. The first reading, and the first
        after a step, sets the estimate to the middle: the caller makes these as narrow as it can.
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


SleepSpan = tuple[int, int]
"""Begin and end of a sleep, steady time, ns."""

_KEPT = 64
"""Number of sleeps kept: more than fit into any age that a watch compares."""


class Awake:
    """When one thread ran and slept. Reading needs no lock: the tuple is replaced as a whole."""

    def __init__(self, allowed_ns: int) -> None:
        """allowed_ns: the longest gap between two notes that does not count as sleep."""
        self.allowed_ns = allowed_ns
        self._ran_ns: int | None = None
        self._sleeps: tuple[SleepSpan, ...] = ()

    def ran(self, now_ns: int) -> int:
        """Note that the thread runs; return how long it slept before, ns, 0 if it did not."""
        last_ns = now_ns if self._ran_ns is None else self._ran_ns
        slept_ns = now_ns - last_ns if now_ns - last_ns > self.allowed_ns else 0
        if slept_ns:  # before _ran_ns: a reader in between must not miss the sleep
            self._sleeps = (*self._sleeps[1 - _KEPT :], (last_ns, now_ns))
        self._ran_ns = now_ns
        return slept_ns

    def sleeps(self, now_ns: int) -> tuple[SleepSpan, ...]:
        """The sleeps so far, including one that still lasts at `now_ns`."""
        last_ns, sleeps = self._ran_ns, self._sleeps
        if last_ns is None or now_ns - last_ns <= self.allowed_ns:
            return sleeps
        return (*sleeps, (last_ns, now_ns))


def awake_ns(since_ns: int, now_ns: int, sleeps: Iterable[SleepSpan]) -> int:
    """The part of [since_ns, now_ns] outside all `sleeps`, ns; the sleeps may overlap."""
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
    """Keeps the last `window` durations of each stage, and counts all of them."""

    def __init__(self, window: int = 512) -> None:
        """Keep `window` durations a stage: 512 queries are minutes of replay."""
        self._window = window
        self._samples: dict[str, deque[int]] = {}
        self._counts: dict[str, int] = {}

    def add(self, stage: str, duration_ns: int) -> None:
        """Record one duration of `stage`."""
        self._counts[stage] = self._counts.get(stage, 0) + 1  # first: `summary` asks for both
        self._samples.setdefault(stage, deque(maxlen=self._window)).append(duration_ns)

    def summary(self, stage: str) -> Percentiles:
        """Percentiles of `stage`, each one a measured duration (nearest rank)."""
        samples = self._samples.get(stage)
        if not samples:
            return Percentiles(0, 0, 0, 0)
        ranked = sorted(samples)  # of some hundred samples a third of numpy's time
        p50_ns, p99_ns = (ranked[_rank(len(ranked), percent)] for percent in (50, 99))
        return Percentiles(self._counts[stage], p50_ns, p99_ns, ranked[-1])

    def shortest_ns(self, stage: str, newest: int) -> int | None:
        """The shortest of the `newest` durations of `stage`; None without one."""
        samples = self._samples.get(stage, ())
        return min(islice(reversed(samples), newest), default=None)

    def stages(self) -> tuple[str, ...]:
        """Names of the stages seen so far, in the order in which they were first seen."""
        return tuple(self._samples)


def _rank(count: int, percent: int) -> int:
    """The index of a percentile in `count` sorted samples, rounded up."""
    return -(-(count - 1) * percent // 100)
