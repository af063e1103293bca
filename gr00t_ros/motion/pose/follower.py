"""An end effector that follows a moving pose, inside its limits in every step of a fixed grid.

It moves straight to the target with the largest speed from which it can still come to rest there,
in position and rotation alike (the rotation the shorter way round). It brakes before the walls of
the box and never leaves it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import PlanError
from gr00t_ros.robot.limits import PoseLimits
from gr00t_ros.robot.rotation import Pose, matrix_of_vector, vector_length, vector_of_matrix

Floats = NDArray[np.float64]

# A start position this far outside the box is rounding, m.
_ROUNDING_M = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class PoseMotion:
    """A pose with its velocity (3,) m/s and angular velocity (3,) rad/s in the same frame."""

    pose: Pose
    velocity: Floats
    angular_velocity: Floats

    @property
    def at_rest(self) -> bool:
        """Whether it neither moves nor turns."""
        return not (self.velocity.any() or self.angular_velocity.any())

    def slower_than(self, speed: float) -> bool:
        """Whether it moves by less than `speed` m/s and turns by less than `speed` rad/s."""
        return vector_length(self.velocity) < speed and vector_length(self.angular_velocity) < speed


class PoseFollower:
    """Makes steps of equal length; each changes the velocities within the acceleration limits."""

    def __init__(self, limits: PoseLimits, step_ns: int) -> None:
        """step_ns: the step of the grid; all positions are at its knots."""
        self._limits, self._step_s = limits, step_ns * 1e-9

    def standing(self, pose: Pose) -> PoseMotion:
        """Rest at `pose`; raises PlanError if it is not finite or outside the box."""
        if not (np.isfinite(pose.position).all() and np.isfinite(pose.rotation).all()):
            raise PlanError(f"pose: got {pose.position}, {pose.rotation}, expected finite numbers")
        lower, upper = self._limits.lower, self._limits.upper
        outside = (pose.position < lower - _ROUNDING_M) | (pose.position > upper + _ROUNDING_M)
        if outside.any():
            raise PlanError(f"pose: got {pose.position} m, expected it in the box {lower}, {upper}")
        return PoseMotion(pose, np.zeros(3), np.zeros(3))

    def towards(self, motion: PoseMotion, target: Pose, share: float = 1.0) -> PoseMotion:
        """The motion one step later, on the way to rest at `target`.

        share: of the limits of speed that it moves and turns with at most.
        """
        limits, pose = self._limits, motion.pose
        aim = np.clip(target.position, limits.lower, limits.upper)
        wanted = self._speed(
            aim - pose.position, share * limits.speed_m_s, limits.acceleration_m_s2
        )
        turn = vector_of_matrix(target.rotation @ pose.rotation.T)
        wanted_turn = self._speed(
            turn, share * limits.turn_speed_rad_s, limits.turn_acceleration_rad_s2
        )
        return self._moved(motion, wanted, wanted_turn)

    def braking(self, motion: PoseMotion) -> PoseMotion:
        """The motion one step later, braking to rest."""
        return self._moved(motion, np.zeros(3), np.zeros(3))

    def _moved(self, motion: PoseMotion, wanted: Floats, wanted_turn: Floats) -> PoseMotion:
        limits, step_s, pose = self._limits, self._step_s, motion.pose
        velocity = self._inside(pose.position, motion.velocity, wanted)
        most = limits.turn_acceleration_rad_s2 * step_s
        turning = motion.angular_velocity + _short(wanted_turn - motion.angular_velocity, most)
        # The clip only removes rounding: `_inside` stops at the wall up to the last bits.
        position = np.clip(pose.position + velocity * step_s, limits.lower, limits.upper)
        rotation = matrix_of_vector(turning * step_s) @ pose.rotation
        return PoseMotion(Pose(position, rotation), velocity, turning)

    def _speed(self, way: Floats, most: float, acceleration: float) -> Floats:
        """The largest velocity along `way` from which it can come to rest at its end."""
        length = vector_length(way)
        if length == 0.0:
            return np.zeros(3)
        speed = min(most, braking_speed(length, acceleration, self._step_s))
        return way * (speed / length)

    def _inside(self, position: Floats, velocity: Floats, wanted: Floats) -> Floats:
        """The next velocity: as near to `wanted` as acceleration and the walls allow.

        Each axis keeps a speed from which it can brake before its wall with 1 / sqrt(3) of the
        acceleration, so that all three axes can brake at once. The change of velocity that this
        requires is `must`; from there it continues towards `wanted` within the acceleration.
        """
        limits, step_s = self._limits, self._step_s
        most = limits.acceleration_m_s2 * step_s
        braking = limits.acceleration_m_s2 / math.sqrt(3.0)
        low = -self._wall_speeds(position - limits.lower, braking)
        high = self._wall_speeds(limits.upper - position, braking)
        must = np.clip(velocity, low, high) - velocity
        change = np.clip(wanted, low, high) - velocity
        return velocity + _farthest(must, change, most)

    def _wall_speeds(self, distances: Floats, braking: float) -> Floats:
        return np.array([braking_speed(d, braking, self._step_s) for d in distances.tolist()])


def braking_speed(distance: float, acceleration: float, step_s: float) -> float:
    """The largest speed from which steps that each brake with `acceleration` fit in `distance`.

    With a speed of v = s * a * dt and n - 1 < s <= n, they cover (n s - n (n - 1) / 2) a dt^2.
    """
    unit = acceleration * step_s * step_s
    steps = max(distance, 0.0) / unit
    n = max(1, math.ceil((math.sqrt(1.0 + 8.0 * steps) - 1.0) / 2.0))
    return (steps / n + (n - 1) / 2.0) * acceleration * step_s


def _farthest(start: Floats, end: Floats, most: float) -> Floats:
    """The point nearest to `end` on the way from `start` whose length is at most `most`.

    Returns `start` if that is already longer, which only rounding can cause.
    """
    if vector_length(end) <= most:
        return end
    way = end - start
    a, b, c = float(way @ way), float(start @ way), float(start @ start) - most * most
    if c >= 0.0 or a == 0.0:
        return start
    part = (-b + math.sqrt(b * b - a * c)) / a
    point: Floats = start + min(part, 1.0) * way
    return point


def _short(vector: Floats, most: float) -> Floats:
    length = vector_length(vector)
    return vector if length <= most else vector * (most / length)
