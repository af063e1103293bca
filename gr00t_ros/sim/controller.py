"""A simulated JointTrajectoryController: messages in, joint commands at 1 kHz out, state topic.

The semantics are those of ros2_control (control.md 1, ../test/jtc). The follower gets the time from
its caller, as int ns of the controllers' clock; the controller adds the topics.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.time import Time as RosTime
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gr00t_ros.motion.sampler import JointMotion, JtcSampler, Trajectory
from gr00t_ros.ros.windows import TrajectoryMessage, parse_trajectory
from gr00t_ros.sim.record import ROW_NS, TimedRows
from gr00t_ros.sim.sensors import COMMAND_IN, SENSOR_OUT

try:
    from control_msgs.msg import JointTrajectoryControllerState as ControllerState
except ImportError:  # not in the PyPI wheels; ours has the same fields, and the node reads both
    from gr00t_ros.msg import ControllerState

Floats = NDArray[np.float64]

STATE_MESSAGE: type = ControllerState
"""The class of the messages of a controller's state."""

KEPT_WINDOWS = 20_000  # 400 s at 50 Hz
ENDS_MOVING = "allow_nonzero_velocity_at_trajectory_end"


@dataclass(frozen=True, slots=True, eq=False)
class _Arrival:
    now_ns: int
    trajectory: Trajectory
    measured: Floats
    measured_velocity: Floats


class Follower:
    """A controller after its activation; the physics thread samples, another thread accepts.

    Each trajectory waits for the first cycle that begins after its arrival. A real controller's
    cycles are on time. Those of a simulation on a loaded machine are late, and without the wait a
    trajectory would be used in cycles that lie before its own start.
    """

    def __init__(
        self,
        joint_names: tuple[str, ...],
        start: Floats,
        interpolate_from_desired_state: bool = False,
        interpolation_method: str = "splines",
    ) -> None:
        """Hold ``start`` (J,) rad, as a controller that was just activated at that position."""
        self.joint_names = joint_names
        self._sampler = JtcSampler(
            len(joint_names),
            interpolate_from_desired_state,
            period_ns=ROW_NS,
            interpolate=interpolation_method != "none",
        )
        self._sampler.hold(start)
        self._checks = JtcSampler(len(joint_names))
        self._arrived: deque[_Arrival] = deque()
        self._last: JointMotion = (start.copy(), np.zeros_like(start), np.zeros_like(start))
        self._lock = threading.Lock()
        self._active = True
        self._accepted = 0
        self._rejected = 0

    @property
    def active(self) -> bool:
        """Whether trajectories are accepted and commands change."""
        return self._active

    @property
    def commanded(self) -> JointMotion:
        """The newest command: position, velocity, acceleration, each (J,)."""
        return self._last

    @property
    def counts(self) -> tuple[int, int]:
        """Trajectories accepted and rejected since the start."""
        return self._accepted, self._rejected

    def allow_nonzero_velocity_at_trajectory_end(self, allowed: bool) -> None:
        """From now on accept trajectories that do not end at rest, or reject them."""
        with self._lock:
            for sampler in (self._checks, self._sampler):
                sampler.allow_nonzero_velocity_at_trajectory_end = allowed

    def accept(
        self,
        message: TrajectoryMessage,
        now_ns: int,
        ros_offset_ns: int,
        measured: Floats,
        measured_velocity: Floats,
    ) -> str | None:
        """Accept a trajectory, or return why the controller rejects it.

        ``now_ns``: the controllers' clock as it should be, even if its cycles are late.
        ``ros_offset_ns``: ROS time minus the controllers' clock now; it converts the stamp to
        that clock. Later steps of the ROS clock do not change an accepted trajectory.
        ``measured`` (J,) rad, ``measured_velocity`` (J,) rad/s. An inactive controller drops a
        valid message silently, as the real one does. A stamp before 1970 ends the real
        controller's process (rclcpp::Time throws), so this controller becomes inactive.
        """
        if message.header.stamp.sec < 0:
            self.set_active(False, measured)
            with self._lock:
                self._rejected += 1
            return "stamp: cannot store a negative time point, a real controller's process ends"
        trajectory = parse_trajectory(message, self.joint_names, ros_offset_ns)
        with self._lock:
            reason: str | None = None
            if isinstance(trajectory, str):
                reason = trajectory
            else:
                reason = self._checks.accept(trajectory, now_ns, measured)
            if reason is None and self._active:
                assert isinstance(trajectory, Trajectory)
                self._arrived.append(_Arrival(now_ns, trajectory, measured, measured_velocity))
                self._accepted += 1
            self._rejected += reason is not None
        return reason

    def command(self, time_ns: int) -> JointMotion:
        """Return the command for ``time_ns``: position, velocity, acceleration, each (J,).

        Call it for every millisecond, in order. The controller computes the command one cycle
        ahead. While inactive it returns the last commanded position, at rest.
        """
        with self._lock:
            if self._active:
                self._replace(time_ns - ROW_NS)
                self._last = self._sampler.sample(time_ns - ROW_NS)
            return self._last

    def set_active(self, active: bool, measured: Floats) -> None:
        """Activate and hold the ``measured`` position (J,), or deactivate."""
        with self._lock:
            if active and not self._active:
                self._sampler.hold(measured)
            if not active:
                self._arrived.clear()
                self._last = (self._last[0], np.zeros_like(measured), np.zeros_like(measured))
            self._active = active

    def _replace(self, cycle_ns: int) -> None:
        """Give the sampler what arrived before a cycle; it passed the same checks on arrival."""
        while self._arrived and self._arrived[0].now_ns <= cycle_ns:
            one = self._arrived.popleft()
            self._sampler.accept(one.trajectory, one.now_ns, one.measured, one.measured_velocity)


