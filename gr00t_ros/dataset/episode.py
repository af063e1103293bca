"""One episode as rows at its embodiment file's rate: what is recorded, converted and evaluated.

Row i is the observation with the stamp `stamps_ns[i]` and what was commanded at that time. Whoever
reads a bag or a dataset makes one; whoever writes a dataset or evaluates a policy takes one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

POLICY: Final = "policy"
HUMAN: Final = "human"
STOPPING: Final = "stopping"
IDLE: Final = "idle"
SOURCES: Final = (POLICY, HUMAN, STOPPING, IDLE)
"""Who commanded the robot in a row; a dataset stores the index in this order."""


class EpisodePictures(Protocol):
    """The pictures of one camera, one a row; pictures need not be in memory all at once."""

    def __len__(self) -> int:
        """The number of rows."""
        ...

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        """The (H, W, 3) RGB picture of a row; cheapest in ascending order of rows."""
        ...

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """All pictures in the order of rows."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """N rows of one episode.

    name: what a person finds it by: the bag's folder, or the dataset and the episode's index.
    stamps_ns: (N,) int64, the robot's time of each row; successive rows are one period apart.
    state: key -> (N, D) float32, as the observation sends it. action: key -> (N, D) float32 in the
    units and form of the server's reply: what was commanded at the row's time. predicted: the same
    keys as the policy predicted them for the row, NaN where nothing was predicted; empty if not
    recorded. video: key -> the pictures as the observation sends them. source: (N,) indices of
    SOURCES. intervention: (N,) bool. success: None if nobody said.
    """

    name: str
    rate_hz: float
    instruction: str
    stamps_ns: NDArray[np.int64]
    state: Mapping[str, NDArray[np.float32]]
    action: Mapping[str, NDArray[np.float32]]
    video: Mapping[str, EpisodePictures]
    source: NDArray[np.uint8]
    intervention: NDArray[np.bool_]
    predicted: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    success: bool | None = None

    def __len__(self) -> int:
        """N."""
        return len(self.stamps_ns)
