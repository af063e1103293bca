"""Joint values <-> a policy's values, straight lines: grippers 0..1, widths, motor units.

One pair of a joint's values stands beside one pair of the policy's; either may run downwards.
Refuses to know which joint it is and whose value is out of bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.schema import Place

Floats = NDArray[np.float64]
Pair = tuple[float, float]

UNIT: Pair = (0.0, 1.0)
"""The policy's values where the file names none: a gripper's 0 open .. 1 closed, for example."""


@dataclass(frozen=True, slots=True)
class Scale:
    """For each of N joints its values in the topic's unit, and what they are to the policy.

    joint[i][0] is policy[i][0], joint[i][1] is policy[i][1], and so on along the line.
    """

    joint: tuple[Pair, ...]
    policy: tuple[Pair, ...]

    def fraction(self, position: Floats) -> Floats:
        """(..., N) how far along the line: 0 at joint[i][0], 1 at joint[i][1]."""
        first, last = np.array(self.joint).T
        return np.asarray((position - first) / (last - first))

    def to_policy(self, fraction: Floats) -> Floats:
        """(..., N) the policy's values that far along the line."""
        first, last = np.array(self.policy).T
        return np.asarray(first + fraction * (last - first))

    def to_joint(self, values: Floats) -> Floats:
        """(..., N) joint values, in the topic's unit, of the policy's."""
        first, last = np.array(self.joint).T
        low, high = np.array(self.policy).T
        return np.asarray(first + (values - low) / (high - low) * (last - first))


def read_scale(at: Mapping[str, Place], count: int) -> Scale | None:
    """The file's `scale` (joint values) and `range` (the policy's, 0 and 1 unless told).

    Each is one pair for all `count` joints or a list of `count` pairs; None where there is no
    `scale`. Raises EmbodimentError for a `range` alone and for pairs of one value.
    """
    if "scale" not in at:
        if "range" in at:
            raise at["range"].problem("got a range without a scale, expected both or none")
        return None
    return Scale(
        joint=_pairs(at["scale"], count),
        policy=_pairs(at["range"], count) if "range" in at else (UNIT,) * count,
    )


def _pairs(place: Place, count: int) -> tuple[Pair, ...]:
    items = tuple(place.items())
    if not isinstance(items[0].value, (list, tuple)):
        return (place.pair(),) * count
    if len(items) != count:
        raise place.problem(
            f"got {len(items)} pairs, expected one pair for all, or one for each of {count} joints"
        )
    return tuple(item.pair() for item in items)
