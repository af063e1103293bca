"""The topics of a real robot's drivers: joints, link poses, pictures, commands to its base.

Also the simulation's own topics: `/clock` and the state of the task. Base commands are only
recorded: the robot's base is fixed. Any thread may publish; the caller decides when.
"""

from __future__ import annotations

import array
import json
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, Twist
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_system_default,
)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64, String

from gr00t_ros.ros import qos
from gr00t_ros.sim.description import LinkPose, RecordOnlyTopic, RobotDescription
from gr00t_ros.sim.record import TimedRows
from gr00t_ros.stream.points import PLANAR, twist_values

Floats = NDArray[np.float64]

# Reliable: best-effort subscriptions receive it too, and without it large images on loopback lose
# frames (environment.md, DDS). Depth 1: an old frame is of no use.
SENSOR_OUT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)

# As franka_robot_state_broadcaster of franka_ros2 publishes its JointStates.
TORQUES_OUT = qos.SENSOR

# As joint_trajectory_controller subscribes (rclcpp::SystemDefaultsQoS): the defaults of DDS for a
# reader, which are best effort and only the newest message.
COMMAND_IN = qos_profile_system_default

KEPT_ROWS = 20_000  # 400 s at 50 Hz


def _height(message: Float64) -> tuple[float, ...]:
    return (message.data,)


KINDS: Mapping[str, tuple[type, int, Callable[[Any], tuple[float, ...]]]] = {
    "twist": (Twist, len(PLANAR), partial(twist_values, width=len(PLANAR))),
    "height": (Float64, 1, _height),
}
"""RecordOnlyTopic.kind -> message type, width of a row, and the row of a message."""


class BaseCommands:
    """Keeps the messages of the recorded topics; any thread may read them."""

    def __init__(
        self, node: Node, topics: tuple[RecordOnlyTopic, ...], now_ns: Callable[[], int]
    ) -> None:
        """Subscribe; ``now_ns`` is the controllers' clock."""
        self._now_ns = now_ns
        self._width = {one.topic: KINDS[one.kind][1] for one in topics}
        self._rows: dict[str, deque[tuple[int, tuple[float, ...]]]] = {
            one.topic: deque(maxlen=KEPT_ROWS) for one in topics
        }
        self._counts = dict.fromkeys(self._rows, 0)
        for one in topics:
            node.create_subscription(
                KINDS[one.kind][0], one.topic, self._receiver(one), qos.COMMAND
            )

    def _receiver(self, one: RecordOnlyTopic) -> Callable[[Any], None]:
        row_of = KINDS[one.kind][2]

        def receive(message: Any) -> None:
            self._rows[one.topic].append((self._now_ns(), row_of(message)))
            self._counts[one.topic] += 1

        return receive

    def report(self) -> dict[str, object]:
        """Return count and newest values of each topic, as JSON values."""
        return {
            topic: {"count": self._counts[topic], "newest": list(rows[-1][1]) if rows else None}
            for topic, rows in self._rows.items()
        }

    def rows(self) -> dict[str, TimedRows]:
        """Return a copy of the kept rows: for each topic the times and the values (M, D)."""
        return {topic: self._timed(topic) for topic in self._rows}

    def _timed(self, topic: str) -> TimedRows:
        rows = list(self._rows[topic])
        values = np.array([values for _, values in rows], dtype=np.float64)
        return TimedRows(
            np.array([time_ns for time_ns, _ in rows], dtype=np.int64),
            values.reshape(len(rows), self._width[topic]),
        )


class Sensors:
    """The publishers of one robot; topic names are relative, so that they can be remapped."""

    def __init__(self, node: Node, robot: RobotDescription, with_clock: bool) -> None:
        """Create the publishers; `/clock` only on request."""
        self._joints = node.create_publisher(JointState, "joint_states", SENSOR_OUT)
        self._poses = {
            link: node.create_publisher(PoseStamped, link.topic, SENSOR_OUT) for link in robot.poses
        }
        self._torques = (
            node.create_publisher(JointState, robot.torque_topic, TORQUES_OUT)
            if robot.torque_topic
            else None
        )
        self._cameras = robot.cameras
        self._images = {
            name: node.create_publisher(Image, f"camera/{name}/image_raw", SENSOR_OUT)
            for name in robot.camera_names
        }
        self._state = node.create_publisher(String, "~/state", qos.STATUS)
        self._clock = node.create_publisher(Clock, "/clock", SENSOR_OUT) if with_clock else None

    def publish_clock(self, time: Time) -> None:
        """Publish simulated time, if this robot gives the clock."""
        if self._clock is not None:
            self._clock.publish(Clock(clock=time))

    def publish_joints(
        self,
        stamp: Time,
        names: tuple[str, ...],
        position: Floats,
        velocity: Floats,
        effort: Floats,
    ) -> None:
        """Publish the joint state; position, velocity and effort (J,)."""
        message = JointState(
            name=list(names),
            position=position.tolist(),
            velocity=velocity.tolist(),
            effort=effort.tolist(),
        )
        message.header.stamp = stamp
        self._joints.publish(message)

    @property
    def torques_wanted(self) -> bool:
        """Whether somebody subscribes to the external torques."""
        return self._torques is not None and self._torques.get_subscription_count() > 0

    def publish_torques(self, stamp: Time, names: tuple[str, ...], torques: Floats) -> None:
        """Publish the external torques (J,) Nm of these joints, if this robot has the topic."""
        if self._torques is None:
            return
        message = JointState(name=list(names), effort=torques.tolist())
        message.header.stamp = stamp
        self._torques.publish(message)

    def publish_pose(
        self, stamp: Time, link: LinkPose, position_m: Floats, quaternion_xyzw: Floats
    ) -> None:
        """Publish a link's pose in its frame; position (3,) m, quaternion (4,)."""
        message = PoseStamped()
        message.header.stamp = stamp
        message.header.frame_id = link.frame
        place, turn = message.pose.position, message.pose.orientation
        place.x, place.y, place.z = position_m.tolist()
        turn.x, turn.y, turn.z, turn.w = quaternion_xyzw.tolist()
        self._poses[link].publish(message)

    def cameras_due(self, frame: int) -> tuple[str, ...]:
        """Return the cameras of this frame that have a subscriber; the others are not rendered."""
        return tuple(
            camera.name
            for camera in self._cameras
            if frame % camera.divisor == 0 and self._images[camera.name].get_subscription_count()
        )

    def publish_image(self, stamp: Time, camera: str, picture: NDArray[np.uint8]) -> None:
        """Publish one camera's picture, (H, W, 3) uint8 rgb."""
        height, width, channels = picture.shape
        message = Image(height=height, width=width, encoding="rgb8", step=width * channels)
        message.header.stamp = stamp
        message.header.frame_id = f"{camera}_camera"
        # rclpy checks every other type of sequence value by value.
        message.data = array.array("B", picture.tobytes())
        self._images[camera].publish(message)

    def publish_state(self, state: dict[str, object]) -> None:
        """Publish the task's state as a JSON text, latched."""
        self._state.publish(String(data=json.dumps(state)))
