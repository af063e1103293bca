"""Frames that are fixed to the robot's base: its own links, and what /tf_static connects with it.

A frame that /tf connects may move. Its pose at the moment of a measurement is known to who made the
measurement, so such frames are refused: places must be given in a frame that stays.
"""

from __future__ import annotations

from rclpy.node import Node

from gr00t_ros.collide.description import Description
from gr00t_ros.collide.scene import FramePose
from gr00t_ros.errors import EmbodimentError, ObservationError, RotationError
from gr00t_ros.inputs.readings import Transforms
from gr00t_ros.robot.rotation import matrix_from_quaternion


class Frames:
    """The poses of frames in a robot's base; executor thread only."""

    def __init__(self, node: Node) -> None:
        """Listen to tf as soon as a frame is asked for that is no link of the robot."""
        self._node = node
        self._transforms: Transforms | None = None

    def pose(self, description: Description, frame: str) -> FramePose | str:
        """The pose of a frame in the base; or why it has none, as a clause about the frame."""
        if not frame:
            return "its frame_id is empty, expected the name of a frame"
        if frame in description.links:
            found = description.fixed_pose(frame)
            moves = "moves with the robot, expected a link that is fixed to its base"
            return f"frame {frame!r} {moves}" if found is None else found
        try:
            if self._transforms is None:
                instead = f"give places in a link that is fixed to {description.root}"
                self._transforms = Transforms(self._node, f"frame {frame!r}", instead)
            reading = self._transforms.fixed(description.root, frame)
            return reading.position_m, matrix_from_quaternion(reading.quaternion_xyzw)
        except (EmbodimentError, ObservationError, RotationError) as error:
            return str(error)

    def destroy(self) -> None:
        """Stop listening."""
        if self._transforms is not None:
            self._transforms.destroy()
