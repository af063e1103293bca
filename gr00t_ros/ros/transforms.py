"""One transform of tf2 as a stream of poses, where tf2_ros is installed.

tf2 keeps what all publishers of /tf told and finds the chain between two frames; this asks for its
newest. /tf needs every message, so that tf2's listener is called back by the executor, unlike all
else that is pulled. Refuses to know which stream needs a transform.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.time import Time
from rclpy.topic_endpoint_info import TopicEndpointInfo

from gr00t_ros.core.errors import EmbodimentError, ObservationError
from gr00t_ros.core.state import PoseReading

TYPES = ("tf2_msgs/msg/TFMessage",)


class Transforms:
    """The tf2 buffer and listener of one node, which all its transforms share."""

    def __init__(self, node: Node, where: str) -> None:
        """Listen to /tf and /tf_static; `where` names the file and key that need it.

        Raises EmbodimentError where tf2_ros cannot be imported.
        """
        try:
            self._tf2: Any = importlib.import_module("tf2_ros")
        except ImportError as error:
            raise EmbodimentError(
                f"{where}: from: tf needs the ROS package tf2_ros, which cannot be imported here "
                f"({error}): install ros-<distro>-tf2-ros, or publish a PoseStamped (from: pose)"
            ) from None
        self._clock = node.get_clock()
        self._buffer = self._tf2.Buffer()
        self._listener = self._tf2.TransformListener(self._buffer, node, spin_thread=False)
        self._listening = True

    def newest(self, frame: str, link: str) -> Any:
        """The newest TransformStamped that takes `link`'s coordinates to `frame`'s.

        Raises ObservationError where tf2 knows no way between them.
        """
        try:
            found = self._buffer.lookup_transform(frame, link, Time())
        except self._tf2.TransformException as error:
            raise ObservationError(f"tf2 has no transform {frame} -> {link}: {error}") from None
        stamp = found.header.stamp
        if stamp.sec == stamp.nanosec == 0:  # all of the way is static: it holds now as ever
            found.header.stamp = self._clock.now().to_msg()
        return found

    def destroy(self) -> None:
        """Stop listening; nothing where it has stopped."""
        if self._listening:
            self._listening = False
            self._listener.unregister()


class TransformSubscription:
    """Takes from tf2 what PulledSubscription takes from a topic: what is newer, or nothing."""

    type_names = TYPES
    depth = 1
    number: int | None = None  # tf2 merges what any number of publishers tell

    def __init__(self, transforms: Transforms, topic: str, frame: str, link: str) -> None:
        """Follow `link` in `frame`; `topic` is what the stream calls it."""
        self.topic = topic
        self._transforms, self._frame, self._link = transforms, frame, link
        self._taken: tuple[int, int] | None = None

    def take(self) -> Any | None:
        """The newest transform, None where it has the stamp of the one before.

        Raises ObservationError where tf2 knows none.
        """
        found = self._transforms.newest(self._frame, self._link)
        stamp = (found.header.stamp.sec, found.header.stamp.nanosec)
        if stamp == self._taken:
            return None
        self._taken = stamp
        return found

    def follow(self, publishers: Sequence[TopicEndpointInfo]) -> None:
        """Do nothing: tf2's listener has subscribed."""

    def destroy(self) -> None:
        """Stop listening, for all that share the listener."""
        self._transforms.destroy()


def read_transform(found: Any) -> tuple[int, PoseReading]:
    """Stamp, ns, and pose of a TransformStamped: where the child's frame is in the header's."""
    stamp, move, turn = found.header.stamp, found.transform.translation, found.transform.rotation
    reading = PoseReading(
        np.array([move.x, move.y, move.z]),
        np.array([turn.x, turn.y, turn.z, turn.w]),
        found.header.frame_id,
    )
    return stamp.sec * 1_000_000_000 + stamp.nanosec, reading
