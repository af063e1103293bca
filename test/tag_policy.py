"""A policy that takes and answers exactly what its embodiment tag says, and moves every joint.

Each column of each key goes its own way from where an episode begins, and stays there: no two
joints, keys or outputs can be taken for one another. Knows the tag's shapes (tag_shapes), not the
embodiment file.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tag_shapes import TagShapes

from gr00t_ros.sidecar.strict import check_nested, check_widths

REACH = 0.08
"""How far the last column of a key goes, in the key's own unit; the others less."""
HASTE = 4.0
"""Chunks to the goal in one chunk's time: it is reached in a quarter of the first."""
DELTA = 0.007
"""Of the first key that is the motion of a step, in each step; the others more."""
STARTS = {"base_height_command": 0.6}
"""Of keys that no state tells the present value of, 0 for others; they are constant."""


def reach(width: int) -> NDArray[np.float32]:
    """(D,) how far each column goes."""
    return (REACH * (1 + np.arange(width)) / width).astype(np.float32)


class TagPolicy:
    """Strict in what it takes; answers ramps from the state that it was shown."""

    def __init__(self, shapes: TagShapes) -> None:
        self._shapes = shapes
        self.modality = shapes.modality()
        self.goals: dict[str, NDArray[np.float32]] = {}

    def __call__(
        self, observation: Mapping[str, Any], options: Mapping[str, Any] | None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Return (1, H, D) float32 chunks; raises ObservationError for any other shape."""
        check_nested(observation, self.modality)
        check_widths(observation, self._shapes.state)
        state = observation["state"]
        return {key: self._rows(key, width, state) for key, (width, _) in self._actions()}, {}

    def reset(self, options: Mapping[str, Any] | None) -> dict[str, Any]:
        """Forget where the last episode began."""
        self.goals = {}
        return {}

    def _actions(self) -> Any:
        return self._shapes.action.items()

    def _rows(self, key: str, width: int, state: Mapping[str, Any]) -> NDArray[np.float32]:
        shape = (1, self._shapes.horizon, width)
        if key in self._shapes.deltas:
            nth = 1 + self._shapes.deltas.index(key)
            self.goals[key] = np.full(shape, nth * DELTA, np.float32)
            return self.goals[key]
        if key not in state or state[key].shape[-1] != width:
            goal = np.full((1, 1, width), STARTS.get(key, 0.0), np.float32) + reach(width)
            return np.broadcast_to(self.goals.setdefault(key, goal), shape).copy()
        start = state[key][:, -1:]
        goal = self.goals.setdefault(key, start + reach(width))
        along = np.linspace(0.0, HASTE, self._shapes.horizon, dtype=np.float32).clip(0.0, 1.0)
        rows: NDArray[np.float32] = start + along[None, :, None] * (goal - start)
        return rows
