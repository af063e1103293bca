"""How the command streamer plays and sends each output type: one row a type, and the messages.

What a type carries, and what a stop does to it, is a row in robot/outputs. A gripper's goal is
sent to its action only when it changes, one at a time. A stop does not cancel it: the gripper
keeps its last goal, because both opening and closing are worse than a goal that was chosen with
good inputs. The packages of the actions are imported when an output needs them: control_msgs 5
(jazzy), franka_msgs (frankarobotics/franka_ros2). Neither was ever run against a real gripper.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from numpy.typing import NDArray
from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.outputs import CommandOutput, GoalPicker, GripperGoals, PoseOutput
from gr00t_ros.ros import qos
from gr00t_ros.ros.windows import TrajectoryMessage
from gr00t_ros.stream.command_player import CommandPlayer, PosePlayer
from gr00t_ros.stream.points import PLANAR, message_class, twist_values

Floats = NDArray[np.float64]
Build = Callable[[Any, Floats, Time], Any]

_CONTROL = "ros-controls/control_msgs (apt: ros-<distro>-control-msgs)"
_FRANKA = "frankarobotics/franka_ros2"
_CHECK_S = 0.02
# The goal is sent again when the driver has not answered for this long.
_ANSWER_S = 2.0
# Wait after a refused goal, or while there is no action server.
_RETRY_S = 1.0
# Without an action server, a value that the stream has not repeated for this long is wanted no
# more: a driver that starts hours after the policy has ended must not move its fingers.
_WANTED_S = 1.0
# The same where the driver is there and has not taken the goal yet: it may refuse goals while the
# fingers move, and answers may be lost. So the last "open" of an episode reaches it.
_TRIED_S = 10.0
# The server of the last goal is looked for so often: another one does not know that goal.
_LOOK_S = 1.0
_ABORTED = 6  # action_msgs/msg/GoalStatus.STATUS_ABORTED


class MessageSender:
    """Publishes each value as one message on the output's topic."""

    problem = ""

    def __init__(
        self,
        kind: type,
        build: Build,
        node: Node,
        output: CommandOutput | PoseOutput,
        robot: Embodiment,
    ) -> None:
        """`build` makes a message of class `kind` from values, stamped where it has a header."""
        self._build, self._output = build, output
        self._publisher = node.create_publisher(kind, output.topic, qos.COMMAND)
        self.topic: str = self._publisher.topic_name

    def send(self, values: Floats, stamp: Time) -> None:
        """Publish one message of (n,) values."""
        self._publisher.publish(self._build(self._output, values, stamp))


def twist(output: CommandOutput, values: Floats, stamp: Time) -> Twist:
    """A Twist from (3,) values x, y, about z or from all (6,), m/s and rad/s."""
    six = np.zeros(6)
    six[PLANAR if len(values) == len(PLANAR) else slice(None)] = values
    message = Twist()
    message.linear.x, message.linear.y, message.linear.z = six[:3].tolist()
    message.angular.x, message.angular.y, message.angular.z = six[3:].tolist()
    return message


def twist_stamped(output: CommandOutput, values: Floats, stamp: Time) -> TwistStamped:
    """A TwistStamped from the (3,) or (6,) values of `twist`, in the output's frame."""
    message = TwistStamped(twist=twist(output, values, stamp))
    message.header.stamp, message.header.frame_id = stamp, output.frame
    return message


def float64(output: CommandOutput, values: Floats, stamp: Time) -> Float64:
    """A Float64 with the only one of (1,) values."""
    return Float64(data=float(values[0]))


def pose_stamped(output: PoseOutput, values: Floats, stamp: Time) -> PoseStamped:
    """A PoseStamped from (7,): x, y, z, m, and a quaternion x, y, z, w."""
    message = PoseStamped()
    message.header.stamp, message.header.frame_id = stamp, output.frame
    at, turned = message.pose.position, message.pose.orientation
    at.x, at.y, at.z = values[:3].tolist()
    turned.x, turned.y, turned.z, turned.w = values[3:].tolist()
    return message


class Goals(Protocol):
    """Makes the goals of one gripper; called on the executor's thread."""

    cancels_first: bool
    """Whether to cancel a running goal before the next, because the driver does not preempt it."""

    def of(self, position: float) -> tuple[ActionClient, Any]:
        """The client of the action, and the goal for `position`."""


class GripperCommandGoals:
    """control_msgs/action/GripperCommand: position and effort."""

    cancels_first = False

    def __init__(self, node: Node, output: CommandOutput, goals: GripperGoals) -> None:
        """Raises SettingsError without control_msgs."""
        self._action = message_class("control_msgs", "GripperCommand", _CONTROL, "action")
        self._client = ActionClient(node, self._action, output.topic)
        self._goals = goals

    def of(self, position: float) -> tuple[ActionClient, Any]:
        """The goal; with effort 0 the gripper chooses its effort."""
        goal = self._action.Goal()
        goal.command.position = position
        goal.command.max_effort = self._goals.effort or 0.0
        return self._client, goal


