"""A policy's reply as an action chunk: absolute joint targets in plan joint order.

Owns which key goes to which joints and what a reply must look like; judges no motion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class ActionChunk:
    """One prediction, anchored to the observation that it was computed from; arrays are read-only.

    `joints` (T, J) float64 in plan joint order and joint units: row k is for
    stamp_ns + k * step_ns (plan clock). `raw` key -> (T, D) float32 as the server sent it.
    """

    sequence: int
    episode: int
    stamp_ns: int
    step_ns: int
    joints: NDArray[np.float64]
    raw: Mapping[str, NDArray[np.float32]]

    @property
    def end_ns(self) -> int:
        """Plan time of the last row."""
        return self.stamp_ns + (len(self.joints) - 1) * self.step_ns
