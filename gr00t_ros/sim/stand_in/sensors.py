"""The sensor topics of the stand-in robot: joint states, poses, an Imu, and invented pictures."""

from __future__ import annotations

import array
import importlib
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, TransformStamped
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, Imu, JointState

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import StateStream, VideoStream
from gr00t_ros.sim.sensors import SENSOR_OUT
from gr00t_ros.sim.stand_in.start import QUATERNION_XYZW, Start

Floats = NDArray[np.float64]

_GREY, _BAR = 90, 200
_BAR_SHARE = 16  # the bar is this part of the picture's width
_SPARE = "stand_in_spare_joint"  # for a topic of a list that is longer than its joints


class Readings:
    """Publishes the state of the robot on every topic of the embodiment's state keys."""

    def __init__(self, node: Node, robot: Embodiment, start: Start, joints_topic: str = "") -> None:
        """Raises EmbodimentError for a transform where tf2_ros is not installed.

        joints_topic: also publish all joints together there.
        """
        self._names = _names_by_topic(robot)
        self._joints = {
            topic: node.create_publisher(JointState, topic, SENSOR_OUT) for topic in self._names
        }
        self._all = None
        if joints_topic:
            self._all = node.create_publisher(JointState, joints_topic, SENSOR_OUT)
        self._frames = {
            stream.topic: stream.frame or ""
            for stream in robot.state
            if stream.source in ("pose", "imu")
        }
        self._poses = {
            stream.topic: node.create_publisher(PoseStamped, stream.topic, SENSOR_OUT)
            for stream in robot.state
            if stream.source == "pose"
        }
        self._imus = {
            stream.topic: node.create_publisher(Imu, stream.topic, SENSOR_OUT)
            for stream in robot.state
            if stream.source == "imu"
        }
        self._transforms = [stream for stream in robot.state if stream.source == "tf"]
        self._broadcaster = _broadcaster(node, robot.source) if self._transforms else None
        rest = np.array(QUATERNION_XYZW)
        self.poses = {topic: np.concatenate([at, rest]) for topic, at in start.poses.items()}
        """Topic of a pose stream -> (7,) m and quaternion x, y, z, w; may be replaced."""

    def publish(
        self, stamp: Time, positions: Mapping[str, float], velocities: Mapping[str, float]
    ) -> None:
        """Publish all of it with one stamp."""
        for topic, names in self._names.items():
            self._joints[topic].publish(_joint_state(stamp, names, positions, velocities))
        if self._all is not None:
            self._all.publish(_joint_state(stamp, tuple(positions), positions, velocities))
        for topic, publisher in self._poses.items():
            message = PoseStamped()
            message.header.stamp, message.header.frame_id = stamp, self._frames[topic]
            _fill(message.pose.position, message.pose.orientation, self.poses[topic])
            publisher.publish(message)
        for topic, publisher in self._imus.items():
            upright = Imu()
            upright.header.stamp, upright.header.frame_id = stamp, self._frames[topic]
            upright.orientation.w = 1.0
            publisher.publish(upright)
        if self._broadcaster is not None:
            self._broadcaster.sendTransform(
                [_transform(stamp, one, self.poses[one.topic]) for one in self._transforms]
            )


def _names_by_topic(robot: Embodiment) -> dict[str, tuple[str, ...]]:
    """Topic -> its joints; a list of topics shares the joints of its key."""
    names: dict[str, dict[str, None]] = {}
    for stream in robot.state:
        if stream.source not in ("joints", "kinematics"):
            continue
        for number, topic in enumerate(stream.topics):
            own = stream.names[number :: len(stream.topics)] or (f"{_SPARE}_{number}",)
            names.setdefault(topic, {}).update(dict.fromkeys(own))
    return {topic: tuple(own) for topic, own in names.items()}


def _joint_state(
    stamp: Time,
    names: tuple[str, ...],
    positions: Mapping[str, float],
    velocities: Mapping[str, float],
) -> JointState:
    message = JointState(
        name=list(names),
        position=[positions.get(name, 0.0) for name in names],
        velocity=[velocities.get(name, 0.0) for name in names],
    )
    message.header.stamp = stamp
    return message


def _broadcaster(node: Node, source: str) -> Any:
    try:
        return importlib.import_module("tf2_ros").TransformBroadcaster(node)
    except ImportError as error:
        raise EmbodimentError(
            f"{source}: from: tf needs the ROS package tf2_ros: {error}"
        ) from None


def _transform(stamp: Time, stream: StateStream, pose: Floats) -> TransformStamped:
    message = TransformStamped(child_frame_id=stream.link)
    message.header.stamp, message.header.frame_id = stamp, stream.frame or ""
    _fill(message.transform.translation, message.transform.rotation, pose)
    return message


def _fill(position: Any, orientation: Any, pose: Floats) -> None:
    position.x, position.y, position.z = pose[:3].tolist()
    orientation.x, orientation.y, orientation.z, orientation.w = pose[3:].tolist()


class PictureFeed:
    """One camera: grey pictures with a bright bar that moves with each frame."""

    def __init__(self, node: Node, stream: VideoStream) -> None:
        """Pictures of the size that the file sends, or as large as its crop needs."""
        self._compressed = stream.transport == "compressed"
        kind = CompressedImage if self._compressed else Image
        self._publisher = node.create_publisher(kind, stream.topic, SENSOR_OUT)
        self._shape = incoming_px(stream)
        self._frame_id, self._frame = f"{stream.key}_camera", 0

    def publish(self, stamp: Time) -> None:
        """Publish the next picture."""
        height, width = self._shape
        picture = np.full((height, width, 3), _GREY, dtype=np.uint8)
        bar = max(1, width // _BAR_SHARE)
        left = self._frame * max(1, bar // 2) % max(1, width - bar + 1)
        picture[:, left : left + bar] = _BAR
        picture[0, 0, 0] = self._frame % 256  # no two frames in a row are equal
        self._frame += 1
        message = self._message(picture)
        message.header.stamp, message.header.frame_id = stamp, self._frame_id
        self._publisher.publish(message)

    def _message(self, picture: NDArray[np.uint8]) -> Any:
        height, width = self._shape
        if self._compressed:
            _, data = cv2.imencode(".jpg", picture)
            return CompressedImage(format="jpeg", data=array.array("B", data.tobytes()))
        message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
        message.data = array.array("B", picture.tobytes())
        return message


def incoming_px(stream: VideoStream) -> tuple[int, int]:
    """Height and width of a picture that has the part that the file's crop keeps."""
    crop = None if stream.framing is None else stream.framing.crop
    if crop is None or crop.unit != "pixels":
        return stream.height_px, stream.width_px
    return round(crop.top + crop.height), round(crop.left + crop.width)
