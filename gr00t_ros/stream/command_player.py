"""Windows of commands and of poses in, values out: what the command streamer sends at any time.

The players check each window again: they refuse a window that is outside the ranges, not finite,
too fast, or whose velocity is not zero at its end. The previous window then plays to its end,
which is at rest. A window that comes late, or a thread that slept, is no step: what is sent moves
towards the window inside the limits. So it does from the first window of a motion on: what is sent
begins where it ended before, else where the node's plan began. `sample` is called from one thread,
all else from any.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import RotationError
from gr00t_ros.robot.limits import CommandLimits, PoseLimits
from gr00t_ros.robot.outputs import CommandOutput
from gr00t_ros.robot.rotation import (
    Pose,
    matrix_from_quaternion,
    matrix_of_vector,
    quaternion_from_matrix,
    vector_of_matrix,
)
from gr00t_ros.ros.windows import POSE_NAMES, TrajectoryMessage, parse_trajectory

Floats = NDArray[np.float64]

LAST_SENT = 3
"""A streamer that ends sends its last values so many times: a receiver may lose one."""
LEAVE_S = 4.0
"""Longest wait of a streamer that ends until what it plays rests: late ticks shift that to later,
and an end effector may lag behind."""
LATE_NS = 100_000_000
"""After a later tick, command only the motion of this time: catching up at once would be a step."""
# The last row of a window is repeated for this long after its end; then the topic is free for
# other publishers. A window is refused if it begins or has ended more than this from now.
_REPEAT_NS = 500_000_000
# A plan clock without a new time for this long stands still, however slow it was before.
_STANDS_NS = 500_000_000
_LEARNING = 0.5  # weight of the pace between the two newest times of the clock
_ROUNDING = 1e-9
_ROUNDING_M = 1e-6
# Factor on the file's speeds and rates, so that a tick that is early or late by 10 % causes no lag.
_SPARE = 1.1


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """times_ns (N,) of the plan clock with N rows of C values."""

    times_ns: NDArray[np.int64]
    rows: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _PoseWindow:
    """times_ns (N,) of the plan clock with N poses."""

    times_ns: NDArray[np.int64]
    poses: tuple[Pose, ...]


class _PlayTime:
    """Plan time, also between two messages of a simulated clock: it runs on as fast as that ran.

    Once the clock stands still or runs back it follows steady time, so that a window ends all the
    same. A window is never played backwards: where it ran ahead, it waits for the clock.
    """

    def __init__(self) -> None:
        self._plan_ns = self._steady_ns = self._played_ns = 0
        self._pace = 1.0  # plan time in steady time, lately

    def begin(self, now_ns: int, steady_ns: int) -> None:
        """Begin at these times, also earlier ones."""
        self._plan_ns, self._steady_ns, self._played_ns = now_ns, steady_ns, now_ns

    def at(self, now_ns: int, steady_ns: int) -> int:
        """Plan time when the plan clock and the steady clock have these times, ns."""
        if now_ns > self._plan_ns:
            passed_ns = max(steady_ns - self._steady_ns, 1)
            pace = min((now_ns - self._plan_ns) / passed_ns, 1.0)
            self._pace += _LEARNING * (pace - self._pace)
            self._plan_ns, self._steady_ns = now_ns, steady_ns
        silent_ns = steady_ns - self._steady_ns
        slow_ns = min(silent_ns, _STANDS_NS)
        ahead_ns = round(self._pace * slow_ns) + silent_ns - slow_ns
        self._played_ns = max(self._played_ns, self._plan_ns + ahead_ns)
        return self._played_ns


def _untimely(times_ns: NDArray[np.int64], now_ns: int) -> str:
    """Why a window with these times cannot be played now; empty when it can."""
    if times_ns[0] > now_ns + _REPEAT_NS:
        return f"stamp: got {(times_ns[0] - now_ns) / 1e9:.2f} s ahead of this clock"
    if times_ns[-1] < now_ns - _REPEAT_NS:
        return f"stamp: got an end {(now_ns - times_ns[-1]) / 1e9:.2f} s ago, expected one to come"
    if np.any(np.diff(times_ns) <= 0):
        return "time_from_start: got times that do not increase"
    return ""


def _since_ns(before_ns: int, sent_ns: int, at_ns: int, steady_ns: int) -> int:
    """Time since plan time `before_ns` and steady time `sent_ns`, by the slower of the two."""
    return max(0, min(at_ns - before_ns, steady_ns - sent_ns))


class CommandPlayer:
    """Plays one output: returns nothing before the first window and 0.5 s after the last one.

    Levels begin where they were left, else at the first row of the first window.
    """

    def __init__(self, output: CommandOutput, limits: CommandLimits) -> None:
        """`limits` are the embodiment's limits of all its commands."""
        self._names, self._velocities = output.names, output.velocities
        self._limits = limits.only(output.names)
        self._lower, self._upper = self._limits.lower - _ROUNDING, self._limits.upper + _ROUNDING
        self._lock = threading.Lock()
        self._time = _PlayTime()
        self._window: _Window | None = None
        self._commanded: tuple[Floats, int, int] | None = None  # last values, plan and steady time
        self._left: Floats | None = None  # levels that were sent last before the topic was released
        self.accepted = 0

    def accept(
        self, message: TrajectoryMessage, ros_offset_ns: int, now_ns: int, steady_ns: int
    ) -> str | None:
        """Play a window from now on, or return why it is refused; times are plan and steady."""
        parsed = parse_trajectory(message, self._names, ros_offset_ns)
        if isinstance(parsed, str):
            return parsed
        times_ns = parsed.stamp_ns + parsed.times_ns
        reason = self._unfit(parsed.positions) or _untimely(times_ns, now_ns)
        if reason:
            return reason
        with self._lock:
            if self._commanded is None and not self._velocities:
                begin = parsed.positions[0] if self._left is None else self._left
                self._commanded = begin, now_ns, steady_ns
            self._window = _Window(times_ns, parsed.positions)
            self._time.begin(now_ns, steady_ns)
            self.accepted += 1
        return None

    def sample(self, now_ns: int, steady_ns: int) -> Floats | None:
        """(C,) to command now; None: send nothing.

        Call it from one thread: each call moves the commanded values.
        """
        with self._lock:
            window, at_ns = self._window, self._time.at(now_ns, steady_ns)
            if window is None:
                return None
            if at_ns > window.times_ns[-1] + _REPEAT_NS and not self._moving:
                self._left = self._left if self._commanded is None else self._commanded[0]
                self._commanded = self._window = None
                return None
            since = window.times_ns - window.times_ns[0]  # small: interp works in float64
            at = float(at_ns - int(window.times_ns[0]))
            aim = np.array([np.interp(at, since, column) for column in window.rows.T])
            value = self._towards(aim, at_ns, steady_ns, not window.rows.any())
            self._commanded = value, at_ns, steady_ns
        return value

    def _towards(self, aim: Floats, at_ns: int, steady_ns: int, rest: bool) -> Floats:
        """`aim` (C,), or the last values moved towards it as far as the rates allow.

        All zero is a stop of velocities: at once, but for vectors with limits. rest: the window is
        nothing but a stop. Steady time counts then, as the plan clock may stand.
        """
        if self._commanded is None:
            return self._begun(aim)
        before, before_ns, sent_ns = self._commanded
        if self._velocities and rest:
            since_ns, spare = steady_ns - sent_ns, 1.0
        else:
            since_ns, spare = _since_ns(before_ns, sent_ns, at_ns, steady_ns), _SPARE
        since_ns = min(max(since_ns, 1), LATE_NS)  # 1: an infinite rate times it
        value = self._limits.towards(before, aim, since_ns * 1e-9 * spare)
        stops = self._velocities and not aim.any()
        return np.where(self._limits.at_once, 0.0, value) if stops else value

    def _begun(self, aim: Floats) -> Floats:
        """Velocities of the first call: what the robot does is unknown. Vectors begin at rest."""
        begun = self._limits.towards(np.zeros_like(aim), aim, LATE_NS * 1e-9 * _SPARE)
        return np.where(self._limits.at_once, begun, 0.0)

    @property
    def _moving(self) -> bool:
        return self._velocities and self._commanded is not None and bool(self._commanded[0].any())

    def moves(self, now_ns: int, steady_ns: int) -> bool:
        """Whether velocities are left to bring to zero after a stop."""
        return self._moving

    def stop(self, now_ns: int, steady_ns: int) -> None:
        """Bring velocities to zero from now on; all other values stay as they are."""
        value = self.sample(now_ns, steady_ns)
        if value is None:
            return
        rest = np.zeros_like(value) if self._velocities else value
        with self._lock:
            self._window = _Window(np.array([now_ns]), rest[None])
            self._time.begin(now_ns, steady_ns)

    def _unfit(self, values: Floats) -> str:
        """Why these values cannot be commanded; empty when they can."""
        if not np.isfinite(values).all():
            return "positions: got NaN or infinity, expected finite numbers"
        for row, column in np.argwhere((values < self._lower) | (values > self._upper))[:1]:
            return (
                f"{self._names[column]}: got {values[row, column]:.4f} at point {row}, expected "
                f"{self._lower[column]:.4f} to {self._upper[column]:.4f}"
            )
        for vector in self._limits.vectors:
            lengths = np.linalg.norm(values[:, self._limits.columns(vector)], axis=1)
            for row in np.flatnonzero(lengths > vector.speed + _ROUNDING)[:1]:
                return (
                    f"{vector.name}: got {lengths[row]:.4f} at point {row}, "
                    f"expected at most {vector.speed:.4f}"
                )
        if self._velocities and values[-1].any():
            return f"velocities: got {values[-1]} at the end, expected zero"
        return ""


