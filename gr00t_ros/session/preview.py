"""What the arms did and are about to do: positions of end effectors, and joints at their own times.

Chunks, windows and measured joints in; positions, turns and colours out. Times are plan time
where a name does not say otherwise.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.chunk import ActionChunk
from gr00t_ros.motion.plan import Window
from gr00t_ros.motion.pose.course import PoseWindow
from gr00t_ros.motion.replay import SentParts
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.outputs import PoseOutput
from gr00t_ros.robot.rotation import Chain, Pose

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

_SIDES = ("left", "right")
_MOST_POINTS = 60
_AHEAD_NS = 1_000_000_000
"""A chunk or window that begins so far ahead is of the time before a clock was set back."""


@dataclass(frozen=True, slots=True)
class Gripper:
    """One joint or command that opens and closes a gripper, and the ends of its range.

    column: of the joints in plan order, or of the commands if `commanded`.
    """

    name: str
    column: int
    lower: float
    upper: float
    commanded: bool = False

    def fractions(self, chunk: ActionChunk) -> Floats:
        """(T,) 0 at the lower end of the range, 1 at the upper end, for each row of a chunk."""
        table = chunk.commands if self.commanded else chunk.joints
        return np.clip((table[:, self.column] - self.lower) / (self.upper - self.lower), 0.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One end effector: a chain for joints in plan order, or an output that takes poses.

    frame: the base of the chain, or the frame of the poses.
    """

    name: str
    frame: str
    chain: Chain | None = None
    output: PoseOutput | None = None
    grippers: tuple[Gripper, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """Poses of one end effector in the arm's frame, in the order of time.

    times_ns: (N,) int64. positions: (N, 3) float64 m. rotations: (N, 3, 3) float64.
    """

    times_ns: Times
    positions: Floats
    rotations: Floats

    def __len__(self) -> int:
        """N, the number of poses."""
        return len(self.times_ns)


NOTHING = Way(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3, 3)))
"""The way of an arm of which nothing is known."""


@dataclass(frozen=True, slots=True, eq=False)
class PlayedWindows:
    """The windows of one tick: that of joints, those of pose outputs by name, and what was sent."""

    window: Window | None
    poses: Mapping[str, PoseWindow]
    sent: SentParts


def topic_part(name: str) -> str:
    """`name` as one part of a topic's name, which must not begin with a digit."""
    part = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"key_{part}" if part[:1].isdigit() else part


# --- which arms a robot has ---------------------------------------------------------------------


def arms_of(robot: Embodiment) -> tuple[Arm, ...]:
    """All end effectors whose pose follows from what is commanded.

    A chain that moves with joints that no output commands is left out, and so is one without a
    frame. Each is named as the output that moves most of its joints, or as its state key where
    that name is taken.
    """
    found: dict[str, Arm] = {}
    for key, frame, chain in _chains(robot):
        name = _output_of(robot, chain)
        name = topic_part(key if name in found else name)
        found[name] = Arm(name, frame, chain)
    for output in robot.poses:
        found[output.name] = Arm(output.name, output.frame, output=output)
    names = tuple(found)
    grippers = tuple(_grippers(robot, [a.chain for a in found.values() if a.chain is not None]))
    return tuple(
        Arm(a.name, a.frame, a.chain, a.output, tuple(_held_by(a.name, names, grippers)))
        for a in found.values()
    )


def _chains(robot: Embodiment) -> Iterator[tuple[str, str, Chain]]:
    """State key or link, frame and chain in plan order, each pair of links once."""
    seen = set()
    box, names = robot.workspace, robot.joint_names
    if box is not None and box.chain is not None and box.base:
        seen.add((box.base, box.link))
        yield box.link, box.base, box.chain
    for stream in robot.state:
        chain, ends = stream.chain, (stream.frame or "", stream.link)
        if chain is None or not stream.frame or ends in seen:
            continue
        if set(chain.joint_names) <= set(names):
            seen.add(ends)
            yield stream.key, stream.frame, chain.among(names)


def _output_of(robot: Embodiment, chain: Chain) -> str:
    moved = set(chain.joint_names)
    return max(robot.outputs, key=lambda output: len(moved.intersection(output.names))).name


