"""The box that the end effector may not leave, as the embodiment's file has it.

Knows the pose stream by its key only; who compares is core/watch_motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.schema import Place
from gr00t_ros.core.streams import StateStream


@dataclass(frozen=True, slots=True, eq=False)
class Workspace:
    """Corners (3,) float64 m, read-only, in the frame of the pose of state stream `pose`."""

    pose: str
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


def read_workspace(place: Place, state: Sequence[StateStream]) -> Workspace:
    """The box of the file; raises EmbodimentError for a stream that is no pose."""
    at = place.fields(("pose", "x", "y", "z"))
    poses = [stream.key for stream in state if stream.source == "pose"]
    if not poses:
        raise place.problem("got a box, expected a state stream with from: pose to compare it with")
    corners = np.array([at[axis].interval() for axis in "xyz"]).T.copy()
    corners.setflags(write=False)  # before the views are taken: they inherit it
    return Workspace(at["pose"].choice(*poses), corners[0], corners[1])
