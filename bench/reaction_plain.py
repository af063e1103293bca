"""The client that people write first, for bench/reaction.py: callbacks, npy, a timer of 20 ms.

    python -m bench.reaction_plain CAMERAS PORT

A subscription for each camera converts and keeps the newest picture, as cv_bridge does. A thread
asks the policy server as soon as every camera has a new picture. A timer publishes the chunk's
point of the present time as a JointTrajectory with one point, to be reached in 20 ms. No limit of
velocity, acceleration or jerk is applied. Prints MOVING once a point was published.
"""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from typing import Any

import msgpack
import numpy as np
import rclpy
import zmq
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from bench.reaction_cameras import topic
from bench.reaction_files import ARM, STEP_HZ
from bench.reaction_policy import KEY
from bench.wire_variants import HOOKS

TIMER_S, QUEUE = 0.02, 10


class PlainClient(Node):
    """The node; `ask` belongs to a thread of its own."""

    def __init__(self, cameras: int, port: int) -> None:
        super().__init__("plain_client")
        self._names = [f"fr3_joint{number}" for number in range(1, 8)]
        self._pictures: dict[str, Any] = {}
        self._joints: Any = None
        self._chunk: tuple[float, Any] | None = None
        self._new, self._moved = threading.Condition(), False
        self._cameras = cameras
        for camera in range(cameras):
            received = partial(self._on_image, f"camera{camera}")
            self.create_subscription(Image, topic(camera), received, QUEUE)
        self.create_subscription(JointState, "/joint_states", self._on_joints, QUEUE)
        self._publisher = self.create_publisher(JointTrajectory, ARM, QUEUE)
        self.create_timer(TIMER_S, self._on_timer)
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        self._socket.connect(f"tcp://127.0.0.1:{port}")
        threading.Thread(target=self._ask_forever, daemon=True).start()

    def _on_image(self, key: str, message: Image) -> None:
        picture = np.frombuffer(message.data, np.uint8)
        picture = picture.reshape(message.height, message.width, 3).copy()
        with self._new:
            self._pictures[key] = picture
            self._new.notify()

    def _on_joints(self, message: JointState) -> None:
        at = dict(zip(message.name, message.position, strict=True))
        if at.keys() >= set(self._names):
            self._joints = np.array([at[name] for name in self._names], np.float32)

    def _ask_forever(self) -> None:
        while True:
            with self._new:
                self._new.wait_for(
                    lambda: len(self._pictures) == self._cameras and self._joints is not None
                )
                pictures, self._pictures = self._pictures, {}
            asked_s = time.monotonic()
            self._chunk = asked_s, self._ask(pictures, self._joints)

    def _ask(self, pictures: dict[str, Any], joints: Any) -> Any:
        observation = {
            "video": {key: picture[None, None] for key, picture in pictures.items()},
            "state": {KEY: joints[None, None]},
            "language": {"annotation.language.language_instruction": [["follow the number"]]},
        }
        data = {"observation": observation, "options": None}
        message = {"endpoint": "get_action", "data": data}
        self._socket.send(msgpack.packb(message, default=HOOKS["npy"][0]))
        reply = msgpack.unpackb(self._socket.recv(), object_hook=_read)
        if not isinstance(reply, list):
            raise RuntimeError(f"the policy server answered {reply}")
        return reply[0][KEY][0]

    def _on_timer(self) -> None:
        if self._chunk is None:
            return
        asked_s, rows = self._chunk
        step = round((time.monotonic() - asked_s) * STEP_HZ)
        row = rows[min(step, len(rows) - 1)]
        point = JointTrajectoryPoint(positions=[float(value) for value in row])
        point.time_from_start.nanosec = round(TIMER_S * 1e9)
        self._publisher.publish(JointTrajectory(joint_names=self._names, points=[point]))
        if not self._moved:
            self._moved = True
            print("MOVING", flush=True)


def _read(value: dict[Any, Any]) -> Any:
    """An array in either codec: servers differ in that of their replies."""
    return HOOKS["msgpack_numpy"][1](value) if b"nd" in value else HOOKS["npy"][1](value)


def main(cameras: int, port: int) -> None:
    """Run until a signal."""
    rclpy.init()
    try:
        rclpy.spin(PlainClient(cameras, port))
    except (KeyboardInterrupt, ExternalShutdownException):
        return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
