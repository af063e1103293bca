"""The two ways of reading cameras that bench/camera.py compares: pulled, and one callback a frame.

Both decode and resize with the same code; they differ only in how frames come to Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from bench import camera_publisher as source
from gr00t_ros.inputs.images import decode_video, fill
from gr00t_ros.inputs.inputs import PULL_PERIOD_NS, Inputs
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.limits import NO_COMMANDS
from gr00t_ros.robot.streams import StateStream, VideoStream
from gr00t_ros.ros import qos
from gr00t_ros.ros.parameter_values import observation
from gr00t_ros.ros.parameters import DEFAULTS
from gr00t_ros.ros.periodic import PeriodicThread

SLOT_PX = (180, 320)


class Pulled:
    """The node's inputs: a thread pulls, and there are no callbacks."""

    def __init__(self, node: Node, cameras: int, slots: NDArray[np.uint8]) -> None:
        """Read `cameras` topics on `node`; `slots` is (cameras, 1, 1, H, W, 3) uint8."""
        self.decoding_s = 0.0
        self._slots = {str(camera): slots[camera] for camera in range(cameras)}
        self._embodiment = embodiment(cameras)
        self._inputs = Inputs(node, self._embodiment, observation(DEFAULTS))
        log = node.get_logger().error
        self._pulls = PeriodicThread("pull", PULL_PERIOD_NS, 0, self._inputs.pull, log)
        self._pulls.start()

    def received(self) -> int:
        """Frames taken so far, of all cameras."""
        return sum(report.received for report in self._inputs.streams() if report.is_video)

    def observe(self) -> bool:
        """Decode the newest frames into the slots."""
        observation = self._inputs.observe()
        if isinstance(observation, tuple):
            return False
        begin_s = time.thread_time()
        decode_video(self._embodiment, observation, self._slots)
        self.decoding_s += time.thread_time() - begin_s
        return True

    def close(self) -> None:
        """End the thread and unsubscribe."""
        self._pulls.stop()
        self._inputs.destroy()


class Callbacks:
    """A plain node: one callback a message, which keeps the newest."""

    def __init__(self, node: Node, cameras: int, slots: NDArray[np.uint8]) -> None:
        """Subscribe to `cameras` topics on `node`; `slots` as Pulled's."""
        self._node, self._slots, self._count, self.decoding_s = node, slots, 0, 0.0
        self._newest: list[Image | None] = [None] * cameras
        self._subscriptions = [
            node.create_subscription(Image, source.topic(camera), self._keeper(camera), qos.SENSOR)
            for camera in range(cameras)
        ]
        self._joints: JointState | None = None
        self._subscriptions.append(
            node.create_subscription(JointState, "/bench/joints", self._keep_joints, qos.SENSOR)
        )

    def received(self) -> int:
        """Frames received so far, of all cameras."""
        return self._count

    def observe(self) -> bool:
        """Decode the newest frames into the slots."""
        newest = [message for message in self._newest if message is not None]
        if len(newest) < len(self._newest):
            return False
        begin_s = time.thread_time()
        for camera, message in enumerate(newest):
            pixels = np.frombuffer(message.data, np.uint8)
            pixels = pixels.reshape(message.height, message.width, 3)
            fill(pixels, cv2.COLOR_BGR2RGB, True, self._slots[camera, 0, 0], "pad")
        self.decoding_s += time.thread_time() - begin_s
        return True

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _keeper(self, camera: int) -> Callable[[Image], None]:
        def keep(message: Image) -> None:
            self._newest[camera] = message
            self._count += 1

        return keep

    def _keep_joints(self, message: JointState) -> None:
        self._joints = message


def embodiment(cameras: int) -> Embodiment:
    """An embodiment with that many cameras and one arm that is only read."""
    video = tuple(
        VideoStream(str(n), source.topic(n), *SLOT_PX, "pad", (0,), "raw", source.RATE_HZ)
        for n in range(cameras)
    )
    state = (StateStream("joints", "joints", "/bench/joints", source.JOINTS),)
    return Embodiment(
        robot="bench",
        tag="bench",
        rate_hz=15.0,
        language_keys=("",),
        action_horizon=1,
        video=video,
        state=state,
        action=(),
        outputs=(),
        limits=None,  # type: ignore[arg-type]  # inputs do not look at limits
        source="bench",
        commands=(),
        command_limits=NO_COMMANDS,
    )
