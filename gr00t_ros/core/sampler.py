"""What a JointTrajectoryController makes of the trajectories it is sent, at any time.

The simulated robot, the streamer and the motion oracle share this one model. It knows no
message type and no clock: stamps, `now_ns` and sample times must be of one time domain.

Semantics read from ros2_controllers, branch jazzy (`trajectory.cpp`, and
`validate_trajectory_msg` and `update` in `joint_trajectory_controller.cpp`). Left out: partial
goals, tolerances, speed scaling, continuous joints and effort.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.errors import PlanError

Floats = NDArray[np.float64]
Motion = tuple[Floats, Floats, Floats]

# The controller's own bound on the last point's velocity, rad/s: FLT_EPSILON.
REST_VELOCITY = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """One trajectory as it is sent to the controller.

    stamp_ns: int, 0 = start at the next sample. times_ns: (N,) int64 since the stamp.
    positions: (N, J) float64, rad. velocities, accelerations: (N, J) float64, rad/s and
    rad/s^2, or None where the field is empty; what is present decides the interpolation.
    """

    stamp_ns: int
    times_ns: NDArray[np.int64]
    positions: Floats
    velocities: Floats | None = None
    accelerations: Floats | None = None

    @property
    def end_ns(self) -> int:
        """Time of the last point, in the stamp's time domain."""
        return self.stamp_ns + int(self.times_ns[-1])


class JtcSampler:
    """The controller's state between messages: the last trajectory replaces all before it."""

    def __init__(
        self,
        joint_count: int,
        interpolate_from_desired_state: bool = False,
        allow_nonzero_velocity_at_trajectory_end: bool = False,
        period_ns: int = 0,
    ) -> None:
        """period_ns: the command of a cycle is the trajectory one period ahead (0 = not ahead).

        With a period and a desired-state start, the controller's known off-by-one appears: the
        first cycle after a replacement moves twice as far (control.md 1).
        """
        self._joint_count = joint_count
        self._from_desired = interpolate_from_desired_state
        self._allow_nonzero_velocity = allow_nonzero_velocity_at_trajectory_end
        self._period_ns = period_ns
        self._commanded: Motion | None = None
        self._commanded_ns = 0
        self._segments: _Segments | None = None
        self._pending: tuple[Trajectory, Motion] | None = None

    def hold(self, position: Floats) -> None:
        """Hold `position` (J,) at once, as the controller does when it is activated."""
        at_rest = Trajectory(0, np.zeros(1, np.int64), np.array([position], dtype=np.float64))
        self._pending = (at_rest, _motion(position, None))
        self._segments = None

    def accept(
        self,
        trajectory: Trajectory,
        now_ns: int,
        measured: Floats,
        measured_velocity: Floats | None = None,
    ) -> str | None:
        """Replace the trajectory, or return the reason for which the controller rejects it.

        measured, measured_velocity: (J,) the joint state at the next sample. NaN and limits
        are not checked, as in the controller.
        """
        reason = self._rejection(trajectory, now_ns)
        if reason is None:
            self._pending = (trajectory, _motion(measured, measured_velocity))
        return reason

    def sample(self, now_ns: int) -> Motion:
        """Position, velocity and acceleration commanded at now_ns, each (J,) float64.

        Raises PlanError before the first `hold` or `accept`.
        """
        if self._pending is not None:
            self._start(*self._pending, now_ns)
            self._pending = None
        if self._segments is None:
            raise PlanError("sampler: got a sample request, expected hold() or accept() before it")
        at_ns = now_ns + self._period_ns
        if self._commanded is None or at_ns >= self._segments.before_ns:
            self._commanded, self._commanded_ns = self._segments.sample(at_ns), now_ns
        return self._commanded

    def shift(self, by_ns: int) -> None:
        """Play what is held `by_ns` later (earlier, if negative); no part of the controller."""
        self._commanded_ns += by_ns
        if self._segments is not None:
            self._segments = self._segments.shifted(by_ns)
        if self._pending is not None:
            trajectory, measured = self._pending
            stamp_ns = trajectory.stamp_ns and trajectory.stamp_ns + by_ns
            self._pending = replace(trajectory, stamp_ns=stamp_ns), measured

    def _start(self, trajectory: Trajectory, measured: Motion, now_ns: int) -> None:
        start, before_ns = measured, now_ns
        if self._from_desired and self._commanded is not None:
            start, before_ns = self._commanded, self._commanded_ns
        stamp_ns = trajectory.stamp_ns or now_ns
        self._segments = _Segments(trajectory, stamp_ns, start, before_ns)

    def _rejection(self, trajectory: Trajectory, now_ns: int) -> str | None:
        """The controller's checks in the controller's order."""
        positions, times_ns = trajectory.positions, trajectory.times_ns
        if positions.ndim != 2 or positions.shape[1] != self._joint_count:
            return f"joint count: got {positions.shape}, expected (N, {self._joint_count})"
        if len(positions) == 0:
            return "points: got none, expected at least one"
        last = trajectory.velocities[-1:] if trajectory.velocities is not None else None
        if last is not None and not self._allow_nonzero_velocity:
            for joint in np.flatnonzero(np.abs(last) > REST_VELOCITY)[:1]:
                return f"final velocity of joint {joint}: got {last.flat[joint]:.9g}, expected 0"
        if trajectory.stamp_ns != 0 and trajectory.end_ns < now_ns:
            late_ns = now_ns - trajectory.end_ns
            return f"end: got {late_ns} ns in the past, expected the present or the future"
        return _field_mismatch(trajectory, len(times_ns))


