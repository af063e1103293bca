"""The box that the end effector may not leave, as the embodiment's file has it.

Knows the pose stream by its key only; who compares is core/watch_motion and core/guard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.kinematics import Chain, read_chain
from gr00t_ros.core.schema import Place
from gr00t_ros.core.streams import StateStream


@dataclass(frozen=True, slots=True, eq=False)
class Workspace:
    """Corners (3,) float64 m, read-only, in the frame of the pose and of the chain's base.

    `pose`: the state stream that tells where the end effector is. `chain`: from where its joints
    are; with it alone a chunk's way is compared as well. One of the two is there at least.
    """

    pose: str | None
    chain: Chain | None
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


def read_workspace(
    place: Place, state: Sequence[StateStream], joint_names: Sequence[str]
) -> Workspace:
    """The box of the file, for a plan of `joint_names`.

    Raises EmbodimentError for a stream that is no pose, for a chain that is none of these joints
    and for a box with neither.
    """
    at = place.fields(("x", "y", "z"), ("pose", "chain"))
    if "pose" not in at and "chain" not in at:
        raise place.problem("got a box alone, expected pose (a state stream), chain (links), both")
    pose = at["pose"].choice(*_poses(at["pose"], state)) if "pose" in at else None
    corners = np.array([at[axis].interval() for axis in "xyz"]).T.copy()
    corners.setflags(write=False)  # before the views are taken: they inherit it
    chain = read_chain(at["chain"], joint_names) if "chain" in at else None
    return Workspace(pose, chain, corners[0], corners[1])


def _poses(place: Place, state: Sequence[StateStream]) -> list[str]:
    poses = [stream.key for stream in state if stream.source in ("pose", "tf")]
    if not poses:
        raise place.problem("got a state stream, but the file has none with from: pose or tf")
    return poses
