"""Checks an action chunk before it is followed: accepts, clamps or refuses it with the reason.

Runs before a chunk enters the reference. Checks each chunk alone, and against the position that the
plan will have when the chunk takes over.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.robot.limits import POSITION_UNIT, ROUNDING, CommandLimits, JointLimits, Workspace

Floats = NDArray[np.float64]
VerdictKind = Literal[
    "",
    "finite",
    "shape",
    "late",
    "position",
    "jump",
    "velocity",
    "workspace",
    "command",
    "pose",
    "stopped",
    "unwanted",
    "watch",
]

# How far outside the position limits a row is still clamped (control.md 3), rad or m.
CLAMP_RAD = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The guard's result for one chunk.

    kind, reason: why it was refused or clamped, else empty. first_step: the first row that is not
    yet due at the splice. joints: (T, J) float64 rad to follow, None if refused. commands: (T, C)
    float64, the commands other than joints.
    """

    accepted: bool
    clamped: bool
    kind: VerdictKind
    reason: str
    first_step: int
    joints: Floats | None
    commands: Floats | None = None

    @property
    def dropped(self) -> bool:
        """Whether the chunk came at a wrong time: it says nothing about the policy."""
        return self.kind in ("late", "stopped", "unwanted")


def refused(kind: VerdictKind, reason: str, first: int = 0) -> Verdict:
    """Return the verdict on a chunk of which nothing is played."""
    return Verdict(False, False, kind, reason, first, None)


def check(
    chunk: ActionChunk,
    limits: JointLimits,
    splice_ns: int,
    planned: Floats,
    workspace: Workspace | None = None,
) -> Verdict:
    """Check a chunk that takes over at splice_ns, where the plan is at `planned` (J,) rad."""
    joints, first = chunk.joints, first_step(chunk, splice_ns)
    expected = len(limits.names)
    if joints.ndim != 2 or joints.shape[1] != expected or len(joints) == 0:
        return refused("shape", f"got shape {joints.shape}, expected (T, {expected})", first)
    for row, joint in np.argwhere(~np.isfinite(joints))[:1]:
        got = f"got {joints[row, joint]}, expected a finite position"
        return refused("finite", _place(limits, joint, row) + got, first)
    if first >= len(joints):
        late_ms = (splice_ns - chunk.stamp_ns - (len(joints) - 1) * chunk.step_ns) / 1e6
        return refused("late", f"all {len(joints)} steps due {late_ms:.0f} ms or more ago", first)
    verdict = _check_joints(chunk, limits, first, planned)
    if verdict.joints is None or workspace is None:
        return verdict
    return _check_workspace(verdict.joints, workspace, first) or verdict


def clamp_commands(verdict: Verdict, commands: Floats, limits: CommandLimits) -> Verdict:
    """An accepted chunk's verdict with its `commands` (T, C) clamped to their limits.

    A command outside is clamped however large it is (control.md 3, base command). The reason names
    the first one, or a joint if one was clamped.
    """
    expected = (len(commands), len(limits))
    if commands.shape != expected or not np.isfinite(commands).all():
        got = f"got commands of shape {commands.shape}, expected finite {expected}"
        return refused("command", got, verdict.first_step)
    clamped = limits.within(commands)
    if verdict.clamped or np.array_equal(clamped, commands):
        return replace(verdict, commands=clamped)
    reason = _beyond(commands, limits)
    return replace(verdict, clamped=True, kind="command", reason=reason, commands=clamped)


def _beyond(commands: Floats, limits: CommandLimits) -> str:
    """The first command that is beyond its limits, or the first vector that is too long."""
    inside = np.clip(commands, limits.lower, limits.upper)
    for row, column in np.argwhere(inside != commands)[:1]:
        return (
            f"{limits.names[column]}, step {row}: got {commands[row, column]:.4f}, "
            f"limits {limits.lower[column]:.4f} to {limits.upper[column]:.4f}"
        )
    for vector in limits.vectors:
        lengths = np.linalg.norm(commands[:, limits.columns(vector)], axis=1)
        for row in np.flatnonzero(lengths > vector.speed)[:1]:
            return f"{vector.name}, step {row}: got {lengths[row]:.4f}, limit {vector.speed:.4f}"
    return ""


