"""What a robot takes: the table of output types, and outputs that are not joint trajectories.

A new output type is a row in OUTPUT_TYPES here, a row in stream/command_types.py or for joints in
stream/points.py, for goals a row in sim/stand_in/receivers.py, and for keys of its own rows in
robot/keys.py and tools/embodiment_schema.py (ARCHITECTURE.md, Outputs).

Velocities and levels stay inside a range and a rate of change. A gripper goal is sent when the
value changes by more than the hysteresis, never before the first value. A pose output maps rows of
numbers to poses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.field import Field
from gr00t_ros.robot.keys import (
    COMMAND_OUTPUT,
    FRANKA_GOALS,
    FRANKA_OUTPUT,
    GOALS,
    GRIPPER_LIMITS,
    GRIPPER_OUTPUT,
    LEVEL_LIMITS,
    POSE_OUTPUT,
    STAMPED_OUTPUT,
    TWIST_LIMITS,
    VELOCITY_LIMITS,
    Keys,
)
from gr00t_ros.robot.limits import CommandLimits, PoseLimits, VectorLimit, read_pose_limits
from gr00t_ros.robot.rotation import (
    Pose,
    axis_angle_from_matrix,
    matrix_from_axis_angle,
    matrix_from_quaternion,
    matrix_from_rot6d_rows,
    quaternion_from_matrix,
    rot6d_rows_from_matrix,
)
from gr00t_ros.robot.streams import POSE_ENCODINGS, POSES, StateStream, read_rotation

STREAMER = "gr00t_streamer"
COMMAND_STREAMER = "gr00t_command_streamer"
"""Processes that play windows for receivers that cannot play a stop ramp themselves."""


@dataclass(frozen=True, slots=True)
class OutputType:
    """One row.

    carries: joints have a place in the plan; commands have a range and a rate, poses speeds and a
    box. sender: the process that plays the windows; empty where the robot's controller plays them
    itself, with the stop ramp.
    widths: how many names an output may have, empty for any number. velocities: zero at each stop
    and at each window's end; other values stay as they are. goals: sent to an action, only when
    they change; the last goal stays in force, also after a stop or a death.
    """

    carries: Literal["joints", "commands", "poses"]
    sender: str = ""
    widths: tuple[int, ...] = ()
    velocities: bool = False
    goals: bool = False


OUTPUT_TYPES: Mapping[str, OutputType] = {
    "joint_trajectory": OutputType("joints"),
    "forward_command": OutputType("joints", STREAMER),
    "unitree_low_cmd": OutputType("joints", STREAMER),
    "wbc_upper_body": OutputType("joints", STREAMER),
    # x, y (m/s) and about z (rad/s); or x, y, z (m/s) and about x, y, z (rad/s)
    "twist": OutputType("commands", COMMAND_STREAMER, (3, 6), velocities=True),
    "twist_stamped": OutputType("commands", COMMAND_STREAMER, (3, 6), velocities=True),
    "float64": OutputType("commands", COMMAND_STREAMER, (1,)),
    "pose_stamped": OutputType("poses", COMMAND_STREAMER, (6, 7, 9)),
    # control_msgs actions, in the gripper's unit; Franka's move and grasp, m between the fingers
    "gripper_command": OutputType("commands", COMMAND_STREAMER, (1,), goals=True),
    "parallel_gripper_command": OutputType("commands", COMMAND_STREAMER, (1,), goals=True),
    "franka_gripper": OutputType("commands", COMMAND_STREAMER, (1,), goals=True),
}
"""Output type, as the file has it -> its row."""


@dataclass(frozen=True, slots=True)
class GripperGoals:
    """How values become goals, in the unit of the output's one name.

    switch (low, high): a value at or below `low` asks for the range's lower end, at or above `high`
    for its upper end; a value between them keeps the last goal. Without `switch`, a value becomes
    the goal when it differs from the last goal by `hysteresis`, or is an end of the range. effort:
    N or N m, None for the gripper's own. Franka: speed m/s, force N, epsilon (inner, outer) m of a
    grasp.
    """

    switch: tuple[float, float] | None = None
    hysteresis: float = 0.0
    effort: float | None = None
    speed: float = 0.0
    force: float = 0.0
    epsilon: tuple[float, float] = (0.0, 0.0)


def read_goals(field: Field, franka: bool) -> GripperGoals:
    """The `goals` of an output; Franka's gripper either opens or closes, so it needs a switch."""
    if franka:
        at = field.keys(FRANKA_GOALS)
        return GripperGoals(
            switch=at["switch"].interval(),
            speed=at["speed"].positive(),
            force=at["force"].positive(),
            epsilon=_pair(at["epsilon"]),
        )
    at = field.keys(GOALS)
    return GripperGoals(
        switch=at["switch"].interval() if "switch" in at else None,
        hysteresis=at["hysteresis"].positive() if "hysteresis" in at else 0.0,
        effort=_optional(at, "effort"),
    )


def _optional(at: Mapping[str, Field], key: str) -> float | None:
    return at[key].positive() if key in at else None