class ParallelGoals:
    """control_msgs/action/ParallelGripperCommand: a JointState, with an effort if there is one."""

    cancels_first = False

    def __init__(self, node: Node, output: CommandOutput, goals: GripperGoals) -> None:
        """Raises SettingsError without control_msgs."""
        self._action = message_class("control_msgs", "ParallelGripperCommand", _CONTROL, "action")
        self._client = ActionClient(node, self._action, output.topic)
        self._joint, self._goals = output.names[0], goals

    def of(self, position: float) -> tuple[ActionClient, Any]:
        """The goal, with one joint by its name."""
        effort = [] if self._goals.effort is None else [self._goals.effort]
        command = JointState(name=[self._joint], position=[position], effort=effort)
        return self._client, self._action.Goal(command=command)


class FrankaGoals:
    """franka_msgs: Grasp to close, Move to open; positions are widths between the fingers, m."""

    # franka_gripper's server runs each goal in its own thread; a cancel stops the fingers.
    cancels_first = True

    def __init__(self, node: Node, output: CommandOutput, goals: GripperGoals) -> None:
        """Raises SettingsError without franka_msgs."""
        self._move = message_class("franka_msgs", "Move", _FRANKA, "action")
        self._grasp = message_class("franka_msgs", "Grasp", _FRANKA, "action")
        move, grasp = output.actions
        self._mover = ActionClient(node, self._move, move)
        self._grasper = ActionClient(node, self._grasp, grasp)
        self._goals = goals

    def of(self, position: float) -> tuple[ActionClient, Any]:
        """The goal is one end of the range: a position below the switch becomes a Grasp."""
        assert self._goals.switch is not None
        if position > self._goals.switch[0]:
            return self._mover, self._move.Goal(width=position, speed=self._goals.speed)
        goal = self._grasp.Goal(width=position, speed=self._goals.speed, force=self._goals.force)
        goal.epsilon.inner, goal.epsilon.outer = self._goals.epsilon
        return self._grasper, goal


class GripperSender:
    """Sends the goals of one gripper; `send` may be called from any thread."""

    def __init__(
        self,
        make: Callable[[Node, CommandOutput, GripperGoals], Goals],
        node: Node,
        output: CommandOutput,
        robot: Embodiment,
    ) -> None:
        """Raises SettingsError where the action's package is not installed."""
        assert output.goals is not None
        self._log, self.topic = node.get_logger(), output.topic
        try:
            self._goals = make(node, output, output.goals)
        except SettingsError as error:
            raise SettingsError(
                f"output {output.name}, type {output.type}: {error}; or command the gripper as a "
                "joint of a trajectory controller, type joint_trajectory: docs/outputs.md"
            ) from error
        column, limits = robot.command_limits.names.index(output.names[0]), robot.command_limits
        lower, upper = float(limits.lower[column]), float(limits.upper[column])
        self._picker = GoalPicker(output.goals, lower, upper)
        self._wanted: tuple[float, float] | None = None  # value, and when it was sent last, s
        self._lasts_s = _WANTED_S  # how long a value is wanted after it was sent last
        self._last_client: Any = None  # of the last goal that the gripper has taken
        self._look_s = 0.0
        self._running: Any = None
        self._ending: Any = None
        self._not_before_s = 0.0
        self.problem = ""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(_CHECK_S, self._send_changed, clock=steady)

    def send(self, values: Floats, stamp: Time) -> None:
        """Set the wanted value, (1,); its goal is sent if it differs from the last one.

        It is wanted for _WANTED_S, or _TRIED_S where a driver is there: call it again and again.
        """
        self._wanted = float(values[0]), time.monotonic()

    def _send_changed(self) -> None:
        wanted, now_s = self._wanted, time.monotonic()
        if wanted is None or now_s - wanted[1] > self._lasts_s or now_s < self._not_before_s:
            return
        if now_s >= self._look_s:
            self._look_s = now_s + _LOOK_S
            self._forget_if_gone()
        position = self._picker.wanted(wanted[0])
        if position is None:
            return
        client, goal = self._goals.of(position)
        if not client.server_is_ready():
            self._without_server()
            return
        self._lasts_s = _TRIED_S
        if self._running is not None and self._goals.cancels_first:
            self._end_running()
        else:
            self._ending, self._not_before_s = None, time.monotonic() + _ANSWER_S
            sent = client.send_goal_async(goal)
            sent.add_done_callback(lambda future: self._answered(future, position, client))

    def _forget_if_gone(self) -> None:
        """Forget the last goal when its server is gone: the next one has to get it again."""
        if self._last_client is not None and not self._last_client.server_is_ready():
            self._picker.last = self._last_client = self._running = None
            self._without_server()

    def _without_server(self) -> None:
        self._lasts_s = _WANTED_S
        self._retry(f"no server of action {self.topic}: is the gripper's driver running?")

    def _end_running(self) -> None:
        """Cancel the running goal; the next is sent after its result or after _ANSWER_S."""
        self._ending, self._running = self._running, None
        self._not_before_s = time.monotonic() + _ANSWER_S
        self._ending.cancel_goal_async()

    def _answered(self, future: Any, position: float, client: ActionClient) -> None:
        self._not_before_s = 0.0
        handle = None if future.exception() else future.result()
        if handle is None or not handle.accepted:
            self._retry(f"the gripper refused position {position:g}")
            return
        self._picker.last, self._running, self.problem = position, handle, ""
        self._last_client = client
        handle.get_result_async().add_done_callback(
            lambda done: self._ended(done, handle, position)
        )

    def _ended(self, future: Any, handle: Any, position: float) -> None:
        """Do not send an ended goal again: a grasp that met no object has closed anyway."""
        if self._running is handle:
            self._running = None
        elif self._ending is handle:
            self._ending, self._not_before_s = None, 0.0
        failed = future.exception() or future.result().status == _ABORTED
        if failed:
            self.problem = f"the gripper gave up position {position:g}"
            self._log.warning(self.problem)

    def _retry(self, problem: str) -> None:
        self.problem = problem
        self._not_before_s = time.monotonic() + _RETRY_S
        self._log.error(problem, throttle_duration_sec=5.0)