def first_step(chunk: ActionChunk, splice_ns: int) -> int:
    """The first row of the chunk at or after splice_ns, which may be beyond its last."""
    return max(0, -((chunk.stamp_ns - splice_ns) // chunk.step_ns))


def _check_joints(chunk: ActionChunk, limits: JointLimits, first: int, planned: Floats) -> Verdict:
    joints = chunk.joints
    lower, upper = limits.lower + limits.margin, limits.upper - limits.margin
    outside = np.maximum(np.maximum(lower - joints, joints - upper), 0.0)
    worst = np.unravel_index(np.argmax(outside), outside.shape)
    row, joint = int(worst[0]), int(worst[1])
    reason = ""
    if outside[row, joint] > ROUNDING:
        reason = _place(limits, joint, row) + (
            f"got {joints[row, joint]:.4f} {POSITION_UNIT}, limits {limits.allowed(joint)}"
        )
        if outside[row, joint] > CLAMP_RAD:
            return refused("position", f"{reason}: {_OUTSIDE}", first)
    clamped = np.minimum(np.maximum(joints, lower), upper)
    refusal = _check_jump(clamped, limits, first, planned)
    refusal = refusal or _check_speed(clamped, limits, first, chunk.step_ns)
    if refusal is not None:
        return refusal
    return Verdict(True, bool(reason), "position" if reason else "", reason, first, clamped)


def _check_jump(joints: Floats, limits: JointLimits, first: int, planned: Floats) -> Verdict | None:
    jump = np.abs(joints[first] - planned)
    over = np.flatnonzero(~(jump <= limits.jump))
    for joint in over[:1]:
        return refused(
            "jump",
            _place(limits, joint, first)
            + f"got {joints[first, joint]:.4f} {POSITION_UNIT}, the first position that is not due "
            f"yet; it is {jump[joint]:.4f} from the held {planned[joint]:.4f}, expected at most "
            f"limits.{limits.names[joint]}.jump, {limits.jump[joint]:.4f}: {_FAR}",
            first,
        )
    return None


def _check_speed(joints: Floats, limits: JointLimits, first: int, step_ns: int) -> Verdict | None:
    """Skip joints whose first step is unchecked: they get step commands, and the shaper smooths."""
    speed = np.abs(np.diff(joints, axis=0)) / (step_ns * 1e-9)
    checked = np.isfinite(limits.jump)
    for row, joint in np.argwhere((speed > limits.velocity) & checked)[:1]:
        return refused(
            "velocity",
            _place(limits, joint, row + 1)
            + f"got {speed[row, joint]:.3f} {POSITION_UNIT} a second, "
            f"limit {limits.velocity[joint]:.3f}: {_FAST}",
            first,
        )
    return None


def _check_workspace(joints: Floats, workspace: Workspace, first: int) -> Verdict | None:
    """Check the end effector's positions of the rows to come against the workspace box.

    Only the rows are checked. Between two rows the path is straight in joint space: at distance r
    from an axis that turns by q it bulges by r q^2 / 8, which is 3 mm at 0.9 m and the 0.17 rad
    that an FR3 turns in a step at 15 Hz.
    """
    if workspace.chain is None:
        return None
    path, _ = workspace.chain.pose(joints[first:])
    inside = (workspace.lower <= path) & (path <= workspace.upper)
    for row, axis in np.argwhere(~inside)[:1]:
        reason = (
            f"end effector, step {first + row}: {'xyz'[axis]} would be {path[row, axis]:.3f} m, "
            f"{workspace.lower[axis]:.3f} to {workspace.upper[axis]:.3f} allowed: move the task "
            "inside the box, or correct workspace"
        )
        return refused("workspace", reason, first)
    return None


_FAR = (
    "check joint order, unit and scale of its state and action keys, and that the server makes "
    "relative actions absolute; a gripper that closes in one step needs jump: unchecked"
)
_OUTSIDE = (
    "move arm and task away from the limit, or check joint order, unit and scale; a gripper needs "
    "margin 0.0"
)
_FAST = "check rate_hz against the training data, and the unit"


def _place(limits: JointLimits, joint: int, step: int) -> str:
    return f"{limits.names[joint]}, step {step}: "
