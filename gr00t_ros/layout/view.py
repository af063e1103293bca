"""What all layouts show of one robot: topics, streams, arms, joints, services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.session.preview import Arm, arms_of, topic_part

STATUS = "~/status"
MARKERS, JOINTS = "~/preview/markers", "~/preview/joints"
PATHS = ("predicted", "committed", "driven")

DEFAULT_FRAME = "base_link"
"""Of 3D views, for a robot whose file has no chain: most descriptions have this link."""
BUTTONS = ("estop", "pause", "resume", "reset")
INSTRUCTION = "set_instruction"
STAGES = ("assemble", "inference", "end_to_end", "camera_to_controller", "replay_jitter")
"""Stages of StageLatency that are drawn over time."""


@dataclass(frozen=True, slots=True)
class View:
    """One robot and the policy node that commands it.

    cameras: camera -> topic of its picture as it is sent. streams: names in the status' streams.
    joints: in plan order, as in JointComparison. frame: the one in which 3D views stand.
    """

    node: str
    robot: str
    cameras: Mapping[str, str]
    streams: tuple[str, ...]
    arms: tuple[Arm, ...]
    joints: tuple[str, ...]
    frame: str

    def topic(self, name: str) -> str:
        """The full name of a topic or service that begins with ~."""
        return name.replace("~", self.node, 1)

    def paths(self) -> dict[str, str]:
        """Topic of each path of the preview -> its kind: predicted, committed or driven."""
        return {
            self.topic(f"~/preview/{kind}/{arm.name}"): kind for arm in self.arms for kind in PATHS
        }


def view_of(robot: Embodiment, node: str, frame: str | None = None) -> View:
    """The view of a robot whose policy node has the full name `node`.

    frame: None: that of the first arm, else DEFAULT_FRAME.
    """
    arms = arms_of(robot)
    frame = frame or (arms[0].frame if arms else DEFAULT_FRAME)
    cameras = {
        stream.key: f"{node}/observation/{topic_part(stream.key)}/compressed"
        for stream in robot.video
    }
    streams = (
        *(f"video.{stream.key}" for stream in robot.video),
        *(f"state.{stream.key}" for stream in robot.state if stream.topic),
        *(f"controller.{output.name}" for output in robot.outputs if output.state_topic),
    )
    return View(node, robot.robot, cameras, streams, arms, robot.joint_names, frame)
