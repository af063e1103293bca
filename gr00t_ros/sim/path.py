"""A planned motion in time: legs between joint positions, with pauses for a gripper.

Each leg starts and ends at rest. A motion finds the sample where the measured joints are, and gives
the targets from there on. It depends on joints and their limits only, not on a robot, a place or a
picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RATE_HZ = 60.0  # of the samples
# Longer than 8 executed steps and 400 ms of latency: so the policy sees in every case that the
# gripper has closed before the arm lifts.
GATE_S = 1.2
_REACHED_RAD = 0.012
_LOOK_AHEAD_S = 2.0
_OFFSET_FADES_S = 0.8
_CHUNK_SPEED = 0.45  # largest share of the velocity limits in one step
_OFF_MOTION_RAD = 0.2
_STOOD_RAD = 0.005  # between two queries
_FAST_RAD_S = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class JointRanges:
    """Limits of J joints: (J,) rad and rad/s; motions stay `margin_rad` inside the positions."""

    lower_rad: Array
    upper_rad: Array
    velocity_rad_s: Array
    margin_rad: float


@dataclass(frozen=True, slots=True)
class LegSpeeds:
    """Speed of the legs: a share of the velocity limits, and the largest acceleration."""

    speed: float
    acceleration_rad_s2: float


@dataclass(frozen=True, slots=True)
class Gate:
    """A dwell between samples `start` and `end` while the gripper closes or opens."""

    start: int
    end: int
    closing: bool


@dataclass(frozen=True, slots=True)
class Motion:
    """Samples at RATE_HZ: joints (N, J) rad and gripper (N,) 0 open or 1 closed.

    `ends` are the samples at which a leg ends and the arm stands still.
    """

    joints: Array
    gripper: Array
    gates: tuple[Gate, ...]
    ends: tuple[int, ...]

    def next_gate(self, index: int) -> Gate | None:
        """Return the first gate at or after sample `index`."""
        return next((gate for gate in self.gates if gate.start >= index), None)

    def locate(self, joints_rad: Array, index: int) -> tuple[int, float]:
        """Return the sample nearest to `joints_rad` (J,) and its distance, rad (largest joint).

        Looks forward only, from `index` to the next gate. An arm that stands just before the end of
        a leg counts as having reached it.
        """
        gate = self.next_gate(index)
        last = gate.start if gate else len(self.joints) - 1
        last = min(last, index + round(_LOOK_AHEAD_S * RATE_HZ))
        distances = np.abs(self.joints[index : last + 1] - joints_rad).max(axis=1)
        nearest = index + int(distances.argmin())
        end = next((end for end in self.ends if end >= nearest), last)
        if end <= last and distances[end - index] < _REACHED_RAD:
            nearest = end
        return nearest, float(distances[nearest - index])

    def must_begin_anew(self, index: int, joints_rad: Array, last_rad: Array | None) -> bool:
        """Whether the arm was moved off the motion, or was stopped where the motion is fast.

        In the second case the motion must not go on from the middle of a leg: from rest it would be
        a jump that the node refuses. `joints_rad` (J,); `last_rad` (J,): at the query before, None
        for none.
        """
        nearest, distance = self.locate(joints_rad, index)
        if distance > _OFF_MOTION_RAD:
            return True
        stood = last_rad is not None and np.abs(joints_rad - last_rad).max() < _STOOD_RAD
        return bool(stood and self.speed(nearest) > _FAST_RAD_S)

    def speed(self, index: int) -> float:
        """Return the fastest joint's speed at sample `index`, rad/s."""
        after = min(index + 1, len(self.joints) - 1)
        return float(np.abs(self.joints[after] - self.joints[after - 1]).max() * RATE_HZ)

    def targets(
        self, index: int, joints_rad: Array, horizon: int, rate_hz: float, ranges: JointRanges
    ) -> tuple[Array, Array]:
        """Return joint targets (H, J) rad and gripper (H,), from `joints_rad` (J,) at step 0 on.

        The offset between the arm and sample `index` fades out. Steps stay below _CHUNK_SPEED of
        the velocity limits and end inside the position limits.
        """
        time = np.arange(horizon) / rate_hz
        samples = np.rint(index + time * RATE_HZ).astype(np.intp)
        samples = np.minimum(samples, len(self.joints) - 1)
        fade = np.clip(time / _OFFSET_FADES_S, 0.0, 1.0)
        rest = 1.0 - minimum_jerk(fade)
        offset = joints_rad - self.joints[index]
        targets = self.joints[samples] + rest[:, None] * offset
        fastest = _CHUNK_SPEED * ranges.velocity_rad_s / rate_hz
        steps = np.clip(np.diff(targets, axis=0), -fastest, fastest)
        start = np.zeros((1, len(joints_rad)))
        targets = joints_rad + np.concatenate([start, np.cumsum(steps, axis=0)])
        # If the start is inside the margin, the motion leads out of it without a step.
        lower = np.minimum(ranges.lower_rad + ranges.margin_rad, joints_rad)
        upper = np.maximum(ranges.upper_rad - ranges.margin_rad, joints_rad)
        return np.clip(targets, lower, upper), self.gripper[samples]


