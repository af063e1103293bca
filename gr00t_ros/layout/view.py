"""What all layouts show of one robot: topics, streams, arms, joints, services."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gr00t_ros.robot.embodiment import Embodiment

STATUS = "~/status"
MARKERS, JOINTS = "~/preview/markers", "~/preview/joints"
PATHS = ("predicted", "committed", "driven")
TYPES: Mapping[str, str] = {
    STATUS: "gr00t_ros/msg/PolicyStatus",
    MARKERS: "visualization_msgs/msg/MarkerArray",
    JOINTS: "gr00t_ros/msg/JointComparison",
    **{f"~/preview/{kind}/ARM": "nav_msgs/msg/Path" for kind in PATHS},
    "~/observation/VIDEO/compressed": "sensor_msgs/msg/CompressedImage",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
    "/robot_description": "std_msgs/msg/String",
}
"""Every topic that a layout may show, as node/interfaces.py names it, with its type."""

BUTTONS = ("estop", "pause", "resume", "reset")
INSTRUCTION = "set_instruction"
STAGES = ("assemble", "inference", "end_to_end", "replay_jitter")
"""Stages of StageLatency that are drawn over time."""


@dataclass(frozen=True, slots=True)
class Arm:
    """An end effector of the preview: the name in its topics, and the frame of its paths."""

    name: str
    frame: str


@dataclass(frozen=True, slots=True)
class View:
    """One robot and the policy node that commands it.

    cameras: camera -> topic of its picture as it is sent. streams: names in the status' streams.
    joints: in plan order, as in JointComparison.
    """

    node: str
    robot: str
    cameras: Mapping[str, str]
    streams: tuple[str, ...]
    arms: tuple[Arm, ...]
    joints: tuple[str, ...]

    def topic(self, name: str) -> str:
        """The full name of a topic or service that begins with ~."""
        return name.replace("~", self.node, 1)

    def paths(self) -> dict[str, str]:
        """Topic of each path of the preview -> its kind: predicted, committed or driven."""
        return {
            self.topic(f"~/preview/{kind}/{arm.name}"): kind for arm in self.arms for kind in PATHS
        }

    def frame(self) -> str:
        """The frame in which 3D views stand: that of the first arm."""
        return self.arms[0].frame if self.arms else "base_link"


def view_of(robot: Embodiment, node: str) -> View:
    """The view of a robot whose policy node has the full name `node`."""
    cameras = {
        stream.key: f"{node}/observation/{topic_part(stream.key)}/compressed"
        for stream in robot.video
    }
    streams = (
        *(f"video.{stream.key}" for stream in robot.video),
        *(f"state.{stream.key}" for stream in robot.state if stream.topic),
        *(f"controller.{output.name}" for output in robot.outputs if output.state_topic),
    )
    return View(node, robot.robot, cameras, streams, _arms(robot), robot.joint_names)


def topic_part(name: str) -> str:
    """`name` as one part of a topic's name."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _arms(robot: Embodiment) -> tuple[Arm, ...]:
    """Chains of commanded joints, each named as the output that moves most of its joints."""
    found: dict[str, Arm] = {}
    box = robot.workspace
    chains = [(s.key, s.frame, s.link, s.chain) for s in robot.state]
    if box is not None:
        chains.insert(0, (box.link, box.base, box.link, box.chain))
    seen = set()
    for key, frame, link, chain in chains:
        if chain is None or not frame or (frame, link) in seen:
            continue
        moved = set(chain.joint_names)
        if moved <= set(robot.joint_names):
            seen.add((frame, link))
            name = max(robot.outputs, key=lambda one: len(moved.intersection(one.names))).name
            name = topic_part(key if name in found else name)
            found[name] = Arm(name, frame)
    for output in robot.poses:
        found[output.name] = Arm(output.name, output.frame)
    return tuple(found.values())