def _field_mismatch(trajectory: Trajectory, count: int) -> str | None:
    for index in np.flatnonzero(np.diff(trajectory.times_ns) <= 0)[:1]:
        return f"times: point {index + 1} is not after point {index}, expected strictly increasing"
    expected = (count, trajectory.positions.shape[1])
    for name in ("positions", "velocities", "accelerations"):
        field = getattr(trajectory, name)
        if field is not None and field.shape != expected:
            return f"{name}: got shape {field.shape}, expected {expected}"
    return None


def _motion(position: Floats, velocity: Floats | None) -> Motion:
    at = np.array(position, dtype=np.float64)
    moving = np.zeros_like(at) if velocity is None else np.array(velocity, dtype=np.float64)
    return at, moving, np.zeros_like(at)


class _Segments:
    """One trajectory from its start state to its last point, as one polynomial a segment."""

    def __init__(
        self, trajectory: Trajectory, stamp_ns: int, start: Motion, before_ns: int
    ) -> None:
        self.before_ns = before_ns
        times_ns = [before_ns, *(stamp_ns + trajectory.times_ns).tolist()]
        if times_ns[1] <= before_ns:
            # The state before the message plays no part once the first point is past.
            times_ns[0] = times_ns[1] - 1_000_000_000
        self._times_ns = np.array(times_ns, dtype=np.int64)
        fields = (trajectory.positions, trajectory.velocities, trajectory.accelerations)
        self._last = tuple(
            np.zeros_like(start[0]) if field is None else field[-1].copy() for field in fields
        )
        self._coefficients = _coefficients(self._times_ns, fields, start)

    def shifted(self, by_ns: int) -> "_Segments":
        other = copy.copy(self)
        other.before_ns = self.before_ns + by_ns
        other._times_ns = self._times_ns + by_ns
        return other

    def sample(self, at_ns: int) -> Motion:
        index = int(np.searchsorted(self._times_ns, at_ns, side="right")) - 1
        if index >= len(self._times_ns) - 1:
            position, velocity, acceleration = self._last
            return position, velocity, acceleration
        c = self._coefficients[max(index, 0)]
        t = (at_ns - int(self._times_ns[max(index, 0)])) * 1e-9
        return (
            ((((c[5] * t + c[4]) * t + c[3]) * t + c[2]) * t + c[1]) * t + c[0],
            (((5 * c[5] * t + 4 * c[4]) * t + 3 * c[3]) * t + 2 * c[2]) * t + c[1],
            ((20 * c[5] * t + 12 * c[4]) * t + 6 * c[3]) * t + 2 * c[2],
        )


def _coefficients(
    times_ns: NDArray[np.int64],
    fields: tuple[Floats, Floats | None, Floats | None],
    start: Motion,
) -> Floats:
    """(N, 6, J) polynomial coefficients, lowest power first, of the N segments.

    Positions alone are joined linearly, with velocities by cubics, with accelerations too by
    quintics; accelerations without velocities leave zeros, which is the controller's own bug.
    """
    length = (np.diff(times_ns) * 1e-9)[:, None]
    p = np.vstack([start[0], fields[0]])
    result = np.zeros((len(length), 6, p.shape[1]))
    if fields[1] is None:
        if fields[2] is None:
            result[:, 0], result[:, 1] = p[:-1], np.diff(p, axis=0) / length
        return result
    v = np.vstack([start[1], fields[1]])
    result[:, 0], result[:, 1] = p[:-1], v[:-1]
    # What the start state's motion leaves to be covered, and the missing end velocity.
    way = np.diff(p, axis=0) - v[:-1] * length
    gain = np.diff(v, axis=0)
    if fields[2] is None:
        result[:, 2] = (3 * way - gain * length) / length**2
        result[:, 3] = (gain * length - 2 * way) / length**3
        return result
    a = np.vstack([start[2], fields[2]])
    way = way - 0.5 * a[:-1] * length**2
    gain = gain - a[:-1] * length
    push = np.diff(a, axis=0)
    result[:, 2] = 0.5 * a[:-1]
    result[:, 3] = (20 * way - 8 * gain * length + push * length**2) / (2 * length**3)
    result[:, 4] = (-30 * way + 14 * gain * length - 2 * push * length**2) / (2 * length**4)
    result[:, 5] = (12 * way - 6 * gain * length + push * length**2) / (2 * length**5)
    return result
