"""What was commanded at any time of a bag: by windows, controller states and command topics.

For joints: the newest window while it plays, through the controller's model (motion/sampler), else
the reference that the controller publishes, else the command topic, else the last window's end. For
velocities, levels and poses: the newest window as the command streamer plays it, else the output's
own topic. A velocity that nobody commands is zero. Everything else that nobody has commanded yet is
unknown: NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from gr00t_ros.bags.bag import Bag, BagMessage
from gr00t_ros.bags.message_types import message_class, read_message, type_name
from gr00t_ros.errors import BagError, ObservationError, RotationError
from gr00t_ros.inputs.controller_state import STATE_TYPE_NAMES, ControllerReading, controller_state
from gr00t_ros.inputs.trajectory import TrajectoryReader
from gr00t_ros.motion.sampler import JtcSampler, Trajectory
from gr00t_ros.observe.buffer import CONTROLLER_MAX_AGE_NS
from gr00t_ros.observe.readings import JointReading, select
from gr00t_ros.robot.actions import Output
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.outputs import CommandOutput, PoseOutput
from gr00t_ros.robot.rotation import Pose, matrix_from_quaternion
from gr00t_ros.ros.windows import parse_trajectory, window_topic
from gr00t_ros.stream.command_player import CommandPlayer, pose_of_window
from gr00t_ros.stream.command_types import COMMAND_TYPES, OutputMessage

Floats = NDArray[np.float64]

TWIST_AGE_NS: Final = 500_000_000
"""A velocity on a command topic is in force this long, as drivers of bases commonly have it."""

_TRIED = 3  # windows before the newest, in case that the controller refused it


@dataclass(frozen=True, slots=True, eq=False)
class CommandedRow:
    """What was commanded at one time, NaN where it is unknown.

    joints, speeds: (J,) in plan order, rad and rad/s. commands: (C,). poses: output name -> pose.
    """

    joints: Floats
    speeds: Floats
    commands: Floats
    poses: Mapping[str, Pose]
    unknown: tuple[str, ...]


@dataclass(slots=True)
class _Newest:
    """The newest messages of one topic, undecoded: most of them are never needed."""

    kept: list[BagMessage] = field(default_factory=list)

    def put(self, message: BagMessage) -> None:
        self.kept = [*self.kept[1 - _TRIED :], message]

    @property
    def last(self) -> BagMessage | None:
        return self.kept[-1] if self.kept else None


class _CommandedJoints:
    """One output of joints."""

    def __init__(self, output: Output, types: Mapping[str, str]) -> None:
        self.output = output
        self.windows, self.states, self.points = _Newest(), _Newest(), _Newest()
        self._read = TrajectoryReader()
        self._state_class = _class_of(types.get(output.state_topic, ""))
        self._sampler = JtcSampler(len(output.names))
        self._taken_ns, self._end_ns = -1, -1

    def at(self, now_ns: int) -> tuple[Floats, Floats]:
        """(J,) positions and speeds that were commanded at that time."""
        self._take_window()
        if self._end_ns >= now_ns:
            position, speed, _ = self._sampler.sample(now_ns)
            return position, speed
        reference = self._reading("reference", now_ns)
        if reference is not None:
            return select(self.output.names, reference), self._speed(reference)
        points = self.points.last
        if points is not None:
            position = np.array(read_message(points, Float64MultiArray).data)
            if len(position) == len(self.output.names):
                return position, np.zeros_like(position)
        if self._end_ns >= 0:
            position, speed, _ = self._sampler.sample(now_ns)
            return position, speed
        unknown = np.full(len(self.output.names), np.nan)
        return unknown, unknown

    def _speed(self, reference: JointReading) -> Floats:
        """(J,) speeds of the newest state's reference, from the one before where it has none."""
        names = self.output.names
        if reference.velocity is not None:
            return select(names, JointReading(reference.names, reference.velocity))
        newest, *older = reversed(self.states.kept)
        before = self._reading("reference", older[0].time_ns) if older else None
        if before is None:
            return np.zeros(len(names))
        seconds = max(newest.time_ns - older[0].time_ns, 1) * 1e-9
        return (select(names, reference) - select(names, before)) / seconds

    def _take_window(self) -> None:
        """Give the controller's model the newest window that it accepts."""
        for one in reversed(self.windows.kept):
            if one.time_ns <= self._taken_ns:
                break
            try:
                parsed = self._parsed(one)
            except ObservationError:
                continue
            if not isinstance(parsed, str) and self._accepts(parsed, one.time_ns):
                self._end_ns = (parsed.stamp_ns or one.time_ns) + int(parsed.times_ns[-1])
                break
        if self.windows.kept:
            self._taken_ns = self.windows.kept[-1].time_ns

    def _parsed(self, one: BagMessage) -> Trajectory | str:
        """A window in the controller's joint order, or why the controller rejects it."""
        view = self._read(one.data)
        if view is None or view.names != self.output.names or not len(view.times_ns):
            message = read_message(one, JointTrajectory)
            return parse_trajectory(message, self.output.names, 0)
        fields = view.positions, view.velocities, view.accelerations
        return Trajectory(view.stamp_ns, view.times_ns, *fields)

    def _accepts(self, window: Trajectory, time_ns: int) -> bool:
        if not len(window.times_ns) or not np.isfinite(window.positions).all():
            return False
        started = 0 < window.stamp_ns + int(window.times_ns[0]) <= time_ns
        start = window.positions[0] if started else self._start(window, time_ns)
        refused = self._sampler.accept(window, time_ns, start)
        if refused is None and not started:
            self._sampler.sample(time_ns)  # it begins at its arrival, where the joints are
        return refused is None

    def _start(self, window: Trajectory, time_ns: int) -> Floats:
        """Where the controller begins a window whose first point is still to come."""
        measured = self._reading("feedback", time_ns)
        if measured is not None:
            return select(self.output.names, measured)
        return self._sampler.sample(time_ns)[0] if self._end_ns >= 0 else window.positions[0]

    def _reading(self, part: str, now_ns: int) -> JointReading | None:
        """Reference or feedback of the newest state that is fresh at that time."""
        for one in reversed(self.states.kept):
            if one.time_ns > now_ns:
                continue
            if now_ns - one.time_ns > CONTROLLER_MAX_AGE_NS or self._state_class is None:
                return None
            try:
                _, reading = controller_state(read_message(one, self._state_class))
                found: JointReading = getattr(reading, part)
                select(self.output.names, found)
            except ObservationError:
                return None
            return found
        return None