class PosePlayer:
    """Plays one end effector: nothing before the first window and 0.5 s after the last one.

    After the last window it goes on until the end effector is commanded to that window's last pose.
    A motion begins at the pose where the one before ended, unless the node's plan began elsewhere
    since (further than `jump`). Then, and for the first motion, it begins where the plan began, and
    only with a window of the time before the plan moved.
    """

    def __init__(self, limits: PoseLimits) -> None:
        """`limits` are those of the output."""
        self._limits = limits
        self._lock = threading.Lock()
        self._time = _PlayTime()
        self._window: _PoseWindow | None = None
        self._commanded: tuple[Pose, int, int] | None = None  # last pose, plan and steady time
        # the pose that was sent last before the topic was released, and the origin of that motion
        self._left: tuple[Pose, Pose] | None = None
        self._origin: Pose  # of the window
        self.accepted = 0

    def accept(
        self, message: TrajectoryMessage, ros_offset_ns: int, now_ns: int, steady_ns: int
    ) -> str | None:
        """Play a window from now on, or return why it is refused; times are plan and steady."""
        window = _pose_window(message, self._limits, ros_offset_ns, now_ns)
        if isinstance(window, str):
            return window
        origin = _origin(message, self._limits)
        if isinstance(origin, str):
            return origin
        with self._lock:
            if self._commanded is None:
                begin = self._begin(origin, window.poses[0])
                if begin is None:
                    return (
                        "first pose: got a window that begins away from where its plan began, and "
                        "the windows before did not come; expected one from the plan's begin on: "
                        "pause the policy and resume it"
                    )
                self._commanded = begin, now_ns, steady_ns
            self._origin = origin
            self._window = window
            self._time.begin(now_ns, steady_ns)
            self.accepted += 1
        return None

    def _begin(self, origin: Pose, first: Pose) -> Pose | None:
        """Where a motion begins: where the end effector is; None if this process cannot know.

        A plan that has moved since it began, and of which this process played nothing, may have
        been played by the process before it: then the end effector is not at the origin.
        """
        if self._left is not None:
            left, left_origin = self._left
            if self._limits.near(left, origin) or _same(left_origin, origin):
                return left
        return origin if _same(origin, first) else None

    def sample(self, now_ns: int, steady_ns: int) -> Floats | None:
        """(7,) as POSE_NAMES to command now; None: send nothing.

        Call it from one thread: each call moves the commanded pose.
        """
        with self._lock:
            window, at_ns, commanded = (
                self._window,
                self._time.at(now_ns, steady_ns),
                self._commanded,
            )
            if window is None or commanded is None:
                return None
            aim = _at(window, at_ns)
            before, before_ns, sent_ns = commanded
            if at_ns > window.times_ns[-1] + _REPEAT_NS and _arrived(before, aim):
                self._window, self._commanded, self._left = None, None, (before, self._origin)
                return None
            since_ns = min(_since_ns(before_ns, sent_ns, at_ns, steady_ns), LATE_NS)
            pose = self._step(before, aim, since_ns * 1e-9 * _SPARE)
            self._commanded = pose, at_ns, steady_ns
        return np.concatenate([pose.position, quaternion_from_matrix(pose.rotation)])

    def moves(self, now_ns: int, steady_ns: int) -> bool:
        """Whether the last window still plays, or the commanded pose lags behind its end."""
        with self._lock:
            window, at_ns = self._window, self._time.at(now_ns, steady_ns)
            if window is None or self._commanded is None:
                return False
            return at_ns < window.times_ns[-1] or not _arrived(self._commanded[0], window.poses[-1])

    def stop(self, now_ns: int, steady_ns: int) -> None:
        """Do nothing: the current window ends at rest, and a shorter stop would be a step."""

    def _step(self, before: Pose, aim: Pose, seconds: float) -> Pose:
        """`before` moved towards `aim` as far as the speeds allow; `aim` itself once reached."""
        way, turn = (
            aim.position - before.position,
            vector_of_matrix(aim.rotation @ before.rotation.T),
        )
        part = _part(way, self._limits.speed_m_s * seconds)
        turned = _part(turn, self._limits.turn_speed_rad_s * seconds)
        return Pose(
            aim.position if part == 1.0 else before.position + part * way,
            aim.rotation if turned == 1.0 else matrix_of_vector(turned * turn) @ before.rotation,
        )


