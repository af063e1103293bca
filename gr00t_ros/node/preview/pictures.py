"""Publishes the pictures of the observation as they are sent: after crop, padding and resize."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs.images import Frame, decode_into, to_jpeg
from gr00t_ros.inputs.inputs import Inputs
from gr00t_ros.observe.observation import Observation
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.ros import qos
from gr00t_ros.ros.windows import to_time
from gr00t_ros.session.preview import topic_part

Pixels = NDArray[np.uint8]

_LEAST_S: Final = 0.1
_NO_QUERY_S: Final = 0.5
"""If no observation was sent for so long, the newest one is prepared for the picture alone."""


class PicturePublishers:
    """One publisher for each camera. `sent` runs on the worker thread, `publish` on another."""

    def __init__(
        self, node: Node, robot: Embodiment, inputs: Inputs, log: Callable[[str], None]
    ) -> None:
        """Create the publishers."""
        self._node, self._robot, self._inputs, self._log = node, robot, inputs, log
        self._publishers = {
            stream.key: node.create_publisher(
                CompressedImage, f"~/observation/{topic_part(stream.key)}/compressed", qos.PREVIEW
            )
            for stream in robot.video
        }
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[int, Pixels]] = {}
        self._sent_s = self._taken_s = 0.0
        self._failed = False

    def watched(self) -> list[str]:
        """Keys of the cameras whose pictures somebody subscribes to."""
        return [key for key, each in self._publishers.items() if each.get_subscription_count()]

    def sent(self, observation: Observation, video: Mapping[str, Pixels]) -> None:
        """Copy the pictures of a request while somebody subscribes; never raises.

        video: camera -> (1, T, H, W, 3) uint8 RGB. An error is logged once: the query must not fail
        because of a picture.
        """
        try:
            self._copy(observation, video)
        except Exception as error:
            if not self._failed:
                self._failed = True
                self._log(f"preview: no pictures: {type(error).__name__}: {error}")

    def publish(self) -> None:
        """Publish what was sent since the last call; if nothing is sent now, the newest frames."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if not waiting and time.monotonic() - self._sent_s > _NO_QUERY_S:
            waiting = self._prepared(self.watched())
        for key, (stamp_ns, pixels) in waiting.items():
            # Bytes are checked one by one, which holds the GIL for milliseconds; an array is not.
            message = CompressedImage(format="jpeg", data=array("B", to_jpeg(pixels)))
            message.header.stamp, message.header.frame_id = to_time(stamp_ns), key
            self._publishers[key].publish(message)

    def destroy(self) -> None:
        """Remove the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_publisher(publisher)

    def _copy(self, observation: Observation, video: Mapping[str, Pixels]) -> None:
        self._sent_s = now_s = time.monotonic()
        if now_s - self._taken_s < _LEAST_S:
            return
        watched = self.watched()
        if not watched:
            return
        self._taken_s = now_s
        copies = {
            key: (observation.video[key][-1].stamp_ns, video[key][0, -1].copy()) for key in watched
        }
        with self._lock:
            self._waiting = copies

    def _prepared(self, watched: list[str]) -> dict[str, tuple[int, Pixels]]:
        """The pictures of the observation that would be sent now; none if it would be refused."""
        observation = self._inputs.observe() if watched else ()
        if not isinstance(observation, Observation):
            return {}
        found = {}
        for stream in self._robot.video:
            if stream.key not in watched:
                continue
            sample = observation.video[stream.key][-1]
            assert isinstance(sample.value, Frame)  # PictureReader returns Frames
            pixels = np.zeros((stream.height_px, stream.width_px, 3), dtype=np.uint8)
            try:
                decode_into(sample.value, stream, pixels)
            except ObservationError:
                continue  # the stream's own report says why
            found[stream.key] = sample.stamp_ns, pixels
        return found