class _CommandedValues:
    """One output of velocities or levels."""

    def __init__(self, output: CommandOutput, robot: Embodiment) -> None:
        self.output = output
        self.windows, self.messages = _Newest(), _Newest()
        self._columns = [robot.command_limits.names.index(name) for name in output.names]
        self._player = CommandPlayer(output, robot.command_limits)
        self._last: Floats = robot.command_limits.start[self._columns].copy()
        self._taken_ns = -1

    def at(self, now_ns: int) -> Floats:
        """(C,) values that were commanded at that time."""
        for one in reversed(self.windows.kept):
            if one.time_ns <= self._taken_ns:
                break
            message = read_message(one, JointTrajectory)
            if self._player.accept(message, 0, one.time_ns, one.time_ns) is None:
                break
        if self.windows.kept:
            self._taken_ns = self.windows.kept[-1].time_ns
        values = self._player.sample(now_ns, now_ns)
        if values is None:
            values = self._of_topic(now_ns)
        if values is None and self.output.velocities:
            values = np.zeros(len(self.output.names))
        if values is not None:
            self._last = values
        return self._last

    def _of_topic(self, now_ns: int) -> Floats | None:
        last = self.messages.last
        if last is None or (self.output.velocities and now_ns - last.time_ns > TWIST_AGE_NS):
            return None
        return _commanded(self.messages, self.output)


class _CommandedPose:
    """One output of poses."""

    def __init__(self, output: PoseOutput) -> None:
        self.output = output
        self.windows, self.messages = _Newest(), _Newest()
        self._last = Pose(np.full(3, np.nan), np.eye(3))

    def at(self, now_ns: int) -> Pose:
        """The pose that was commanded at that time."""
        numbers = self._of_window(now_ns)
        if numbers is None:
            numbers = _commanded(self.messages, self.output)
        if numbers is not None:
            try:
                self._last = Pose(numbers[:3], matrix_from_quaternion(numbers[3:]))
            except RotationError:
                return self._last
        return self._last

    def _of_window(self, now_ns: int) -> Floats | None:
        for one in reversed(self.windows.kept):
            numbers = pose_of_window(
                read_message(one, JointTrajectory), self.output.limits, one.time_ns, now_ns
            )
            if numbers is not None:
                return numbers
        return None


