"""What a JointTrajectoryController commands for the trajectories that it receives, at any time.

The simulated robot, the streamer and the motion oracle share this one model. Stamps, `now_ns` and
sample times must be of one time domain.

The semantics are read from ros2_controllers 4.42.1 (`trajectory.cpp`, and `validate_trajectory_msg`
and `update` in `joint_trajectory_controller.cpp`) and tested against recordings of that controller
(test/jtc). Left out: partial goals, tolerances, speed scaling, continuous joints and effort.
"""

import copy
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import PlanError

Floats = NDArray[np.float64]
JointMotion = tuple[Floats, Floats, Floats]

# The controller's own limit for the velocity of the last point, rad/s: FLT_EPSILON.
REST_VELOCITY = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """One trajectory as it is sent to the controller.

    stamp_ns: int, 0 = start at the next sample. times_ns: (N,) int64 since the stamp.
    positions: (N, J) float64, rad. velocities, accelerations: (N, J) float64, rad/s and
    rad/s^2, or None if the field is empty; the fields present decide the interpolation. A row of
    only NaN is a point without the field while others have it.
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
    """The controller's state between messages: the last trajectory replaces all earlier ones."""

    def __init__(
        self,
        joint_count: int,
        interpolate_from_desired_state: bool = False,
        allow_nonzero_velocity_at_trajectory_end: bool = False,
        period_ns: int = 0,
        interpolate: bool = True,
    ) -> None:
        """period_ns: a cycle commands the trajectory one period ahead (0 = not ahead).

        interpolate: False is `interpolation_method: none`, which commands each point a whole
        segment early.

        With a period and `interpolate_from_desired_state`, the model shows the controller's known
        off-by-one error: the first cycle after a replacement moves twice as far (control.md 1).
        """
        self._joint_count = joint_count
        self._from_desired = interpolate_from_desired_state
        self.allow_nonzero_velocity_at_trajectory_end = allow_nonzero_velocity_at_trajectory_end
        self._period_ns = period_ns
        self._interpolate = interpolate
        self._commanded: JointMotion | None = None
        self._commanded_ns = 0
        self._segments: _Segments | None = None
        self._pending: tuple[Trajectory, JointMotion] | None = None

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
        """Replace the trajectory, or return the reason why the controller rejects it.

        measured, measured_velocity: (J,) joint state at the next sample. As in the controller, NaN
        and limits are not checked.
        """
        reason = self._rejection(trajectory, now_ns)
        if reason is None:
            self._pending = (trajectory, _motion(measured, measured_velocity))
        return reason

    def sample(self, now_ns: int) -> JointMotion:
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
        """Play the present trajectory `by_ns` later (earlier if negative).

        The real controller has no such function.
        """
        self._commanded_ns += by_ns
        if self._segments is not None:
            self._segments = self._segments.shifted(by_ns)
        if self._pending is not None:
            trajectory, measured = self._pending
            stamp_ns = trajectory.stamp_ns and trajectory.stamp_ns + by_ns
            self._pending = replace(trajectory, stamp_ns=stamp_ns), measured

    def _start(self, trajectory: Trajectory, measured: JointMotion, now_ns: int) -> None:
        start, before_ns = measured, now_ns
        if self._from_desired and self._commanded is not None:
            start, before_ns = self._commanded, self._commanded_ns
        stamp_ns = trajectory.stamp_ns or now_ns
        self._segments = _Segments(trajectory, stamp_ns, start, before_ns, self._interpolate)

    def _rejection(self, trajectory: Trajectory, now_ns: int) -> str | None:
        """The controller's checks, in its order."""
        positions, times_ns = trajectory.positions, trajectory.times_ns
        if positions.ndim != 2 or positions.shape[1] != self._joint_count:
            return f"joint count: got {positions.shape}, expected (N, {self._joint_count})"
        if len(positions) == 0:
            return "points: got none, expected at least one"
        last = trajectory.velocities[-1:] if trajectory.velocities is not None else None
        if last is not None and not self.allow_nonzero_velocity_at_trajectory_end:
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


def _motion(position: Floats, velocity: Floats | None) -> JointMotion:
    at = np.array(position, dtype=np.float64)
    moving = np.zeros_like(at) if velocity is None else np.array(velocity, dtype=np.float64)
    return at, moving, np.zeros_like(at)


class _Field(NamedTuple):
    """Velocities or accelerations at the start state and at all points; 0 where not `given`."""

    rows: Floats
    given: NDArray[np.bool_]

    @staticmethod
    def of(start: Floats, rows: Floats | None, count: int) -> "_Field":
        """Return rows (count, J) and given (count,); the start state always has the field."""
        if rows is None:
            padded = np.zeros((count, len(start)))
            padded[0] = start
            return _Field(padded, np.arange(count) == 0)
        padded = np.vstack([start, rows])
        given = np.array([True, *np.logical_not(np.isnan(padded[1:]).all(axis=1))])
        return _Field(np.where(given[:, None], padded, 0.0), given)


