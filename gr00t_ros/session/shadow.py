"""How far the plan of a node in shadow is from what is really commanded, per joint.

Takes differences with the stamps they belong to; knows no topics. A sliding window forgets what
the operator did before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class JointError:
    """One joint over the window: root mean square and largest magnitude, in the joint's unit."""

    joint: str
    samples: int
    rms: float
    worst: float


class ShadowError:
    """The window over all joints; outputs are added each with their own stamps."""

    def __init__(self, window_ns: int = 10_000_000_000) -> None:
        """Keep `window_ns` of the newest differences of each output: ten seconds tell of a task."""
        self._window_ns = window_ns
        self._kept: dict[tuple[str, ...], deque[tuple[int, NDArray[np.float64]]]] = {}

    def add(self, names: tuple[str, ...], stamp_ns: int, apart: NDArray[np.float64]) -> None:
        """Take (n,) plan minus commanded at one stamp; a stamp that was there is not counted twice.

        A stamp that runs back begins the window anew; differences that are no numbers are left out.
        """
        kept = self._kept.setdefault(names, deque())
        if kept and stamp_ns < kept[-1][0]:
            kept.clear()
        if (kept and stamp_ns == kept[-1][0]) or not np.isfinite(apart).all():
            return
        kept.append((stamp_ns, apart))
        while stamp_ns - kept[0][0] > self._window_ns:
            kept.popleft()

    def summary(self) -> tuple[JointError, ...]:
        """Every joint that was compared, in the order in which outputs were first added."""
        found: list[JointError] = []
        for names, kept in self._kept.items():
            if not kept:
                continue
            rows = np.stack([apart for _, apart in kept])
            rms, worst = np.sqrt((rows**2).mean(axis=0)), np.abs(rows).max(axis=0)
            found += [
                JointError(name, len(rows), float(r), float(w))
                for name, r, w in zip(names, rms, worst, strict=True)
            ]
        return tuple(found)
