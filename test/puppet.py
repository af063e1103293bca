"""A robot that is what its embodiment file says: its topics, and joints that do as commanded.

Sensor publishers and trajectory controllers in the test's own process, without physics: what a
controller plays is what the joint states say. Needs a node that is spun.
"""

import time
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from robot_of_file import POSE, joints_of
from ros_fixtures import collect
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64
from trajectory_msgs.msg import JointTrajectory

from gr00t_ros.core.embodiment import Embodiment, Output
from gr00t_ros.ros.outputs import to_time
from gr00t_ros.sim.controller import Controller
from gr00t_ros.sim.follower import Follower
from gr00t_ros.sim.record import ROW_NS

PERIOD_S = 0.02
COMMAND = "/joint_trajectory"
COMMAND_TYPES = {"twist": Twist, "twist_stamped": TwistStamped, "float64": Float64}


class Puppet:
    """Publishes until it is stopped; `sent` has every message of each output by its name."""

    def __init__(self, node: Any, robot: Embodiment) -> None:
        self._node, self.robot = node, robot
        self.joints = joints_of(robot)
        self._stepped_ns = time.monotonic_ns() // ROW_NS * ROW_NS
        self._controllers = [self._controller(output) for output in robot.outputs]
        self.sent: dict[str, list[Any]] = {
            output.name: collect(node, JointTrajectory, output.topic, 50)
            for output in robot.outputs
        } | {
            output.name: collect(node, COMMAND_TYPES[output.type], output.topic, 50)
            for output in robot.commands
        }
        self._pictures = {v.topic: _picture(v.height_px, v.width_px) for v in robot.video}
        self._publishers = {
            topic: node.create_publisher(kind, topic, 10) for topic, kind in self._topics().items()
        }
        self._timer = node.create_timer(PERIOD_S, self._step)

    def stop(self) -> None:
        """Publish no more."""
        self._node.destroy_timer(self._timer)

    def _topics(self) -> dict[str, type]:
        kinds = {"joints": JointState, "pose": PoseStamped}
        return {v.topic: Image for v in self.robot.video} | {
            s.topic: kinds[s.source] for s in self.robot.state if s.topic
        }

    def _controller(self, output: Output) -> Controller:
        start = np.array([self.joints[name] for name in output.names])
        follower = Follower(output.names, start)

        def measured() -> Any:
            position, velocity, _ = follower.commanded
            return position, velocity

        assert output.topic.endswith(COMMAND), output.topic
        name = output.topic.removesuffix(COMMAND)
        assert output.state_topic == f"{name}/controller_state"
        return Controller(self._node, name, follower, self._now, measured)

    def _now(self) -> tuple[int, int]:
        now_ns = time.monotonic_ns()
        return now_ns, time.time_ns() - now_ns

    def _step(self) -> None:
        """Play what is due, then publish everything with one stamp."""
        now_ns = time.monotonic_ns()
        while self._stepped_ns + ROW_NS <= now_ns:
            self._stepped_ns += ROW_NS
            for controller in self._controllers:
                controller.follower.command(self._stepped_ns)
        for controller in self._controllers:
            follower = controller.follower
            self.joints |= dict(zip(follower.joint_names, follower.commanded[0], strict=True))
        # of what was played, however late this is: the node compares it with what it sent
        stamp = to_time(self._stepped_ns + self._now()[1])
        for controller in self._controllers:
            controller.publish_state(stamp)
        for topic, publisher in self._publishers.items():
            message = self._message(topic)
            message.header.stamp = stamp
            publisher.publish(message)

    def _message(self, topic: str) -> Any:
        if topic in self._pictures:
            self._pictures[topic].data[0] ^= 1  # a camera whose content stands still is a fault
            return self._pictures[topic]
        streams = [s for s in self.robot.state if s.topic == topic]
        if streams[0].source == "joints":
            values = [float(value) for value in self.joints.values()]
            return JointState(name=list(self.joints), position=values, velocity=[0.0] * len(values))
        message = PoseStamped()
        message.header.frame_id = streams[0].frame or ""
        at, turned = message.pose.position, message.pose.orientation
        at.x, at.y, at.z = POSE.position_m
        turned.x, turned.y, turned.z, turned.w = POSE.quaternion_xyzw
        return message


def _picture(height_px: int, width_px: int) -> Image:
    message = Image(height=height_px, width=width_px, encoding="rgb8", step=3 * width_px)
    message.data.frombytes(np.full((height_px, width_px, 3), 90, np.uint8).tobytes())
    return message


def numbers_of(message: Any, count: int) -> list[float]:
    """What a command's message says, in the order of its output's names."""
    if isinstance(message, Float64):
        return [message.data]
    twist = getattr(message, "twist", message)
    move, turn = twist.linear, twist.angular
    six = [move.x, move.y, move.z, turn.x, turn.y, turn.z]
    return six if count == 6 else [move.x, move.y, turn.z]