def pose_of_window(
    message: TrajectoryMessage, limits: PoseLimits, received_ns: int, at_ns: int
) -> Floats | None:
    """(7,) as POSE_NAMES that a window received at `received_ns` commands at `at_ns`, ROS time.

    None for a window that a player refuses.
    """
    window = _pose_window(message, limits, 0, received_ns)
    if isinstance(window, str):
        return None
    pose = _at(window, at_ns)
    return np.concatenate([pose.position, quaternion_from_matrix(pose.rotation)])


def _pose_window(
    message: TrajectoryMessage, limits: PoseLimits, ros_offset_ns: int, now_ns: int
) -> _PoseWindow | str:
    """The window of a message, or why it is refused."""
    parsed = parse_trajectory(message, POSE_NAMES, ros_offset_ns)
    if isinstance(parsed, str):
        return parsed
    try:
        matrices = matrix_from_quaternion(parsed.positions[:, 3:])
    except RotationError as error:
        return f"orientation: {error}"
    times_ns = parsed.stamp_ns + parsed.times_ns
    poses = tuple(Pose(*pair) for pair in zip(parsed.positions[:, :3], matrices, strict=True))
    reason = _untimely(times_ns, now_ns) or _unfit_poses(limits, times_ns, poses)
    return reason or _PoseWindow(times_ns, poses)