def _grippers(robot: Embodiment, chains: Sequence[Chain]) -> Iterator[Gripper]:
    """Outputs of one joint that moves no chain, and outputs that send goals to a gripper."""
    in_chains = {name for chain in chains for name in chain.joint_names}
    names, limits, commands = robot.joint_names, robot.limits, robot.command_limits
    for output in robot.outputs:
        if len(output.names) == 1 and output.names[0] not in in_chains:
            at = names.index(output.names[0])
            yield Gripper(output.name, at, float(limits.lower[at]), float(limits.upper[at]))
    for command in robot.commands:
        if command.goals is not None:
            at = commands.names.index(command.names[0])
            ends = float(commands.lower[at]), float(commands.upper[at])
            yield Gripper(command.name, at, *ends, commanded=True)


def _held_by(arm: str, arms: Sequence[str], grippers: Sequence[Gripper]) -> Iterator[Gripper]:
    """All grippers of the only arm; of several arms those with the same side in their name."""
    side = next((side for side in _SIDES if side in arm), "")
    for gripper in grippers:
        if len(arms) == 1 or (side and side in gripper.name):
            yield gripper


# --- ways ---------------------------------------------------------------------------------------


def predicted(arm: Arm, chunk: ActionChunk | None, now_ns: int) -> Way:
    """The whole newest chunk, until its last row has passed.

    Deltas of poses have no place in the frame, so they give nothing.
    """
    if chunk is None or chunk.end_ns <= now_ns or chunk.stamp_ns > now_ns + _AHEAD_NS:
        return NOTHING
    if arm.chain is not None:
        times_ns = chunk.stamp_ns + np.arange(len(chunk.joints), dtype=np.int64) * chunk.step_ns
        return _along(arm.chain, times_ns, chunk.joints)
    steps = chunk.poses.get(arm.name)
    if steps is None or steps.deltas:
        return NOTHING
    times_ns = steps.stamp_ns + np.arange(len(steps.steps), dtype=np.int64) * steps.step_ns
    return _way(times_ns, steps.steps)


def committed(arm: Arm, played: Sequence[PlayedWindows], now_ns: int) -> Way:
    """The rest of what was sent last to this arm, from now to its end at rest.

    A window that was not sent leaves the one before it in place, whose stop ramp then plays.
    """
    if arm.chain is not None:
        return _committed_joints(arm.chain, played, now_ns)
    of_arm = (one.poses[arm.name] for one in reversed(played) if arm.name in one.sent.poses)
    poses = next(of_arm, None)
    if poses is None or poses.stamp_ns > now_ns + _AHEAD_NS:
        return NOTHING
    times_ns = poses.stamp_ns + np.arange(len(poses.poses), dtype=np.int64) * poses.knot_ns
    kept = times_ns > now_ns
    return _way(
        times_ns[kept], [pose for pose, keep in zip(poses.poses, kept, strict=True) if keep]
    )


def _committed_joints(chain: Chain, played: Sequence[PlayedWindows], now_ns: int) -> Way:
    columns = list(chain.columns)
    of_arm = (one.window for one in reversed(played) if one.sent.joints[columns].all())
    window = next(of_arm, None)
    if window is None or not window.stamp_ns - _AHEAD_NS <= now_ns < window.end_ns:
        return NOTHING
    times_ns = window.stamp_ns + window.times_ns
    kept = times_ns > now_ns
    rows, later_ns = window.positions[kept], times_ns[kept]
    start = position_at(times_ns, window.positions, now_ns)
    if start is not None:
        rows, later_ns = np.vstack([start, rows]), np.append(np.int64(now_ns), later_ns)
    return _along(chain, later_ns, rows)


class Driven:
    """The measured poses of all arms in the last seconds; stamps are those of the measurements."""

    def __init__(self, span_ns: int) -> None:
        """Keep what is at most `span_ns` older than the newest."""
        self._span_ns = span_ns
        self._poses: dict[str, deque[tuple[int, Pose]]] = {}

    def add(self, arm: str, stamp_ns: int, pose: Pose) -> None:
        """Take one measured pose; one that is not newer, or not finite, is left out."""
        kept = self._poses.setdefault(arm, deque())
        if kept and stamp_ns < kept[-1][0]:
            kept.clear()  # time ran back
        if (kept and stamp_ns == kept[-1][0]) or not np.isfinite(pose.position).all():
            return
        kept.append((stamp_ns, pose))
        while stamp_ns - kept[0][0] > self._span_ns:
            kept.popleft()

    def way(self, arm: str) -> Way:
        """The way of one arm."""
        kept = self._poses.get(arm, ())
        return _way(np.array([at for at, _ in kept], dtype=np.int64), [pose for _, pose in kept])

    def clear(self) -> None:
        """Forget all of it: nobody has watched in between."""
        self._poses.clear()