class MotionBuilder:
    """Builds a motion leg by leg; each leg begins where the last one ended."""

    def __init__(
        self, start_rad: Array, ranges: JointRanges, pace: LegSpeeds, closed: bool = False
    ) -> None:
        """Start at `start_rad` (J,), at rest, with the gripper open or `closed`."""
        self._joints: list[Array] = [start_rad[None]]
        self._gripper: list[Array] = [np.full(1, float(closed))]
        self._gates: list[Gate] = []
        self._ends: list[int] = []
        self._velocity, self._pace = ranges.velocity_rad_s, pace
        self._closed = closed

    @property
    def end_rad(self) -> Array:
        """The present end of the motion, (J,)."""
        return np.asarray(self._joints[-1][-1])

    def leg(self, knots_rad: Array) -> None:
        """Add a leg through `knots_rad` (K, J), spaced evenly: a polynomial, minimum jerk in time.

        Peaks of the minimum-jerk profile (Flash and Hogan 1985): speed 1.875 D/T, acceleration
        5.774 D/T^2.
        """
        even = np.linspace(0.0, 1.0, len(knots_rad))
        coefficients = np.linalg.solve(np.vander(even, increasing=True), knots_rad)
        fine = np.vander(np.linspace(0.0, 1.0, 21), len(knots_rad), increasing=True) @ coefficients
        slope = np.abs(np.diff(fine, axis=0)).max(axis=0) * 20.0
        by_speed = (1.875 * slope / (self._pace.speed * self._velocity)).max()
        by_acceleration = np.sqrt(5.774 * slope.max() / self._pace.acceleration_rad_s2)
        count = max(2, int(np.ceil(max(by_speed, by_acceleration) * RATE_HZ)))
        along = minimum_jerk(np.arange(1, count + 1) / count)
        self._add(np.vander(along, len(knots_rad), increasing=True) @ coefficients)

    def gate(self, closing: bool) -> None:
        """Dwell while the gripper closes or opens."""
        self._closed = closing
        start = sum(map(len, self._joints)) - 1
        count = round(GATE_S * RATE_HZ)
        self._add(np.repeat(self.end_rad[None], count, axis=0))
        self._gates.append(Gate(start, start + count, closing))

    def _add(self, joints: Array) -> None:
        self._joints.append(joints)
        self._gripper.append(np.full(len(joints), float(self._closed)))
        self._ends.append(sum(map(len, self._joints)) - 1)

    def motion(self) -> Motion:
        """Return the motion that was built."""
        return Motion(
            np.concatenate(self._joints),
            np.concatenate(self._gripper),
            tuple(self._gates),
            tuple(self._ends),
        )


def minimum_jerk(time: Array) -> Array:
    """Return the (N,) shares of the way at (N,) shares 0..1 of the time (Flash and Hogan 1985)."""
    return np.asarray(time**3 * (10.0 - 15.0 * time + 6.0 * time**2))


class OutOfReachError(Exception):
    """No joint angles within the limits reach a waypoint."""


class StayError(Exception):
    """The reason why the robot stays where it is; the text goes into the reply's info."""