def _origin(message: TrajectoryMessage, limits: PoseLimits) -> Pose | str:
    """Where the plan of a window began, or why that is not told."""
    numbers = np.array(message.points[0].velocities, dtype=np.float64)
    if len(numbers) != len(POSE_NAMES) or not np.isfinite(numbers).all():
        return (
            f"velocities: got {numbers.tolist()} in the first point, expected {len(POSE_NAMES)} "
            "numbers, the pose where the plan began"
        )
    try:
        origin = Pose(numbers[:3], matrix_from_quaternion(numbers[None, 3:])[0])
    except RotationError as error:
        return f"velocities: {error}"
    outside = _unfit_poses(limits, np.zeros(1, np.int64), (origin,))
    return f"velocities, where the plan began: {outside}" if outside else origin


def _unfit_poses(limits: PoseLimits, times_ns: NDArray[np.int64], poses: tuple[Pose, ...]) -> str:
    """Why these poses cannot be commanded; empty when they can. The times increase."""
    lower, upper = limits.lower - _ROUNDING_M, limits.upper + _ROUNDING_M
    for k, pose in enumerate(poses):
        if not ((lower <= pose.position) & (pose.position <= upper)).all():
            return f"box: got {pose.position} m at point {k}, expected {lower} to {upper}"
    for k in range(1, len(poses)):
        far, turned = poses[k].away_from(poses[k - 1])
        seconds = (times_ns[k] - times_ns[k - 1]) * 1e-9 * _SPARE
        if far > limits.speed_m_s * seconds + _ROUNDING_M or (
            turned > limits.turn_speed_rad_s * seconds + _ROUNDING_M
        ):
            return f"speed: got {far:.4f} m and {turned:.4f} rad to point {k} in {seconds:.3f} s"
    return ""


def _at(window: _PoseWindow, now_ns: int) -> Pose:
    """The window's pose at that time: its first pose before it begins, its last after its end."""
    times_ns, poses = window.times_ns, window.poses
    index = int(np.searchsorted(times_ns, now_ns, side="right")) - 1
    if index < 0:
        return poses[0]
    if index >= len(poses) - 1:
        return poses[-1]
    part = float(now_ns - times_ns[index]) / float(times_ns[index + 1] - times_ns[index])
    return poses[index].towards(poses[index + 1], part)


def _same(one: Pose, other: Pose) -> bool:
    far, turned = one.away_from(other)
    return far <= _ROUNDING_M and turned <= _ROUNDING_M


def _arrived(pose: Pose, aim: Pose) -> bool:
    return pose.position is aim.position and pose.rotation is aim.rotation


def _part(way: Floats, most: float) -> float:
    """The part of `way`, 0 to 1, that is no longer than `most`."""
    length = float(np.linalg.norm(way))
    return 1.0 if length <= most else most / length