def _message(output: CommandOutput | PoseOutput) -> OutputMessage | None:
    """What is on the output's own topic; None for goals, which are on no topic."""
    return COMMAND_TYPES[output.type].message


def _commanded(newest: _Newest, output: CommandOutput | PoseOutput) -> Floats | None:
    """The values of the newest message on the output's own topic; None without one."""
    message = _message(output)
    if newest.last is None or message is None:
        return None
    return np.array(message.values(read_message(newest.last, message.kind), len(output.names)))


class Commanded:
    """All outputs of an embodiment at the present message of a bag."""

    def __init__(self, bag: Bag, embodiment: Embodiment, policy_node: str) -> None:
        """`policy_node`: the full name of the node that sent windows."""
        types = {topic.name: topic.type_name for topic in bag.topics if not topic.problem}
        self._robot, self._policy_node = embodiment, policy_node
        self._joints = [_CommandedJoints(output, types) for output in embodiment.outputs]
        self._values = [_CommandedValues(output, embodiment) for output in embodiment.commands]
        self._poses = [_CommandedPose(output) for output in embodiment.poses]
        self._takers: dict[str, list[_Newest]] = {}
        every: tuple[_CommandedJoints | _CommandedValues | _CommandedPose, ...]
        every = (*self._joints, *self._values, *self._poses)
        for one in every:
            window = window_topic(one.output).replace("~", policy_node, 1)
            if types.get(window) == type_name(JointTrajectory):
                self._takers.setdefault(window, []).append(one.windows)
        for joints in self._joints:
            if types.get(joints.output.state_topic) in STATE_TYPE_NAMES:
                self._takers.setdefault(joints.output.state_topic, []).append(joints.states)
        for topic, newest, kind in self._command_topics():
            if types.get(topic) == type_name(kind):
                self._takers.setdefault(topic, []).append(newest)
        self.topics = frozenset(self._takers)

    def put(self, topic: str, time_ns: int, data: bytes) -> None:
        """Take a message of one of `topics`, in the order of bag time."""
        for newest in self._takers[topic]:
            newest.put(BagMessage(topic, time_ns, data))

    def at(self, now_ns: int) -> CommandedRow:
        """What was commanded at that bag time, which is not before the last message.

        Raises BagError for a message that says it and is none of its topic's type.
        """
        joints = [one.at(now_ns) for one in self._joints]
        commands = [one.at(now_ns) for one in self._values]
        poses = {one.output.name: one.at(now_ns) for one in self._poses}
        unknown = [
            one.output.name
            for one, (position, _) in zip(self._joints, joints, strict=True)
            if not np.isfinite(position).all()
        ]
        unknown += [
            one.output.name
            for one, values in zip(self._values, commands, strict=True)
            if not np.isfinite(values).all()
        ]
        unknown += [name for name, pose in poses.items() if not np.isfinite(pose.position).all()]
        return CommandedRow(
            np.concatenate([position for position, _ in joints]),
            np.concatenate([speed for _, speed in joints]),
            np.concatenate(commands) if commands else np.empty(0),
            poses,
            tuple(unknown),
        )

    def sources(self, name: str) -> str:
        """What would say what was commanded to an output, for a message."""
        output = next(
            one for one in (*self._robot.outputs, *self._robot.streamed) if one.name == name
        )
        topics = [window_topic(output).replace("~", self._policy_node, 1)]
        if isinstance(output, Output):
            topics.append(output.state_topic)
        elif _message(output) is not None:
            topics.append(output.topic)
        else:
            topics.append("goals of an action are on no topic")
        return f"expected of {', '.join(topics)}"

    def _command_topics(self) -> Iterator[tuple[str, _Newest, type]]:
        for joints in self._joints:
            if joints.output.type == "forward_command":
                yield joints.output.topic, joints.points, Float64MultiArray
        streamed: tuple[_CommandedValues | _CommandedPose, ...] = (*self._values, *self._poses)
        for one in streamed:
            message = _message(one.output)
            if message is not None:
                yield one.output.topic, one.messages, message.kind


def _class_of(name: str) -> Any | None:
    """The class of a controller's state, None if it is none that is known here."""
    if name not in STATE_TYPE_NAMES:
        return None
    try:
        return message_class(name)
    except BagError:
        return None


__all__ = ["Commanded", "CommandedRow", "ControllerReading"]