def _pair(field: Field) -> tuple[float, float]:
    values = tuple(item.number(0.0) for item in field.items())
    if len(values) != 2:
        raise field.error("[inner, outer]")
    return values[0], values[1]


class GoalPicker:
    """The last goal of a gripper, and whether a value asks for another one."""

    def __init__(self, goals: GripperGoals, lower: float, upper: float) -> None:
        """lower, upper: the range of the output's value."""
        self._goals, self._ends = goals, (lower, upper)
        self.last: float | None = None
        """The last goal that the gripper has taken, None before the first."""

    def wanted(self, value: float) -> float | None:
        """The goal that `value` asks for; None if it is the last goal."""
        goal = self._goal(value)
        return None if goal == self.last else goal

    def _goal(self, value: float) -> float | None:
        if self._goals.switch is not None:
            low, high = self._goals.switch
            if low < value < high:
                return self.last
            return self._ends[0] if value <= low else self._ends[1]
        near = self.last is not None and abs(value - self.last) < self._goals.hysteresis
        return self.last if near and value not in self._ends else value


Array = NDArray[np.float64]

_AT_ONCE = 1e9  # largest change a second: in one knot more than any gripper's range


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """One receiver of commands: gr00t_command_streamer sends them to `topic` as `type` says.

    `names` are the quantities in the order of OUTPUT_TYPES; `frame` is the frame_id of stamped
    types. `vectors` are limits of a twist as a whole. A gripper has `goals`, and `topic` is the
    name of its action (franka_gripper: the namespace of its actions move and grasp).
    """

    name: str
    type: str  # a key of OUTPUT_TYPES that carries commands
    topic: str
    names: tuple[str, ...]
    frame: str = ""
    goals: GripperGoals | None = None
    vectors: tuple[VectorLimit, ...] = ()

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions that receive goals; empty unless it is a gripper."""
        if self.goals is None:
            return ()
        if self.type == "franka_gripper":
            return f"{self.topic}/move", f"{self.topic}/grasp"
        return (self.topic,)

    @property
    def velocities(self) -> bool:
        """Whether its values are velocities, which rest at zero."""
        return OUTPUT_TYPES[self.type].velocities


def read_command(name: str, field: Field) -> CommandOutput:
    """One output of the file whose type carries commands."""
    kind = field.entries()["type"].text()
    at = field.keys(_keys(kind))
    names, widths = at["names"].names(), OUTPUT_TYPES[kind].widths
    if len(names) not in widths:
        raise at["names"].error(f"{' or '.join(map(str, widths))} names for {kind}")
    frame = at["frame"].text() if "frame" in at else ""
    goals = read_goals(at["goals"], kind == "franka_gripper") if "goals" in at else None
    vectors = _read_vectors(at["limits"], name, kind, names) if "limits" in at else ()
    return CommandOutput(name, kind, at["topic"].topic(), names, frame, goals, vectors)


def _read_vectors(
    field: Field, name: str, kind: str, names: tuple[str, ...]
) -> tuple[VectorLimit, ...]:
    """Limits of a twist's two lengths: of its motion along the axes, and about them."""
    if not OUTPUT_TYPES[kind].velocities:
        raise field.problem(f"{kind} is no twist: its limits are those of its name, in `limits`")
    at, along = field.keys(TWIST_LIMITS), 2 if len(names) == 3 else 3
    speed, turn_speed = at["speed"].positive(), at["turn_speed"].positive()
    change = at["acceleration"].deceleration(speed)
    turn_change = at["turn_acceleration"].deceleration(turn_speed)
    return (
        VectorLimit(f"{name} along its axes", names[:along], speed, change),
        VectorLimit(f"{name} about its axes", names[along:], turn_speed, turn_change),
    )


def _keys(kind: str) -> Keys:
    """The keys of an output whose type carries commands."""
    if kind == "franka_gripper":
        return FRANKA_OUTPUT
    if kind == "twist_stamped":
        return STAMPED_OUTPUT
    return GRIPPER_OUTPUT if OUTPUT_TYPES[kind].goals else COMMAND_OUTPUT


def read_command_limits(
    fields: Mapping[str, Field], outputs: tuple[CommandOutput, ...]
) -> CommandLimits:
    """The limits of all commands of all outputs, from the entries of the file's `limits`."""
    owners = [(name, output) for output in outputs for name in output.names]
    rows = [_limits(fields[name], output) for name, output in owners]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 4).T.copy()
    velocity = np.array([output.velocities for _, output in owners], dtype=np.bool_)
    for array in (table, velocity):
        array.setflags(write=False)  # before the views are taken: they inherit it
    lower, upper, rate, start = table
    names = tuple(name for name, _ in owners)
    vectors = tuple(vector for output in outputs for vector in output.vectors)
    return CommandLimits(names, lower, upper, rate, start, velocity, vectors)


