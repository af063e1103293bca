"""Serialised messages -> stamps and readings: pictures, joint states, poses, Imu, tf2.

The executor calls tf2's listener; all other topics are pulled.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time as Stamp
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.time import Time
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CompressedImage, Image, Imu, JointState

from gr00t_ros.errors import EmbodimentError, ObservationError
from gr00t_ros.inputs import cdr, images
from gr00t_ros.observe.joint_states import REBASE_NS
from gr00t_ros.observe.readings import ImuReading, JointReading, PoseReading
from gr00t_ros.robot.streams import Stream, VideoStream

Read = Callable[[Any], tuple[int, object]]
"""A message from the subscription -> its stamp in ns, and the value that the buffer keeps."""


def kind(stream: Stream) -> str:
    """How a stream's topic is read: a key of READS, or "tf".

    A camera's transport or a state stream's source; kinematics reads joint states.
    """
    if isinstance(stream, VideoStream):
        return stream.transport
    return "joints" if stream.source == "kinematics" else stream.source


def _raw(raw: bytes) -> tuple[int, images.Frame]:
    frame = images.read(raw, "raw")
    return frame.stamp_ns, frame


def _compressed(raw: bytes) -> tuple[int, images.Frame]:
    frame = images.read(raw, "compressed")
    return frame.stamp_ns, frame


class PictureReader:
    """Reads one camera's topic: headers only, the pixels stay encoded.

    The size of the first image must stay until the node is configured again: another size would
    change what the policy sees, and would not fit a crop or a rectification made for the first.
    """

    def __init__(self, streams: Sequence[VideoStream]) -> None:
        """Read the topic that all of `streams` use."""
        self._streams, self._transport = streams, streams[0].transport
        self._size: tuple[int, int] | None = None

    def __call__(self, raw: bytes) -> tuple[int, images.Frame]:
        """Stamp and frame.

        Raises ObservationError for a frame that cannot be decoded, that has another size than the
        first one, or that does not contain the crop of a stream.
        """
        frame = images.read(raw, self._transport)
        if frame.size_px != self._size:
            self._keep(frame.size_px)
        return frame.stamp_ns, frame

    def _keep(self, size: tuple[int, int]) -> None:
        if self._size is not None:
            old, new = ("{}x{}".format(*each) for each in (self._size, size))
            raise ObservationError(
                f"picture is {new}, was {old} before: set the driver back to {old}, or clean up "
                "and configure the node for the new size"
            )
        for stream in self._streams:
            if stream.framing is not None:
                stream.framing.size(*size)
        self._size = size


class Joints:
    """Reads the joint states of one topic."""

    def __init__(self) -> None:
        """Keep the layout of the last message: repeated names are not parsed again."""
        self._read = cdr.JointStateMessage()

    def __call__(self, raw: bytes) -> tuple[int, JointReading]:
        """Stamp and reading; ObservationError if the bytes are not a JointState."""
        return _of_view(self._read(raw))


def _joints(raw: bytes) -> tuple[int, JointReading]:
    return _of_view(cdr.joint_state(raw))


def _of_view(view: cdr.JointStateView) -> tuple[int, JointReading]:
    velocity = view.velocity if len(view.velocity) == len(view.names) else None
    return view.stamp_ns, JointReading(view.names, view.position, velocity)


def _pose(raw: bytes) -> tuple[int, PoseReading]:
    view = cdr.pose_stamped(raw)
    return view.stamp_ns, PoseReading(view.position_m, view.quaternion_xyzw, view.frame_id)


def _imu(raw: bytes) -> tuple[int, ImuReading]:
    view = cdr.imu(raw)
    if view.orientation_variance == -1.0:  # sensor_msgs/Imu: "no estimate for a data element"
        raise ObservationError(
            "this Imu has no orientation (orientation_covariance[0] is -1): let its driver or a "
            "filter such as imu_filter_madgwick estimate it"
        )
    return view.stamp_ns, ImuReading(view.quaternion_xyzw, view.frame_id)


READS: Mapping[str, tuple[type, Read]] = {
    "raw": (Image, _raw),
    "compressed": (CompressedImage, _compressed),
    "joints": (JointState, _joints),
    "pose": (PoseStamped, _pose),
    "imu": (Imu, _imu),
}
"""kind of stream -> message type to subscribe to, and the function that reads its messages."""


TF_TYPES = ("tf2_msgs/msg/TFMessage",)


class Transforms:
    """The tf2 buffer and listener of one node, shared by all its transforms."""

    def __init__(self, node: Node, where: str, instead: str) -> None:
        """Listen to /tf and /tf_static; `where` names the file and key that need them.

        Raises EmbodimentError if tf2_ros cannot be imported; instead: what one can do without it.
        """
        try:
            self._tf2: Any = importlib.import_module("tf2_ros")
        except ImportError as error:
            raise EmbodimentError(
                f"{where} needs the ROS package tf2_ros, which cannot be imported here "
                f"({error}): install ros-<distro>-tf2-ros, or {instead}"
            ) from None
        self._clock = node.get_clock()
        self._buffer = self._tf2.Buffer()
        self._listener = self._tf2.TransformListener(self._buffer, node, spin_thread=False)
        self._listening = True

    def newest(self, frame: str, link: str) -> Any:
        """The newest TransformStamped from `link`'s coordinates to `frame`'s.

        Raises ObservationError if tf2 has no transform between them.
        """
        found = self._found(frame, link)
        if _is_static(found):  # it is valid now
            found.header.stamp = self._clock.now().to_msg()
        return found

    def fixed(self, frame: str, link: str) -> PoseReading:
        """The pose of `link` in `frame`, if static transforms alone connect them.

        Raises ObservationError if tf2 has no transform between them, or one that may move.
        """
        found = self._found(frame, link)
        if not _is_static(found):
            raise ObservationError(
                f"tf2 connects {frame} -> {link} by /tf, so it may move, expected /tf_static alone"
            )
        return read_transform(found)[1]

    def clear_if_ahead(self, stamp_ns: int) -> None:
        """Drop all transforms of /tf, if the newest one's stamp is a second ahead of the clock.

        The clock was set back, or a bag began again: tf2 would return that one, and refuse newer
        ones, until the clock is there again.
        """
        if stamp_ns - int(self._clock.now().nanoseconds) > REBASE_NS:
            self._buffer.clear()

    def _found(self, frame: str, link: str) -> Any:
        try:
            return self._buffer.lookup_transform(frame, link, Time())
        except self._tf2.TransformException as error:
            raise ObservationError(f"tf2 has no transform {frame} -> {link}: {error}") from None

    def destroy(self) -> None:
        """Stop listening, if that has not happened yet."""
        if self._listening:
            self._listening = False
            self._listener.unregister()


def _is_static(found: Any) -> bool:
    """Whether the whole chain of a transform is static: tf2 stamps it with zero."""
    return bool(found.header.stamp.sec == found.header.stamp.nanosec == 0)


class TransformSubscription:
    """A SourceSubscription that takes new transforms from tf2."""

    type_names = TF_TYPES
    depth = 1
    number: int | None = None  # tf2 merges the transforms of any number of publishers
    sent_ns = received_ns = 0  # nor does it tell when one was sent or arrived

    def __init__(self, transforms: Transforms, topic: str, frame: str, link: str) -> None:
        """Follow `link` in `frame`; `topic` is the stream's name for it."""
        self.topic = topic
        self._transforms, self._frame, self._link = transforms, frame, link
        self._taken_ns, self._new_ns = 0, 0  # its stamp, and when it came

    def take(self) -> Any | None:
        """The newest transform, None if it has the stamp of the last one taken.

        Raises ObservationError if tf2 has none.
        """
        found, now_ns = self._transforms.newest(self._frame, self._link), time.monotonic_ns()
        stamp_ns = _nanoseconds(found.header.stamp)
        if stamp_ns == self._taken_ns:
            if now_ns - self._new_ns > REBASE_NS:
                self._transforms.clear_if_ahead(stamp_ns)
            return None
        self._taken_ns, self._new_ns = stamp_ns, now_ns
        return found

    def follow(self, publishers: Sequence[TopicEndpointInfo]) -> None:
        """Do nothing: tf2's listener has its own subscriptions."""

    def destroy(self) -> None:
        """Stop the listener, for all transforms that share it."""
        self._transforms.destroy()


def read_transform(found: Any) -> tuple[int, PoseReading]:
    """Stamp in ns, and the pose of the child frame in the header's frame."""
    move, turn = found.transform.translation, found.transform.rotation
    reading = PoseReading(
        np.array([move.x, move.y, move.z]),
        np.array([turn.x, turn.y, turn.z, turn.w]),
        found.header.frame_id,
    )
    return _nanoseconds(found.header.stamp), reading


def _nanoseconds(stamp: Stamp) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
