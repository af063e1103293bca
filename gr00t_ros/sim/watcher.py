"""Watches one run from outside, over topics alone: status, chunks, cameras, the robot's state.

What it has seen is what the report shows. It never influences the run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import String

from gr00t_ros.msg import ActionChunk, PolicyStatus
from gr00t_ros.ros import qos
from gr00t_ros.sim.report import Frame

FRAME_PERIOD_S = 0.5


class Watcher(Node):
    """Subscribes and remembers; times are seconds since it was made."""

    def __init__(self, cameras: Sequence[str]) -> None:
        """Watch the default topics of node, simulated robot and these of its cameras."""
        super().__init__("gr00t_demo_watcher")
        self._start_s = time.monotonic()
        self.status: PolicyStatus | None = None
        self.robot: dict[str, object] = {}
        self.events: list[tuple[float, str]] = []
        self.frames: list[Frame] = []
        self.inference_s: list[tuple[float, float]] = []
        self.end_to_end_s: list[tuple[float, float]] = []
        self.accepted = self.refused = 0
        self.first_motion_s: float | None = None
        self._pictures: dict[str, np.ndarray] = {}
        self.create_subscription(PolicyStatus, "/gr00t_policy/status", self._on_status, qos.STATUS)
        self.create_subscription(
            ActionChunk, "/gr00t_policy/action_chunk", self._on_chunk, qos.CHUNK
        )
        self.create_subscription(String, "/gr00t_sim_robot/state", self._on_robot, qos.STATUS)
        self._cameras = cameras
        for name in cameras:
            self.create_subscription(
                Image,
                f"/camera/{name}/image_raw",
                lambda image, name=name: self._on_image(name, image),
                qos.SENSOR,
            )

    @property
    def elapsed_s(self) -> float:
        """Seconds since this watcher was made."""
        return time.monotonic() - self._start_s

    @property
    def success(self) -> bool:
        """Whether the simulated robot says that the task is done."""
        return bool(self.robot.get("success", False))

    def _on_status(self, status: PolicyStatus) -> None:
        line = f"{status.mode}: {status.reason}" if status.reason else status.mode
        if self.status is None or status.mode != self.status.mode:
            self.events.append((self.elapsed_s, line))
        if status.mode == "replaying" and self.first_motion_s is None:
            self.first_motion_s = self.elapsed_s
        self.status = status

    def _on_chunk(self, chunk: ActionChunk) -> None:
        self.accepted += chunk.accepted
        self.refused += not chunk.accepted
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
            self.frames.append(Frame(self.elapsed_s, pictures))
            self._pictures = {}
