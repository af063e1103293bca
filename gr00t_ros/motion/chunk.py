"""A policy's reply as an action chunk: joint targets and commands, each in the plan's order.

Maps keys to joints and checks keys, dtype, shape and finiteness; the guard checks the motion.
`to_reply` is the inverse: what was commanded, in the form of a reply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ChunkError, RotationError
from gr00t_ros.motion.pose.course import PoseChunk
from gr00t_ros.observe.readings import encode_computed
from gr00t_ros.robot.actions import ActionKey
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.field import UNIT
from gr00t_ros.robot.rotation import Pose
from gr00t_ros.robot.streams import StateStream

MOVING = 0.02
"""A joint moves if it passes more than this part of its scale in a second."""


@dataclass(frozen=True, slots=True, eq=False)
class ActionChunk:
    """One prediction, stamped as the observation that it was computed from; arrays are read-only.

    joints: (T, J) float64 in plan joint order and joint units; row k is for stamp_ns + k * step_ns
    (plan clock). raw: key -> (T, D) float32 as the server sent it. commands: (T, C) float64
    velocities and levels, in the order of command_limits. poses: output name -> its poses.
    rolled_ns: how far the state of its observation was rolled forward, and the stamp with it.
    asked_ns: when its query left, plan clock; 0 where that is not known. The node publishes
    it as the message of this name (gr00t_ros.msg).
    """

    sequence: int
    episode: int
    stamp_ns: int
    step_ns: int
    joints: NDArray[np.float64]
    raw: Mapping[str, NDArray[np.float32]]
    commands: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    poses: Mapping[str, PoseChunk] = field(default_factory=dict)
    rolled_ns: int = 0
    asked_ns: int = 0

    @property
    def observed_ns(self) -> int:
        """Plan time of the observation's pictures and measured state."""
        return self.stamp_ns - self.rolled_ns

    @property
    def end_ns(self) -> int:
        """Plan time of the last row."""
        return self.stamp_ns + (len(self.joints) - 1) * self.step_ns


def from_reply(
    embodiment: Embodiment,
    action: Mapping[str, NDArray[np.generic]],
    sequence: int,
    episode: int,
    stamp_ns: int,
) -> ActionChunk:
    """The chunk of a reply of (H, D) float32 arrays, H = embodiment.action_horizon, all copied.

    Raises ChunkError, with `kind` "keys" (a key is missing, or is neither mapped nor ignored),
    "dtype", "shape" or "finite" (also for numbers that are no rotation). Ignored keys are checked
    as well: a server that is wrong in one key is not trusted in the others.
    """
    _refuse_other_keys(embodiment, action)
    raw = {a.key: _checked(embodiment, a, action[a.key]) for a in embodiment.action}
    columns = {
        name: values
        for a in embodiment.action
        if a.output is not None
        for name, values in zip(a.names, _commands(embodiment, a, raw[a.key]).T, strict=True)
    }
    joints = _table(embodiment, embodiment.joint_names, columns)
    commands = _table(embodiment, embodiment.command_limits.names, columns)
    step_ns = embodiment.step_ns
    poses = _poses(embodiment, columns, stamp_ns)
    return ActionChunk(sequence, episode, stamp_ns, step_ns, joints, raw, commands, poses)


def _poses(
    embodiment: Embodiment, columns: Mapping[str, NDArray[np.float64]], stamp_ns: int
) -> dict[str, PoseChunk]:
    """The steps of each pose output."""
    chunks = {}
    for output in embodiment.poses:
        deltas = any(
            a.representation == "delta" for a in embodiment.action if a.output == output.name
        )
        try:
            steps = output.poses(_table(embodiment, output.names, columns))
        except RotationError as error:
            raise ChunkError(f"output {output.name}: {error}", kind="finite") from error
        chunks[output.name] = PoseChunk(stamp_ns, embodiment.step_ns, steps, deltas)
    return chunks