class _Segments:
    """One trajectory from its start state to its last point, one polynomial per segment."""

    def __init__(
        self,
        trajectory: Trajectory,
        stamp_ns: int,
        start: JointMotion,
        before_ns: int,
        interpolate: bool,
    ) -> None:
        self.before_ns = before_ns
        times_ns = [before_ns, *(stamp_ns + trajectory.times_ns).tolist()]
        if times_ns[1] <= before_ns:
            # The state before the message has no effect once the first point is past.
            times_ns[0] = times_ns[1] - 1_000_000_000
        self._times_ns = times_ns
        positions = np.vstack([start[0], trajectory.positions])
        velocities = _Field.of(start[1], trajectory.velocities, len(times_ns))
        accelerations = _Field.of(start[2], trajectory.accelerations, len(times_ns))
        self._points = positions, velocities.rows, accelerations.rows
        self._coefficients: Floats | None = None
        if interpolate:
            times = np.array(times_ns, dtype=np.int64)
            self._coefficients = _coefficients(times, positions, velocities, accelerations)

    def shifted(self, by_ns: int) -> "_Segments":
        other = copy.copy(self)
        other.before_ns = self.before_ns + by_ns
        other._times_ns = [time_ns + by_ns for time_ns in self._times_ns]
        return other

    def sample(self, at_ns: int) -> JointMotion:
        index = max(bisect_right(self._times_ns, at_ns) - 1, 0)
        if index >= len(self._times_ns) - 1:
            return self._point(-1)
        if self._coefficients is None:
            return self._point(index + 1 if index else 0)
        t = (at_ns - self._times_ns[index]) * 1e-9
        position, velocity, acceleration = _powers(t) @ self._coefficients[index]
        return position, velocity, acceleration

    def _point(self, index: int) -> JointMotion:
        position, velocity, acceleration = (rows[index] for rows in self._points)
        return position, velocity, acceleration


def _powers(t: float) -> Floats:
    """(3, 6): what multiplies the coefficients in position, velocity and acceleration at `t` s."""
    t2, t3, t4 = t * t, t * t * t, t * t * t * t
    rows = (
        *(1.0, t, t2, t3, t4, t4 * t),
        *(0.0, 1.0, 2 * t, 3 * t2, 4 * t3, 5 * t4),
        *(0.0, 0.0, 2.0, 6 * t, 12 * t2, 20 * t3),
    )
    return np.array(rows).reshape(3, 6)


def _coefficients(
    times_ns: NDArray[np.int64], p: Floats, velocities: _Field, accelerations: _Field
) -> Floats:
    """(N, 6, J) polynomial coefficients, lowest power first, of the N segments of N + 1 points.

    Positions alone give linear segments, with velocities cubics, with velocities and accelerations
    quintics. Accelerations without velocities give zeros, which is a bug of the controller. A
    segment has a field if both its ends have it.
    """
    length = (np.diff(times_ns) * 1e-9)[:, None]
    kinds = (velocities.given[:-1] & velocities.given[1:]).astype(int)
    kinds += 2 * (accelerations.given[:-1] & accelerations.given[1:])
    result = np.zeros((len(length), 6, p.shape[1]))
    for kind, fill in enumerate((_linear, _cubic, None, _quintic)):
        at = kinds == kind
        if fill is not None and at.any():
            ends = tuple(
                (rows[:-1][at], rows[1:][at]) for rows in (p, velocities.rows, accelerations.rows)
            )
            fill(result, at, length[at], *ends)
    return result


Ends = tuple[Floats, Floats]


def _linear(result: Floats, at: NDArray[np.bool_], length: Floats, p: Ends, *_: Ends) -> None:
    result[at, 0], result[at, 1] = p[0], (p[1] - p[0]) / length


def _cubic(
    result: Floats, at: NDArray[np.bool_], length: Floats, p: Ends, v: Ends, *_: Ends
) -> None:
    way = p[1] - p[0] - v[0] * length
    gain = v[1] - v[0]
    result[at, 0], result[at, 1] = p[0], v[0]
    result[at, 2] = (3 * way - gain * length) / length**2
    result[at, 3] = (gain * length - 2 * way) / length**3


def _quintic(
    result: Floats, at: NDArray[np.bool_], length: Floats, p: Ends, v: Ends, a: Ends
) -> None:
    """way, gain, push: position, velocity and acceleration to add to the initial motion."""
    way = p[1] - p[0] - v[0] * length - 0.5 * a[0] * length**2
    gain = v[1] - v[0] - a[0] * length
    push = a[1] - a[0]
    result[at, 0], result[at, 1], result[at, 2] = p[0], v[0], 0.5 * a[0]
    result[at, 3] = (20 * way - 8 * gain * length + push * length**2) / (2 * length**3)
    result[at, 4] = (-30 * way + 14 * gain * length - 2 * push * length**2) / (2 * length**4)
    result[at, 5] = (12 * way - 6 * gain * length + push * length**2) / (2 * length**5)