class WindowPlayer(Protocol):
    """Takes windows and returns values; times are plan time and steady time."""

    accepted: int

    def accept(
        self, message: TrajectoryMessage, ros_offset_ns: int, now_ns: int, steady_ns: int
    ) -> str | None:
        """Play a window from now on, or return why it is refused."""

    def sample(self, now_ns: int, steady_ns: int) -> Floats | None:
        """The (n,) values to send now; a pose has (7,). None: send nothing."""

    def stop(self, now_ns: int, steady_ns: int) -> None:
        """Come to rest as the type's row in OUTPUT_TYPES says, because the streamer ends."""

    def moves(self, now_ns: int, steady_ns: int) -> bool:
        """Whether something is left to play before the streamer may end."""


class Sender(Protocol):
    """Owns the publisher or action client; `send` is called from the streaming thread."""

    topic: str

    def send(self, values: Floats, stamp: Time) -> None:
        """Command these (n,) values from now on."""

    @property
    def problem(self) -> str:
        """Why no value reaches the robot, as far as the sender knows; empty if there is none."""


@dataclass(frozen=True, slots=True)
class OutputMessage:
    """The messages of an output's topic: their class, and the output's values in one.

    values: of a message and the width of the output, the inverse of what the sender builds.
    """

    kind: type
    values: Callable[[Any, int], tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class CommandType:
    """A row: what plays the windows of an output of this type, and what sends its values.

    message: what is on its topic; None for goals, which go to an action.
    """

    player: Callable[[Any, Embodiment], WindowPlayer]
    sender: Callable[[Node, Any, Embodiment], Sender]
    message: OutputMessage | None = None


def _of_twist(message: Any, width: int) -> tuple[float, ...]:
    return twist_values(getattr(message, "twist", message), width)


def _of_level(message: Float64, _width: int) -> tuple[float, ...]:
    return (message.data,)


def _of_pose(message: PoseStamped, _width: int) -> tuple[float, ...]:
    at, turned = message.pose.position, message.pose.orientation
    return at.x, at.y, at.z, turned.x, turned.y, turned.z, turned.w


def _topic(
    player: Callable[[Any, Embodiment], WindowPlayer],
    kind: type,
    build: Build,
    values: Callable[[Any, int], tuple[float, ...]],
) -> CommandType:
    """The row of a type whose values are messages on a topic."""
    return CommandType(player, partial(MessageSender, kind, build), OutputMessage(kind, values))


def _values(output: CommandOutput, robot: Embodiment) -> WindowPlayer:
    return CommandPlayer(output, robot.command_limits)


def _poses(output: PoseOutput, robot: Embodiment) -> WindowPlayer:
    return PosePlayer(output.limits)


COMMAND_TYPES: Mapping[str, CommandType] = {
    "twist": _topic(_values, Twist, twist, _of_twist),
    "twist_stamped": _topic(_values, TwistStamped, twist_stamped, _of_twist),
    "float64": _topic(_values, Float64, float64, _of_level),
    "pose_stamped": _topic(_poses, PoseStamped, pose_stamped, _of_pose),
    "gripper_command": CommandType(_values, partial(GripperSender, GripperCommandGoals)),
    "parallel_gripper_command": CommandType(_values, partial(GripperSender, ParallelGoals)),
    "franka_gripper": CommandType(_values, partial(GripperSender, FrankaGoals)),
}
"""Every type of robot/outputs.py whose sender is gr00t_command_streamer."""
