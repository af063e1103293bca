"""What one run of a simulated robot shows over topics: modes, chunks, pictures, first motion."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from gr00t_ros.demo.report import CameraFrames
from gr00t_ros.msg import ActionChunk, PolicyStatus
from gr00t_ros.ros import qos
from gr00t_ros.ros.policy_node import DROPPED, POLICY_NODE

FRAME_PERIOD_S = 0.5
MOVES_RAD_S = 0.01
"""Speed of a joint from which the robot moves, rad/s."""
_BEFORE_MOTION = ("unconfigured", "waiting")


def command_start_s() -> float:
    """When this process began, on the monotonic clock, s; a program that it was before counts too.

    `./dev` and the set-up become the demo (exec), so this is the moment of the user's command.
    Source: proc_pid_stat(5), field 22, in ticks since the machine's start.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    began_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - (time.clock_gettime(time.CLOCK_BOOTTIME) - began_s)


class Watcher(Node):
    """Subscribes and keeps what it receives; times are seconds since `start_s`."""

    def __init__(
        self, cameras: Sequence[str], joints: str = "/joint_states", start_s: float | None = None
    ) -> None:
        """Watch the default topics of the node, the simulated robot and these cameras.

        joints: the topic that shows the first motion; empty for none. start_s: on the monotonic
        clock; None: now.
        """
        super().__init__("gr00t_demo_watcher")
        self._start_s = time.monotonic() if start_s is None else start_s
        self.status: PolicyStatus | None = None
        self.robot: dict[str, object] = {}
        self.events: list[tuple[float, str]] = []
        self.frames: list[CameraFrames] = []
        self.inference_s: list[tuple[float, float]] = []
        self.end_to_end_s: list[tuple[float, float]] = []
        self.accepted = self.refused = self.dropped = 0
        self.first_motion_s: float | None = None
        """When a joint moved first after the activation; None before."""
        self._returned = 0
        self._pictures: dict[str, np.ndarray] = {}
        self._joints = (
            self.create_subscription(JointState, joints, self._on_joints, qos.SENSOR)
            if joints
            else None
        )
        self.create_subscription(PolicyStatus, f"{POLICY_NODE}/status", self._on_status, qos.STATUS)
        self.create_subscription(
            ActionChunk, f"{POLICY_NODE}/action_chunk", self._on_chunk, qos.CHUNK
        )
        self.create_subscription(String, "/gr00t_sim_robot/state", self._on_robot, qos.STATUS)
        self._cameras = cameras
        for name in cameras:
            self.create_subscription(
                Image,
                f"/camera/{name}/image_raw",
                partial(self._on_image, name),
                qos.SENSOR,
            )

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start_s

    @property
    def success(self) -> bool:
        """Whether the simulated robot reports that the task is done."""
        return bool(self.robot.get("success", False))

    def new_events(self) -> list[tuple[float, str]]:
        """The events since the last call."""
        new = self.events[self._returned :]
        self._returned = len(self.events)
        return new

    def _on_status(self, status: PolicyStatus) -> None:
        line = f"{status.mode}: {status.reason}" if status.reason else status.mode
        if self.status is None or status.mode != self.status.mode:
            self.events.append((self.elapsed_s, line))
        self.status = status

    def _on_joints(self, joints: JointState) -> None:
        if self.status is None or self.status.mode in _BEFORE_MOTION:
            return  # things that settle are no motion of the task
        speed_rad_s = max(map(abs, joints.velocity), default=0.0)
        if self.first_motion_s is None and speed_rad_s > MOVES_RAD_S:
            self.first_motion_s = self.elapsed_s
            self.events.append((self.elapsed_s, "first motion of the robot"))
            assert self._joints is not None  # it has called
            self.destroy_subscription(self._joints)

    def _on_chunk(self, chunk: ActionChunk) -> None:
        self.accepted += chunk.accepted
        dropped = chunk.reason.startswith(DROPPED)
        self.dropped += dropped
        self.refused += not chunk.accepted and not dropped
        stamp_s = chunk.header.stamp.sec + chunk.header.stamp.nanosec * 1e-9
        inference = chunk.inference_duration
        now_s = self.get_clock().now().nanoseconds * 1e-9
        self.end_to_end_s.append((self.elapsed_s, now_s - stamp_s))
        self.inference_s.append((self.elapsed_s, inference.sec + inference.nanosec * 1e-9))

    def _on_robot(self, message: String) -> None:
        self.robot = json.loads(message.data)

    def _on_image(self, name: str, image: Image) -> None:
        shape = (image.height, image.width, 3)
        self._pictures[name] = np.frombuffer(image.data, np.uint8).reshape(shape)
        due = not self.frames or self.elapsed_s - self.frames[-1].time_s >= FRAME_PERIOD_S
        if due and len(self._pictures) == len(self._cameras):
            pictures = {name: self._pictures[name] for name in self._cameras}
            self.frames.append(CameraFrames(self.elapsed_s, pictures))
            self._pictures = {}
