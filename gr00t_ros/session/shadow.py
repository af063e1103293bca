"""How far the plan of a node in shadow is from what is really commanded, per joint.

In shadow the node plans and commands nothing, while an operator or another program moves the arm.
Differences come with their stamps; a sliding window forgets old ones.
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
    """A sliding window of differences of all joints; each output is added with its own stamps."""

    def __init__(self, window_ns: int = 10_000_000_000) -> None:
        """Keep the newest `window_ns` of each output; ten seconds cover a movement of a task."""
        self._window_ns = window_ns
        self._kept: dict[tuple[str, ...], deque[tuple[int, NDArray[np.float64]]]] = {}

    def add(self, names: tuple[str, ...], stamp_ns: int, apart: NDArray[np.float64]) -> None:
        """Add the (n,) differences of plan and command, rad or m; a repeated stamp is ignored.

        A stamp that runs back clears the window; differences that are not finite are ignored.
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
        """One entry for each compared joint, in the order in which outputs were first added."""
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
