"""Serialised messages -> stamp and reading, by what a stream is from; refuses to know topics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CompressedImage, Image, Imu, JointState

from gr00t_ros.core.embodiment import Stream, VideoStream
from gr00t_ros.core.errors import ObservationError
from gr00t_ros.core.state import ImuReading, JointReading, PoseReading
from gr00t_ros.ros import cdr, convert

Read = Callable[[Any], tuple[int, object]]
"""A message as the subscription gave it -> its stamp, ns, and what the buffer keeps of it."""


def kind(stream: Stream) -> str:
    """A camera's transport or a state stream's source: a key of READS, or "tf"."""
    return stream.transport if isinstance(stream, VideoStream) else stream.source


def _raw(raw: bytes) -> tuple[int, convert.Frame]:
    frame = convert.read(raw, "raw")
    return frame.stamp_ns, frame


def _compressed(raw: bytes) -> tuple[int, convert.Frame]:
    frame = convert.read(raw, "compressed")
    return frame.stamp_ns, frame


class Pictures:
    """Reads one camera's topic: headers only, the pixels stay as they came.

    The first picture's size is the camera's until the node is configured anew: what the policy
    sees would change with it, and a crop or a rectification that was made for the other size.
    """

    def __init__(self, streams: Sequence[VideoStream]) -> None:
        """Read what all of `streams` are sent from."""
        self._streams, self._transport = streams, streams[0].transport
        self._size: tuple[int, int] | None = None

    def __call__(self, raw: bytes) -> tuple[int, convert.Frame]:
        """Stamp and frame.

        Raises ObservationError for frames that cannot be decoded, of another size than the first
        one, or without the part that a stream crops.
        """
        frame = convert.read(raw, self._transport)
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
        """Names that come again are known."""
        self._read = cdr.JointStates()

    def __call__(self, raw: bytes) -> tuple[int, JointReading]:
        """Stamp and reading; ObservationError where the bytes are no JointState."""
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
"""What a stream's topic is subscribed as, and how its messages are read."""
