"""The ROS side of one simulated controller: its command topic and its state topic.

What becomes of a trajectory is follower.py's; the time comes from the caller.
"""

from collections.abc import Callable

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.sim.follower import Follower
from gr00t_ros.sim.qos import COMMAND_IN, SENSOR_OUT

try:
    from control_msgs.msg import JointTrajectoryControllerState as ControllerState
except ImportError:  # not in the PyPI wheels; the same fields, and the node reads either
    from gr00t_ros.msg import ControllerState

Floats = NDArray[np.float64]

ENDS_MOVING = "allow_nonzero_velocity_at_trajectory_end"


class Controller:
    """Topics `/<name>/joint_trajectory` in, `/<name>/controller_state` out."""

    def __init__(
        self,
        node: Node,
        name: str,
        follower: Follower,
        now: Callable[[], tuple[int, int]],
        measured: Callable[[], tuple[Floats, Floats]],
        lose_every: Callable[[], int] = lambda: 0,
    ) -> None:
        """``now``: the controllers' clock and its ROS offset, ns; ``measured``: (J,), (J,).

        Every so many messages one is lost on its way, with ``lose_every`` above 0.
        """
        self.name = name
        self.follower = follower
        self._now = now
        self._measured = measured
        self._lose_every, self._heard = lose_every, 0
        self._logger = node.get_logger().get_child(name)
        self.last_rejection = ""
        self._states = node.create_publisher(
            ControllerState, f"{name}/controller_state", SENSOR_OUT
        )
        node.create_subscription(
            JointTrajectory, f"{name}/joint_trajectory", self._on_trajectory, COMMAND_IN
        )

    def set_active(self, active: bool) -> None:
        """Activate, which holds the measured position, or deactivate."""
        self.follower.set_active(active, self._measured()[0])

    def report(self) -> dict[str, object]:
        """What became of the trajectories so far, as JSON can say it."""
        accepted, rejected = self.follower.counts
        return {
            "active": self.follower.active,
            "accepted": accepted,
            "rejected": rejected,
            "last_rejection": self.last_rejection,
        }

    def _on_trajectory(self, message: JointTrajectory) -> None:
        self._heard += 1
        lose_every = self._lose_every()
        if lose_every > 0 and self._heard % lose_every == 0:
            return
        now_ns, offset_ns = self._now()
        reason = self.follower.accept(message, now_ns, offset_ns, *self._measured())
        if reason is not None:
            self.last_rejection = reason
            self._logger.error(f"rejected trajectory: {reason}")

    def publish_state(self, stamp: Time, speed_scaling: float = 1.0) -> None:
        """Publish reference, feedback and error; silent while inactive, as the real one is.

        ``speed_scaling`` is told, not obeyed.
        """
        if not self.follower.active:
            return
        reference = self.follower.commanded
        position, velocity = self._measured()
        message = ControllerState(
            joint_names=list(self.follower.joint_names),
            reference=_point(*reference),
            feedback=_point(position, velocity),
            error=_point(reference[0] - position, reference[1] - velocity),
            output=_point(reference[0]),
            speed_scaling_factor=speed_scaling,
        )
        message.header.stamp = stamp
        self._states.publish(message)


def parameter_node(follower: Follower, name: str, method: str, context: Context) -> Node:
    """A node of the controller's name with those of its parameters that matter to windows.

    As of joint_trajectory_controller 4.42.1: which may change while running, and their defaults.
    """
    node = rclpy.create_node(
        name,
        context=context,
        use_global_arguments=False,  # the robot's own name and remaps are not this node's
        enable_rosout=False,
        parameter_overrides=[Parameter("start_type_description_service", value=False)],
    )
    fixed = ParameterDescriptor(read_only=True)
    node.declare_parameter("joints", list(follower.joint_names), fixed)
    node.declare_parameter("interpolation_method", method, fixed)
    node.declare_parameter(ENDS_MOVING, False)

    def apply(parameters: list[Parameter]) -> None:
        for parameter in parameters:
            if parameter.name == ENDS_MOVING:
                follower.allow_nonzero_velocity_at_trajectory_end(parameter.value)

    node.add_post_set_parameters_callback(apply)
    return node


def _point(
    position: Floats, velocity: Floats | None = None, acceleration: Floats | None = None
) -> JointTrajectoryPoint:
    point = JointTrajectoryPoint(positions=position.tolist())
    if velocity is not None:
        point.velocities = velocity.tolist()
    if acceleration is not None:
        point.accelerations = acceleration.tolist()
    return point