def _table(
    embodiment: Embodiment, names: Sequence[str], columns: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """(T, N) float64, read-only: the columns of these names."""
    table = np.zeros((embodiment.action_horizon, len(names)))
    for column, name in enumerate(names):
        table[:, column] = columns[name]
    table.setflags(write=False)
    return table


def _refuse_other_keys(embodiment: Embodiment, action: Mapping[str, object]) -> None:
    known = [a.key for a in embodiment.action]
    unknown = [key for key in action if key not in known]
    missing = [key for key in known if key not in action]
    if unknown or missing:
        raise ChunkError(
            f"action keys: got {', '.join(map(str, action)) or 'none'}; "
            f"{embodiment.source} expects {', '.join(known)}",
            kind="keys",
        )


def _checked(
    embodiment: Embodiment, key: ActionKey, values: NDArray[np.generic]
) -> NDArray[np.float32]:
    """A read-only copy of one key's values, after checks of dtype, shape and finiteness."""
    where = f"action {key.key}"
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        got = getattr(values, "dtype", type(values).__name__)
        raise ChunkError(f"{where}: got {got}, expected float32", kind="dtype")
    expected = (embodiment.action_horizon, key.width)
    if values.shape != expected:
        raise ChunkError(
            f"{where}: got shape {values.shape}, expected (horizon, width) {expected}",
            kind="shape",
        )
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise ChunkError(
            f"{where}: {values[row, column]} in row {row}, column {column} "
            f"({key.names[column]}), expected finite values",
            kind="finite",
        )
    copy = np.array(values, dtype=np.float32, order="C")
    copy.setflags(write=False)
    return copy


def _commands(
    embodiment: Embodiment, key: ActionKey, values: NDArray[np.float32]
) -> NDArray[np.float64]:
    """(H, D) float64 targets of a mapped key: threshold, then scale, then deltas to velocities.

    Deltas of poses stay deltas.
    """
    commands = values.astype(np.float64)
    if key.threshold is not None:
        ends = UNIT if key.scale is None else np.sort(key.scale.policy, axis=1).T
        commands = np.where(commands > key.threshold, ends[1], ends[0])
    if key.scale is not None:
        commands = key.scale.to_joint(commands)
    of_pose = any(output.name == key.output for output in embodiment.poses)
    if key.representation == "delta" and not of_pose:
        commands = commands * embodiment.rate_hz
    return commands


def to_reply(
    embodiment: Embodiment,
    joints: NDArray[np.float64],
    commands: NDArray[np.float64],
    poses: Mapping[str, Sequence[Pose]],
    speeds: NDArray[np.float64] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """The reply, key -> (T, D) float32, that `from_reply` maps to these joints, commands and poses.

    joints (T, J) and commands (T, C) are in the order of an ActionChunk; poses has T for each pose
    output, deltas where its keys are deltas. T is any number of rows. speeds (T, J): of the joints,
    for keys with a threshold: such a value says where a joint goes, so a joint that moves has the
    value of the end that it moves to.
    A key that no output executes is in the reply only if the joints have its values: a pose of the
    same name in the state, `from: kinematics`. All other ignored keys are left out.
    Raises RotationError for a pose that is none, ObservationError for a joint that is not finite.
    """
    columns = dict(zip(embodiment.joint_names, joints.T, strict=True))
    columns |= zip(embodiment.command_limits.names, commands.T, strict=True)
    for output in embodiment.poses:
        columns |= zip(output.names, output.rows(poses[output.name]).T, strict=True)
    moved = {} if speeds is None else dict(zip(embodiment.joint_names, speeds.T, strict=True))
    reply = {}
    for key in embodiment.action:
        if key.output is not None:
            reply[key.key] = _reply(embodiment, key, columns, moved).astype(np.float32)
        elif (stream := _same_pose(embodiment, key)) is not None:
            positions = np.stack([columns[name] for name in stream.names], axis=1)
            reply[key.key] = encode_computed(stream, positions)
    return reply


def _reply(
    embodiment: Embodiment,
    key: ActionKey,
    columns: Mapping[str, NDArray[np.float64]],
    moved: Mapping[str, NDArray[np.float64]],
) -> NDArray[np.float64]:
    """(T, D) of a mapped key: velocities to deltas, then scale, then the ends of a threshold."""
    values = np.stack([columns[name] for name in key.names], axis=1)
    of_pose = any(output.name == key.output for output in embodiment.poses)
    if key.representation == "delta" and not of_pose:
        values = values / embodiment.rate_hz
    if key.scale is not None:
        values = key.scale.to_policy(key.scale.fraction(values))
    if key.threshold is not None and all(name in moved for name in key.names):
        speeds = np.stack([moved[name] for name in key.names], axis=1)
        ends = UNIT if key.scale is None else np.sort(key.scale.policy, axis=1).T
        if key.scale is not None:  # speeds in the policy's values; the line may fall
            speeds = key.scale.to_policy(key.scale.fraction(speeds)) - key.scale.to_policy(
                key.scale.fraction(np.zeros_like(speeds))
            )
        least = MOVING * (np.asarray(ends[1]) - np.asarray(ends[0]))
        values = np.where(speeds > least, ends[1], np.where(speeds < -least, ends[0], values))
    return values


def _same_pose(embodiment: Embodiment, key: ActionKey) -> StateStream | None:
    """The state of that name, if the commanded joints alone give its pose."""
    for stream in embodiment.state:
        if stream.key == key.key and stream.source == "kinematics" and stream.width == key.width:
            known = stream.chain is not None and set(stream.names) <= set(embodiment.joint_names)
            return stream if known else None
    return None
