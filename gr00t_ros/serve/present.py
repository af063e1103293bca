"""The present values of each action key, read from the state, and a reply that keeps them.

Values are in the outputs' units (rad, m, a base's m/s), as robot/actions describes them; a reply is
in the policy's. A value that the state does not show is never guessed: such a file is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot.actions import ActionKey, AnyOutput
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.field import UNIT, Scale
from gr00t_ros.robot.outputs import CommandOutput, PoseOutput
from gr00t_ros.robot.rotation import (
    axis_angle_from_matrix,
    matrix_from_axis_angle,
    matrix_from_quaternion,
    matrix_from_rot6d_rows,
    quaternion_from_matrix,
    rot6d_rows_from_matrix,
)
from gr00t_ros.robot.streams import StateStream

Floats = NDArray[np.float64]
StateArrays = Mapping[str, NDArray[np.float32]]
ReadNumber = Callable[[StateArrays], Floats]
"""State arrays (B, T, D) -> (B,) the present value of one number."""

REACH = 0.05
"""Most that a joint is moved to either side, rad or m; an arm's 3 degrees."""
_RANGE_SHARE = 0.05  # of the range of a joint or command; less than REACH for grippers

_STANDS = "a base stands"
_DELTA = "deltas add up: zero keeps the end effector where it is"
_POSE = "poses: the arm's joints for them are not in the file"
_LEVEL = "a level keeps its start"
_GRIPPER = "a gripper by action gets no new goal"
_THRESHOLD = "its threshold leaves two positions: the nearer one is kept"


_NO_TURN: Mapping[str, tuple[float, ...]] = {
    "xyz_axis_angle": (0.0, 0.0, 0.0),
    "xyz_quaternion": (0.0, 0.0, 0.0, 1.0),
    "xyz_rot6d_rows": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
}
"""Encoding of a pose -> the numbers of a rotation by nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerKey:
    """One action key with N numbers; arrays are (N,) float64 in the output's units.

    why_held: why its numbers are not moved, empty for joints that can be. lower, upper: where they
    may be commanded. reach: how far they may be moved. tolerance: how far the present value may be
    from the commanded one of a robot that follows, infinite where nothing is measured.
    """

    action: ActionKey
    reads: tuple[ReadNumber, ...]
    why_held: str
    lower: Floats
    upper: Floats
    reach: Floats
    tolerance: Floats

    def present(self, state: StateArrays) -> Floats:
        """(B, N) the present values."""
        return np.stack([read(state) for read in self.reads], axis=-1)

    def reply(self, values: Floats) -> NDArray[np.float32]:
        """(B, H, N) float32 in the policy's units that command these `values`."""
        scale = self.action.scale
        if self.action.threshold is not None:
            first, last = np.array(_ends(self.action)).T
            values = np.where(np.abs(values - first) <= np.abs(values - last), first, last)
        if scale is not None:
            values = scale.to_policy(scale.fraction(values))
        return values.astype(np.float32)


def answer_keys(embodiment: Embodiment) -> tuple[AnswerKey, ...]:
    """All action keys of the file, in its order.

    Raises EmbodimentError for a number whose present value no state key has.
    """
    return tuple(_key(embodiment, action) for action in embodiment.action)


def _key(embodiment: Embodiment, action: ActionKey) -> AnswerKey:
    output = _output(embodiment, action)
    if output is None:
        reads, why = _ignored(embodiment, action), "the file ignores it"
        return _held_key(action, reads, why, np.full(action.width, np.inf))
    if isinstance(output, PoseOutput):
        return _of_pose(embodiment, action, output)
    if isinstance(output, CommandOutput):
        return _of_command(embodiment, action, output)
    return _of_joints(embodiment, action)


def _output(embodiment: Embodiment, action: ActionKey) -> AnyOutput | None:
    outputs: tuple[AnyOutput, ...] = (
        *embodiment.outputs,
        *embodiment.commands,
        *embodiment.poses,
    )
    return next((one for one in outputs if one.name == action.output), None)


def _held_key(
    action: ActionKey, reads: Sequence[ReadNumber], why: str, tolerance: Floats
) -> AnswerKey:
    """A key whose numbers stay where they are."""
    far, zero = np.full(action.width, np.inf), np.zeros(action.width)
    return AnswerKey(action, tuple(reads), why, -far, far, zero, tolerance)


def _of_joints(embodiment: Embodiment, action: ActionKey) -> AnswerKey:
    limits = embodiment.limits
    columns = [limits.names.index(name) for name in action.names]
    reads = [
        _joint(embodiment, name) or _same_key(embodiment, action, column)
        for column, name in enumerate(action.names)
    ]
    lower = (limits.lower + limits.margin)[columns]
    upper = (limits.upper - limits.margin)[columns]
    why_held = "" if action.threshold is None else _THRESHOLD
    reach = np.minimum(REACH, _RANGE_SHARE * (upper - lower))
    tolerance = reach
    if why_held:
        tolerance = np.array([0.4 * abs(last - first) for first, last in _ends(action)])
    return AnswerKey(
        action,
        tuple(_known(embodiment, action, reads)),
        why_held,
        lower,
        upper,
        reach,
        tolerance,
    )