class SimulatedController:
    """A topic of trajectories in, a topic of controller states out."""

    def __init__(
        self,
        node: Node,
        name: str,
        follower: Follower,
        now: Callable[[], tuple[int, int]],
        measured: Callable[[], tuple[Floats, Floats]],
        lose_every: Callable[[], int] = lambda: 0,
        topics: tuple[str, str] | None = None,
    ) -> None:
        """``now``: the controllers' clock and its ROS offset, ns; ``measured``: (J,), (J,).

        With ``lose_every`` N above 0 every Nth message is dropped. ``topics``: of trajectories and
        of states; None: `<name>/joint_trajectory` and `<name>/controller_state`.
        """
        command_topic, state_topic = topics or (
            f"{name}/joint_trajectory",
            f"{name}/controller_state",
        )
        self.name = name
        self.follower = follower
        self._now = now
        self._measured = measured
        self._lose_every, self._received = lose_every, 0
        self._delays: deque[tuple[int, float]] = deque(maxlen=KEPT_WINDOWS)
        self._logger = node.get_logger().get_child(name)
        self.last_rejection = ""
        self._states = node.create_publisher(ControllerState, state_topic, SENSOR_OUT)
        # one message for all: making its points costs more than sending it
        self._state = ControllerState(joint_names=list(follower.joint_names))
        node.create_subscription(JointTrajectory, command_topic, self._on_trajectory, COMMAND_IN)

    def set_active(self, active: bool) -> None:
        """Activate and hold the measured position, or deactivate."""
        self.follower.set_active(active, self._measured()[0])

    def report(self) -> dict[str, object]:
        """Counts of the trajectories so far and the last rejection, as JSON values."""
        accepted, rejected = self.follower.counts
        return {
            "active": self.follower.active,
            "accepted": accepted,
            "rejected": rejected,
            "last_rejection": self.last_rejection,
        }

    def delays(self) -> TimedRows:
        """When the newest windows arrived, and how long after their stamps, s: (M, 1)."""
        rows = list(self._delays)
        times = np.array([time_ns for time_ns, _ in rows], dtype=np.int64)
        return TimedRows(times, np.array([delay_s for _, delay_s in rows]).reshape(-1, 1))

    def _on_trajectory(self, message: JointTrajectory) -> None:
        self._received += 1
        lose_every = self._lose_every()
        if lose_every > 0 and self._received % lose_every == 0:
            return
        now_ns, offset_ns = self._now()
        if message.header.stamp.sec > 0:  # 0 is "now"; rclpy raises for a negative one
            stamp_ns = RosTime.from_msg(message.header.stamp).nanoseconds
            self._delays.append((now_ns, (now_ns + offset_ns - stamp_ns) * 1e-9))
        reason = self.follower.accept(message, now_ns, offset_ns, *self._measured())
        if reason is not None:
            self.last_rejection = reason
            self._logger.error(f"rejected trajectory: {reason}")

    def publish_state(self, stamp: Time, speed_scaling: float = 1.0) -> None:
        """Publish reference, feedback and error; nothing while inactive, as the real controller.

        ``speed_scaling`` is only published: the controller always plays at full speed.
        """
        if not self.follower.active:
            return
        reference = self.follower.commanded
        position, velocity = self._measured()
        state = self._state
        state.header.stamp = stamp
        _fill(state.reference, *reference)
        _fill(state.feedback, position, velocity)
        _fill(state.error, reference[0] - position, reference[1] - velocity)
        _fill(state.output, reference[0])
        state.speed_scaling_factor = speed_scaling
        self._states.publish(state)


def parameter_node(follower: Follower, name: str, method: str, context: Context) -> Node:
    """A node with the controller's name and those of its parameters that matter to windows.

    Defaults, and which parameters may change at run time, are as in joint_trajectory_controller
    4.42.1.
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


def _fill(
    point: JointTrajectoryPoint,
    position: Floats,
    velocity: Floats | None = None,
    acceleration: Floats | None = None,
) -> None:
    point.positions = position.tolist()
    if velocity is not None:
        point.velocities = velocity.tolist()
    if acceleration is not None:
        point.accelerations = acceleration.tolist()
