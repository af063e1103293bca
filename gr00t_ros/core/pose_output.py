"""An end effector that is commanded by poses: its entry in the file, and rows of numbers as poses.

Knows no message and no motion; who keeps its limits is core/pose_course.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.pose_follower import Pose
from gr00t_ros.core.pose_limits import PoseLimits, read_pose_limits
from gr00t_ros.core.rotation import (
    matrix_from_axis_angle,
    matrix_from_quaternion,
    matrix_from_rot6d_rows,
)
from gr00t_ros.core.schema import Place
from gr00t_ros.core.state_sources import read_rotation
from gr00t_ros.core.streams import ENCODINGS, StateStream


@dataclass(frozen=True, slots=True, eq=False)
class PoseOutput:
    """One receiver of poses: gr00t_command_streamer sends them to `topic` as PoseStamped.

    `names` are the numbers of `encode` in its order. `rotate` is the 3x3 matrix by which the
    data set multiplied the rotation from the right. `pose` is the state key that measures it.
    """

    name: str
    type: str  # a key of OUTPUT_TYPES that carries poses
    topic: str
    frame: str
    names: tuple[str, ...]
    encode: str  # a key of ENCODINGS
    pose: str
    limits: PoseLimits
    rotate: tuple[tuple[float, ...], ...] | None = None

    def poses(self, rows: NDArray[np.float64]) -> tuple[Pose, ...]:
        """The poses of (T, W) rows; raises RotationError where one is no rotation."""
        numbers = rows[:, 3:]
        if self.encode == "xyz_rot6d_rows":
            matrices = matrix_from_rot6d_rows(numbers, self.rotate)
        else:
            axis_angle = self.encode == "xyz_axis_angle"
            read = matrix_from_axis_angle if axis_angle else matrix_from_quaternion
            matrices = read(numbers)
            if self.rotate is not None:
                matrices = matrices @ np.array(self.rotate).T
        return tuple(Pose(row[:3], matrix) for row, matrix in zip(rows, matrices, strict=True))


def read_pose(name: str, place: Place, state: Sequence[StateStream]) -> PoseOutput:
    """One output of the file of type pose_stamped."""
    at = place.fields(("type", "topic", "frame", "names", "encode", "pose", "limits"), ("rotate",))
    encode, names = at["encode"].choice(*ENCODINGS), at["names"].names()
    if len(names) != ENCODINGS[encode]:
        raise at["names"].error(f"{ENCODINGS[encode]} names for {encode}")
    frame = at["frame"].text()
    return PoseOutput(
        name=name,
        type=at["type"].text(),
        topic=at["topic"].topic(),
        frame=frame,
        names=names,
        encode=encode,
        pose=_measured_by(at["pose"], frame, state),
        limits=read_pose_limits(at["limits"]),
        rotate=read_rotation(at["rotate"]) if "rotate" in at else None,
    )


def _measured_by(place: Place, frame: str, state: Sequence[StateStream]) -> str:
    """The state key that measures the pose, in the frame of the output."""
    streams = {stream.key: stream for stream in state if stream.source in ("pose", "tf")}
    if not streams:
        raise place.problem("got a state key, but the file has none with from: pose or tf")
    key = place.choice(*streams)
    if streams[key].frame != frame:
        raise place.problem(
            f"state {key} is in frame {streams[key].frame!r}, expected {frame!r} as the output: "
            "a first pose is compared with it"
        )
    return key
