"""What comes from the server: action keys and the outputs they go to, and their reading from the file.

Knows no array and no message; core/chunk.py applies the mapping.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Output:
    """One controller: a JointTrajectoryController's topics and the joints it moves, in its order."""

    name: str
    type: str  # "joint_trajectory"
    topic: str
    state_topic: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ActionKey:
    """One key of the server's reply: mapped to joints of an output, or ignored on purpose.

    `output` None: ignored. Else column i commands joint `names[i]`:
    v -> (1 if v > threshold else 0) where there is a threshold, then lo + v * (hi - lo) where
    `scale` is (lo, hi), else v as it is. `unit` and `representation` are those of the reply.
    """

    key: str
    width: int
    output: str | None
    names: tuple[str, ...]
    threshold: float | None = None
    scale: tuple[float, float] | None = None
    unit: str = "rad"
    representation: str = "absolute"  # "absolute" | "delta"
