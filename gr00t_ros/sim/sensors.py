"""The topics on which a real robot's drivers would publish: joints, link poses, pictures.

And the simulation's own: `/clock` and the state of the task. Publishing is safe in any
thread; what to publish when is the caller's.
"""

import array
import json

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from gr00t_ros.ros import qos
from gr00t_ros.sim.description import LinkPose, RobotDescription
from gr00t_ros.sim.qos import SENSOR_OUT

Floats = NDArray[np.float64]


class Sensors:
    """The publishers of one robot; topic names are relative, so that they can be remapped."""

    def __init__(self, node: Node, robot: RobotDescription, with_clock: bool) -> None:
        """Create the publishers; `/clock` only on request."""
        self._joints = node.create_publisher(JointState, "joint_states", SENSOR_OUT)
        self._poses = {
            link: node.create_publisher(PoseStamped, link.topic, SENSOR_OUT) for link in robot.poses
        }
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
        self, stamp: Time, names: tuple[str, ...], position: Floats, velocity: Floats
    ) -> None:
        """Publish the joint state; position and velocity (J,)."""
        message = JointState(
            name=list(names), position=position.tolist(), velocity=velocity.tolist()
        )
        message.header.stamp = stamp
        self._joints.publish(message)

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
        """Return the cameras of this frame whose pictures somebody reads: others cost nothing."""
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
        # Any other sequence is checked value by value.
        message.data = array.array("B", picture.tobytes())
        self._images[camera].publish(message)

    def publish_state(self, state: dict[str, object]) -> None:
        """Publish the task's state as a JSON text, latched."""
        self._state.publish(String(data=json.dumps(state)))