def measured_pose(arm: Arm, joints: Floats) -> Pose | None:
    """The pose at (J,) measured joints in plan order; None where one of the chain is unknown."""
    if arm.chain is None:
        return None
    position, rotation = arm.chain.pose(joints)
    return Pose(position, rotation) if np.isfinite(position).all() else None


def _along(chain: Chain, times_ns: Times, joints: Floats) -> Way:
    step = 1 + (len(times_ns) - 1) // _MOST_POINTS
    return Way(times_ns[::step], *chain.pose(joints[::step]))


def _way(times_ns: Times, poses: Sequence[Pose]) -> Way:
    if not len(poses):
        return NOTHING
    positions = np.stack([pose.position for pose in poses])
    return Way(times_ns, positions, np.stack([pose.rotation for pose in poses]))


# --- joints at a time ---------------------------------------------------------------------------


def position_at(times_ns: Times, rows: Floats, at_ns: int) -> Floats | None:
    """(J,) on the straight line between two of the rows (N, J); None outside of them.

    Times are taken relative to the first: a float64 does not hold nanoseconds since 1970.
    """
    if not len(times_ns) or not times_ns[0] <= at_ns <= times_ns[-1]:
        return None
    after = max(1, int(np.searchsorted(times_ns, at_ns)))
    if after == len(times_ns):  # one row, and this is its time
        only: Floats = rows[-1]
        return only
    begin_ns, end_ns = int(times_ns[after - 1]), int(times_ns[after])
    share = (at_ns - begin_ns) / (end_ns - begin_ns)
    between: Floats = rows[after - 1] + share * (rows[after] - rows[after - 1])
    return between


def predicted_at(chunk: ActionChunk | None, at_ns: int) -> Floats | None:
    """(J,) of the chunk at that time; None outside of it."""
    if chunk is None:
        return None
    times_ns = chunk.stamp_ns + np.arange(len(chunk.joints), dtype=np.int64) * chunk.step_ns
    return position_at(times_ns, chunk.joints, at_ns)


def commanded_at(played: Sequence[PlayedWindows], at_ns: int) -> Floats | None:
    """(J,) each joint in the newest window that was sent to it and covers that time.

    NaN for a joint without one; None if there is none for any.
    """
    found: Floats | None = None
    for one in reversed(played):
        window = one.window
        if window is None or not one.sent.joints.any():
            continue
        row = position_at(window.stamp_ns + window.times_ns, window.positions, at_ns)
        if row is None:
            continue
        found = np.full(len(row), np.nan) if found is None else found
        found = np.where(np.isnan(found) & one.sent.joints, row, found)
        if np.isfinite(found).all():
            break
    return found


def each_at(times_ns: Times, row_at: Callable[[int], Floats | None]) -> Floats:
    """(J,) each joint as `row_at` has it at the joint's own time (J,); NaN where it has none."""
    found = np.full(len(times_ns), np.nan)
    for at_ns in np.unique(times_ns).tolist():
        row = row_at(at_ns)
        if row is not None:
            found = np.where(times_ns == at_ns, row, found)
    return found


# --- what is drawn ------------------------------------------------------------------------------


def colours(count: int, near: Sequence[float], far: Sequence[float]) -> Floats:
    """(count, 4) red, green, blue and opacity from `near` to `far`, for a path's points."""
    share = np.linspace(0.0, 1.0, count)[:, None] if count > 1 else np.zeros((count, 1))
    mixed: Floats = (1.0 - share) * np.asarray(near) + share * np.asarray(far)
    return mixed


def grips(gripper: Gripper, chunk: ActionChunk) -> list[tuple[int, float]]:
    """Row and fraction of the first row, and of each that crosses the middle of the range."""
    fractions = gripper.fractions(chunk)
    upper = fractions > 0.5
    changes = np.flatnonzero(upper[1:] != upper[:-1]) + 1
    return [(int(row), float(fractions[row])) for row in (0, *changes)]
