"""Durations of the stages between a camera's stamp and the robot's motion, as percentiles.

Knows nothing of clocks: callers hand in durations in nanoseconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np


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