def _limits(field: Field, output: CommandOutput) -> tuple[float, ...]:
    """Lower, upper, rate and start."""
    if output.goals is not None:
        return _of_gripper(field, output.goals)
    at = field.keys(VELOCITY_LIMITS if output.velocities else LEVEL_LIMITS)
    lower, upper = at["range"].interval()
    start = at["start"] if "start" in at else Field(0.0, field.where, field.path)
    if not lower <= start.number() <= upper:
        raise start.problem(f"{start.number():g} is outside the range [{lower:g}, {upper:g}]")
    fastest = max(abs(lower), abs(upper)) if output.velocities else 0.0
    return lower, upper, at["rate"].deceleration(fastest), start.number()


def _of_gripper(field: Field, goals: GripperGoals) -> tuple[float, ...]:
    """A goal has no rate. The gripper's position before the first goal is not known (NaN)."""
    lower, upper = field.keys(GRIPPER_LIMITS)["range"].interval()
    if goals.switch is not None and not lower <= goals.switch[0] < goals.switch[1] <= upper:
        raise field.problem(f"the switch {list(goals.switch)} is outside [{lower:g}, {upper:g}]")
    if goals.hysteresis >= upper - lower:
        raise field.problem(f"the hysteresis {goals.hysteresis:g} is as wide as the range")
    return lower, upper, _AT_ONCE, math.nan


@dataclass(frozen=True, slots=True, eq=False)
class PoseOutput:
    """One receiver of poses: gr00t_command_streamer sends them to `topic` as PoseStamped.

    `names` are the numbers of `encode` in its order. `rotate` is the 3x3 matrix by which the
    data set multiplied the rotation from the right. `pose` is the state key that measures it.
    `link` is the link of the robot's description that has this pose, empty where the file names
    none.
    """

    name: str
    type: str  # a key of OUTPUT_TYPES that carries poses
    topic: str
    frame: str
    names: tuple[str, ...]
    encode: str  # a key of POSE_ENCODINGS
    pose: str
    limits: PoseLimits
    rotate: tuple[tuple[float, ...], ...] | None = None
    link: str = ""

    def poses(self, rows: NDArray[np.float64]) -> tuple[Pose, ...]:
        """The poses of (T, W) rows; raises RotationError where one is no rotation."""
        numbers = rows[:, 3:]
        if self.encode == "xyz_rot6d_rows":
            matrices = matrix_from_rot6d_rows(numbers, self.rotate)
        else:
            axis_angle = self.encode == "xyz_axis_angle"
            read = matrix_from_axis_angle if axis_angle else matrix_from_quaternion
            matrices = read(numbers)
            if self.rotate is not None:
                matrices = matrices @ np.array(self.rotate).T
        return tuple(Pose(row[:3], matrix) for row, matrix in zip(rows, matrices, strict=True))

    def rows(self, poses: Sequence[Pose]) -> NDArray[np.float64]:
        """(T, W) numbers of T poses, the inverse of `poses`; RotationError: one is no rotation."""
        positions = np.stack([pose.position for pose in poses])
        numbers = self._numbers(np.stack([pose.rotation for pose in poses]))
        return np.concatenate([positions, numbers], axis=1)

    def _numbers(self, matrices: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.encode == "xyz_rot6d_rows":
            return rot6d_rows_from_matrix(matrices, self.rotate)
        if self.rotate is not None:
            matrices = matrices @ np.array(self.rotate)
        if self.encode == "xyz_axis_angle":
            return axis_angle_from_matrix(matrices)
        return quaternion_from_matrix(matrices)


def read_pose(name: str, field: Field, state: Sequence[StateStream]) -> PoseOutput:
    """One output of the file of type pose_stamped."""
    at = field.keys(POSE_OUTPUT)
    encode, names = at["encode"].choice(*POSE_ENCODINGS), at["names"].names()
    if len(names) != POSE_ENCODINGS[encode]:
        raise at["names"].error(f"{POSE_ENCODINGS[encode]} names for {encode}")
    frame = at["frame"].text()
    measured_by = _measured_by(at["pose"], frame, state)
    measured_link = next(stream.link for stream in state if stream.key == measured_by)
    return PoseOutput(
        name=name,
        type=at["type"].text(),
        topic=at["topic"].topic(),
        frame=frame,
        names=names,
        encode=encode,
        pose=measured_by,
        limits=read_pose_limits(at["limits"]),
        rotate=read_rotation(at["rotate"]) if "rotate" in at else None,
        link=at["link"].text() if "link" in at else measured_link,
    )


def _measured_by(field: Field, frame: str, state: Sequence[StateStream]) -> str:
    """The state key that measures the pose, in the frame of the output."""
    streams = {stream.key: stream for stream in state if stream.source in POSES}
    if not streams:
        raise field.problem(
            "got a state key, but the file has none with from: pose, tf or kinematics"
        )
    key = field.choice(*streams)
    if streams[key].frame != frame:
        raise field.problem(
            f"state {key} is in frame {streams[key].frame!r}, expected {frame!r} as the output: "
            "a first pose is compared with it"
        )
    return key