def _of_command(embodiment: Embodiment, action: ActionKey, output: CommandOutput) -> AnswerKey:
    limits = embodiment.command_limits
    columns = [limits.names.index(name) for name in action.names]
    endless = np.full(action.width, np.inf)
    if output.velocities:
        why = _DELTA if action.representation == "delta" else _STANDS
        return _held_key(action, [_constant(0.0)] * action.width, why, endless)
    if output.goals is None:
        starts = [_constant(float(limits.start[column])) for column in columns]
        return _held_key(action, starts, _LEVEL, endless)
    if output.goals.switch is not None and action.threshold is None:
        low, high = output.goals.switch  # between them no goal is sent
        return _held_key(action, [_constant((low + high) / 2.0)], _GRIPPER, endless)
    reads = [
        _joint(embodiment, name) or _same_key(embodiment, action, column)
        for column, name in enumerate(action.names)
    ]
    reach = _RANGE_SHARE * (limits.upper - limits.lower)[columns]
    why = _GRIPPER if action.threshold is None else _THRESHOLD
    key = _held_key(action, _known(embodiment, action, reads), why, reach)
    return replace(key, lower=limits.lower[columns], upper=limits.upper[columns])


def _of_pose(embodiment: Embodiment, action: ActionKey, output: PoseOutput) -> AnswerKey:
    """The measured pose, its position inside the output's box; or no motion, for deltas."""
    columns = [output.names.index(name) for name in action.names]
    if action.representation == "delta":
        numbers = (0.0, 0.0, 0.0, *_NO_TURN[output.encode])
        reads = [_constant(numbers[column]) for column in columns]
        return _held_key(action, reads, _DELTA, np.full(action.width, np.inf))
    stream = next(one for one in embodiment.state if one.key == output.pose)
    measured = [
        _same_key(embodiment, action, index)
        if stream.columns
        else _pose_number(stream, output, column)
        for index, column in enumerate(columns)
    ]
    reads = list(_known(embodiment, action, measured))
    key = _held_key(action, reads, _POSE, np.full(action.width, REACH))
    endless = np.full(len(_NO_TURN[output.encode]), np.inf)
    lower = np.concatenate([output.limits.lower, -endless])[columns]
    upper = np.concatenate([output.limits.upper, endless])[columns]
    return replace(key, lower=lower, upper=upper)


def _known(
    embodiment: Embodiment, action: ActionKey, reads: Sequence[ReadNumber | None]
) -> Sequence[ReadNumber]:
    missing = [name for name, read in zip(action.names, reads, strict=True) if read is None]
    if missing:
        raise EmbodimentError(
            f"{embodiment.source}: action.{action.key}: got no state key that shows where "
            f"{', '.join(missing)} is, expected it among the names of a state key from: joints; a "
            "policy that does not know it cannot hold it"
        )
    return [read for read in reads if read is not None]


def _ends(action: ActionKey) -> tuple[tuple[float, float], ...]:
    """The two values that a key with a threshold commands, for each number, in output's units."""
    return action.scale.joint if action.scale is not None else (UNIT,) * len(action.names)


def _constant(value: float) -> ReadNumber:
    return lambda state: np.full(len(next(iter(state.values()))), value)


def _joint(embodiment: Embodiment, name: str) -> ReadNumber | None:
    """The joint's position, from the first state key that has it."""
    for stream in embodiment.state:
        if stream.source == "joints" and name in stream.names:
            column = stream.names.index(name)
            scale = None if stream.scale is None else _of_column(stream.scale, column)
            return _number(stream.key, column, scale)
    return None


def _same_key(embodiment: Embodiment, action: ActionKey, column: int) -> ReadNumber | None:
    """The same column of the state key of the same name and width, as GR00T's datasets have it."""
    for stream in embodiment.state:
        if stream.key == action.key and stream.width == action.width:
            scale = None if action.scale is None else _of_column(action.scale, column)
            return _number(stream.key, column, scale)
    return None


def _of_column(scale: Scale, column: int) -> Scale:
    return Scale(scale.joint[column : column + 1], scale.policy[column : column + 1])


def _number(key: str, column: int, scale: Scale | None) -> ReadNumber:
    """The newest value of a state key's column, in the unit before its `scale`."""

    def read(state: StateArrays) -> Floats:
        values = np.asarray(state[key][:, -1, column : column + 1], dtype=np.float64)
        return (values if scale is None else scale.to_joint(values))[:, 0]

    return read


def _ignored(embodiment: Embodiment, action: ActionKey) -> list[ReadNumber]:
    """The state of the same name, else zeros: nothing is commanded by them."""
    reads = [_same_key(embodiment, action, column) for column in range(action.width)]
    return [read or _constant(0.0) for read in reads]


def _pose_number(stream: StateStream, output: PoseOutput, column: int) -> ReadNumber:
    """One number of the measured pose, as the output encodes it."""

    def read(state: StateArrays) -> Floats:
        numbers = np.asarray(state[stream.key][:, -1], dtype=np.float64)
        return _encoded(numbers, stream, output)[:, column]

    return read


def _encoded(numbers: Floats, stream: StateStream, output: PoseOutput) -> Floats:
    """(B, W) numbers of `output` that mean the same pose as (B, D) numbers of `stream`."""
    if stream.encode == output.encode and stream.rotate == output.rotate:
        return numbers
    matrix = _MATRIX[stream.encode or ""](numbers[:, 3:])
    if stream.rotate is not None:
        matrix = matrix @ np.array(stream.rotate).T
    if output.rotate is not None:
        matrix = matrix @ np.array(output.rotate)
    return np.concatenate([numbers[:, :3], _NUMBERS[output.encode](matrix)], axis=-1)


_MATRIX: Mapping[str, Callable[[Floats], Floats]] = {
    "xyz_axis_angle": matrix_from_axis_angle,
    "xyz_quaternion": matrix_from_quaternion,
    "xyz_rot6d_rows": matrix_from_rot6d_rows,
}
_NUMBERS: Mapping[str, Callable[[Floats], Floats]] = {
    "xyz_axis_angle": axis_angle_from_matrix,
    "xyz_quaternion": quaternion_from_matrix,
    "xyz_rot6d_rows": rot6d_rows_from_matrix,
}
