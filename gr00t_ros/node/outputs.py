"""Windows of the plan to the robot's controllers: one message an output, one stamp for all.

Outputs whose controller cannot play a window get it through a streamer, on ~/windows/<name>.

Owns the command publishers. `publish` returns what was sent, and the plan continues only from that.
For an output whose message was not sent, the controller plays the stop ramp of its last window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from gr00t_ros.errors import SendError
from gr00t_ros.inputs.trajectory import TrajectoryWriter
from gr00t_ros.motion.commands import CommandWindow
from gr00t_ros.motion.plan import Window
from gr00t_ros.motion.pose.course import PoseWindow
from gr00t_ros.motion.replay import SentParts
from gr00t_ros.robot.actions import Output
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.outputs import OUTPUT_TYPES, CommandOutput, PoseOutput
from gr00t_ros.robot.rotation import Pose, quaternion_from_matrix
from gr00t_ros.ros import qos
from gr00t_ros.ros.windows import POSE_NAMES, command_stamp, window_topic

OutputT = TypeVar("OutputT", Output, CommandOutput)

InTime = Callable[[int | None], bool]
"""Whether a message may still be sent; its argument is the plan time, ns, up to which the message
equals the one before it. None: it has nothing in common with the one before it.
"""


@dataclass(frozen=True, slots=True)
class _Message:
    """The message for one output, and until when (plan time) it equals the one before it."""

    name: str
    same_until_ns: int | None
    content: bytes | JointTrajectory


def _always(_same_until_ns: int | None) -> bool:
    return True


class Outputs:
    """The publishers of an embodiment's outputs; they send only while the node is active."""

    def __init__(self, node: LifecycleNode, embodiment: Embodiment, shadow: bool = False) -> None:
        """Create a lifecycle publisher for each output of `embodiment`.

        In shadow there is no publisher on a command topic: windows go to ~/shadow/OUTPUT.
        """
        self._joints = tuple(_with_columns(embodiment.outputs, embodiment.joint_names))
        self._commands = tuple(_with_columns(embodiment.commands, embodiment.command_limits.names))
        every: tuple[Output | CommandOutput | PoseOutput, ...]
        every = (*embodiment.outputs, *embodiment.streamed)
        self._publishers = {
            output.name: node.create_lifecycle_publisher(
                JointTrajectory,
                f"~/shadow/{output.name}" if shadow else window_topic(output),
                qos.COMMAND,
            )
            for output in every
        }
        self._writers = {
            **{one.name: _writer(one.names, 2, 2) for one in embodiment.outputs},
            **{one.name: _writer(one.names, 0, 0) for one in embodiment.commands},
            **{one.name: _writer(POSE_NAMES, 1, 0) for one in embodiment.poses},
        }
        self._counts = len(embodiment.joint_names), len(embodiment.command_limits.names)
        self._node = node

    def publish(
        self,
        window: Window | None,
        offset_ns: int,
        commands: CommandWindow | None = None,
        poses: Mapping[str, PoseWindow] | None = None,
        in_time: InTime = _always,
    ) -> SentParts:
        """Send all windows to their outputs with one stamp; `offset_ns`: ROS time minus plan time.

        All messages are made before the first is sent. `in_time` is called directly before each
        one, because the process may be preempted before the first or between two of them. Returns
        what was sent. StampError, and errors from making a message, are raised before anything was
        sent. SendError means that it is not known what was sent.
        """
        left: set[str] = set()
        for message in self._messages(window, offset_ns, commands, poses or {}):
            if not in_time(message.same_until_ns):
                continue
            publisher = self._publishers[message.name]
            try:
                publisher.publish(message.content)
            except Exception as error:
                raise SendError(
                    f"{publisher.topic_name}: the middleware refused a message: {error}"
                ) from error
            left.add(message.name)
        return self._sent(left, window is not None, commands)

    def _sent(self, left: set[str], joints: bool, commands: CommandWindow | None) -> SentParts:
        """What was sent, by columns; a command without values to send counts as sent."""
        joint_columns = np.zeros(self._counts[0], dtype=np.bool_)
        for output, columns in self._joints:
            joint_columns[columns] = joints and output.name in left
        commanded = np.zeros(self._counts[1], dtype=np.bool_)
        for command, columns in self._commands:
            nothing = commands is not None and bool(np.isnan(commands.values[:, columns]).any())
            commanded[columns] = command.name in left or nothing
        return SentParts(joint_columns, commanded, frozenset(left))

    def _messages(
        self,
        window: Window | None,
        offset_ns: int,
        commands: CommandWindow | None,
        poses: Mapping[str, PoseWindow],
    ) -> Sequence[_Message]:
        messages: list[_Message] = []
        if window is not None:
            assert window.velocities is not None and window.accelerations is not None
            assert len(window.positions) == len(window.velocities) == len(window.accelerations)
            stamp = command_stamp(window.stamp_ns + offset_ns)
            messages += [
                _Message(
                    o.name,
                    window.same_until_ns,
                    self._writers[o.name](
                        stamp,
                        window.times_ns,
                        window.positions[:, cols],
                        window.velocities[:, cols],
                        window.accelerations[:, cols],
                    ),
                )
                for o, cols in self._joints
            ]
        if commands is not None:
            at_ns = commands.stamp_ns if window is None else window.stamp_ns
            stamp = command_stamp(at_ns + offset_ns)
            times_ns = commands.times_ns + (commands.stamp_ns - at_ns)
            messages += [
                _Message(o.name, None, self._writers[o.name](stamp, times_ns, values))
                for o, cols in self._commands
                if not np.isnan(values := commands.values[:, cols]).any()
            ]
        for name, of_pose in poses.items():
            at_ns = of_pose.stamp_ns if window is None else window.stamp_ns
            times_ns = of_pose.stamp_ns - at_ns + of_pose.knot_ns * np.arange(len(of_pose.poses))
            stamp = command_stamp(at_ns + offset_ns)
            content = pose_message(self._writers[name], of_pose, stamp, times_ns)
            messages.append(_Message(name, of_pose.same_until_ns, content))
        return messages

    def topics(self) -> tuple[str, ...]:
        """The topics on which windows are published, as remapped."""
        return tuple(publisher.topic_name for publisher in self._publishers.values())

    def destroy(self) -> None:
        """Remove the publishers from the node."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)


def command_readers(node: Node, embodiment: Embodiment) -> dict[str, str]:
    """Command topic (as remapped) -> the question for the operator if it has no subscriber.

    What gr00t_streamer sends needs none in this node's graph: its topic is the streamer's own
    parameter, and the reader may be on a network that only the streamer's computer reaches.
    """
    asked = {window_topic(output): _question(output) for output in embodiment.outputs}
    for output in embodiment.streamed:
        asked[window_topic(output)] = _question(output)
        if not OUTPUT_TYPES[output.type].goals:
            asked[output.topic] = "is the robot's own driver of it running?"
    return {str(node.resolve_topic_name(topic)): question for topic, question in asked.items()}


def command_topics(node: Node, embodiment: Embodiment) -> tuple[str, ...]:
    """The topics (as remapped) on which this node and its streamers publish commands."""
    topics = []
    for output in (*embodiment.outputs, *embodiment.streamed):
        topics.append(window_topic(output))
        row = OUTPUT_TYPES[output.type]
        if row.sender and not row.goals:
            topics.append(output.topic)
    return tuple(str(node.resolve_topic_name(topic)) for topic in topics)


def action_servers(node: Node, embodiment: Embodiment) -> dict[str, tuple[str, ...]]:
    """Gripper output -> the actions that it needs, as remapped."""
    return {
        output.name: tuple(str(node.resolve_topic_name(name)) for name in output.actions)
        for output in embodiment.commands
        if output.goals is not None
    }


def _question(output: Output | CommandOutput | PoseOutput) -> str:
    """The question for the operator if the windows of an output have no subscriber."""
    sender = OUTPUT_TYPES[output.type].sender
    return f"is {sender} running for it?" if sender else "is the controller loaded and active?"


def _with_columns(
    outputs: Sequence[OutputT], names: Sequence[str]
) -> Iterator[tuple[OutputT, list[int]]]:
    """Each output with the columns of its names."""
    order = {name: column for column, name in enumerate(names)}
    return ((output, [order[name] for name in output.names]) for output in outputs)


def _writer(names: Sequence[str], velocities: int, accelerations: int) -> TrajectoryWriter:
    """A writer that knows the layout of its messages already: no tick has to find it.

    velocities, accelerations: how many of two points have them.
    """
    write, rows = TrajectoryWriter(names), np.zeros((2, len(names)))
    write(Time(), np.zeros(2, np.int64), rows, rows[:velocities], rows[:accelerations])
    return write


def pose_message(
    write: TrajectoryWriter, window: PoseWindow, stamp: Time, times_ns: NDArray[np.int64]
) -> bytes | JointTrajectory:
    """The message of a window of poses: x, y, z and quaternions x, y, z, w at these times.

    The velocities of its first point are the window's origin: a streamer that missed the first
    windows of a motion begins there, and not where the motion is by now.
    """
    return write(stamp, times_ns, _pose_rows(window.poses), _pose_rows([window.origin]))


def _pose_rows(poses: Sequence[Pose]) -> NDArray[np.float64]:
    quaternions = quaternion_from_matrix(np.stack([pose.rotation for pose in poses]))
    return np.hstack([np.stack([pose.position for pose in poses]), quaternions])
