"""Makes a motion inside velocity, acceleration and jerk limits from a reference; the exact stop.

Jerk is constant between knots and the filter's step is the knot step, so that a controller's cubic
or quintic reproduces the motion exactly. The filter keeps position limits by braking in time, not
by clipping. The exact stop brings any velocity and acceleration to rest on the knot grid.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.robot.limits import JointLimits

Floats = NDArray[np.float64]

# Offsets to the least n3 that are tried as well: a longer last phase may allow a shorter first one.
# The last one stands for the largest n3.
_AROUND = np.array([-1.0, 0.0, 1.0, 2.0, np.inf])[None, :, None]


class Rows(NamedTuple):
    """Motion at consecutive knots: three (N, J) float64 arrays in rad, rad/s and rad/s^2."""

    position: Floats
    velocity: Floats
    acceleration: Floats


class State(NamedTuple):
    """Motion at one instant: three (J,) float64 arrays in rad, rad/s and rad/s^2."""

    position: Floats
    velocity: Floats
    acceleration: Floats


def stop(state: State, acceleration: Floats, jerk: Floats, knot_s: float) -> Rows:
    """The shortest three-phase stop of each joint, as the rows after `state`.

    Phases of n1, n2 and n3 knots: jerk to a1, hold it, jerk to zero (control.md 1, item 5):
    a1 = -(v0 + a0*T1/2) / (T1/2 + T2 + T3/2), j1 = (a1 - a0)/T1, j3 = -a1/T3.
    acceleration, jerk: (J,) limits. All joints get as many rows as the slowest joint needs; the
    last row has velocity and acceleration exactly 0.
    """
    phases, peak = _phases(state, acceleration, jerk, knot_s)
    ends = np.cumsum(phases, axis=0)
    knot = np.arange(1, int(ends[-1].max()) + 1)[:, None]
    ramp_in = np.minimum(knot / phases[0], 1.0)
    ramp_out = np.minimum(np.maximum((ends[-1] - knot) / phases[2], 0.0), 1.0)
    before = state.acceleration
    rows = np.where(knot <= ends[0], before + (peak - before) * ramp_in, peak * ramp_out)
    rows = np.where(knot >= ends[-1], 0.0, rows)
    result = integrate(state, rows, knot_s)
    result.velocity[knot >= ends[-1]] = 0.0
    return result


def integrate(state: State, acceleration: Floats, knot_s: float) -> Rows:
    """Motion with accelerations (N, J) at the knots after `state`, linear between knots."""
    before = np.concatenate([state.acceleration[None], acceleration[:-1]])
    velocity = state.velocity + np.cumsum((before + acceleration) * (knot_s / 2), axis=0)
    slower = np.concatenate([state.velocity[None], velocity[:-1]])
    way = slower * knot_s + (2 * before + acceleration) * (knot_s**2 / 6)
    return Rows(state.position + np.cumsum(way, axis=0), velocity, acceleration)


def _phases(
    state: State, acceleration: Floats, jerk: Floats, knot_s: float
) -> tuple[NDArray[np.int64], Floats]:
    """(3, J) knots of each phase, and (J,) a1, of the shortest stop inside the limits.

    For each n1 a few n3 are tried, each with the shortest n2 that keeps |a1| inside its limit. The
    n3 tried are the largest one and those around the least n3 that ends a1 inside the jerk limit.
    That least n3 follows from the acceleration limit or, without a middle phase (n2 = 0), from the
    root of n3 * (n1 + n3) = 2*|v1| / (j*T^2), where v1 = v0 + a0*T1/2. With the largest n1 and n3
    even a change from a0 to the opposite acceleration limit keeps the jerk limit, so that at least
    one combination always fits.
    """
    push = jerk * knot_s
    swing = acceleration + np.maximum(acceleration, np.abs(state.acceleration))
    n1 = np.arange(1, np.ceil((swing / push).max()) + 1)[:, None, None]
    largest = np.ceil(acceleration / push)
    gained = state.velocity + state.acceleration * n1 * (knot_s / 2)
    root = (np.sqrt(n1**2 + 8 * np.abs(gained) / (push * knot_s)) - n1) / 2
    least = np.minimum(np.ceil(root), largest)
    n3 = np.minimum(np.maximum(least + _AROUND, 1), largest)
    ramps = (n1 + n3) / 2
    n2 = np.maximum(np.ceil(np.abs(gained) / (acceleration * knot_s) - ramps - 1e-9), 0.0)
    a1 = -gained / ((ramps + n2) * knot_s)
    bound = push * (1 + 1e-9)
    fits = (np.abs(a1 - state.acceleration) <= bound * n1) & (np.abs(a1) <= bound * n3)
    total = np.where(fits, n1 + n2 + n3, np.inf).reshape(-1, len(swing))
    row, column = np.divmod(np.argmin(total, axis=0), n3.shape[1])
    best = row, column, np.arange(len(swing))
    phases = np.array([n1[row, 0, 0], n2[best], n3[best]], dtype=np.int64)
    return phases, a1[best]


# Bandwidth of the tracking filter (control.md 1: about 12 rad/s).
OMEGA_RAD_S = 12.0
# Share of the acceleration limit that the filter uses to brake before a position limit; the rest
# covers the filter's own lag.
BRAKING_SHARE = 0.5
# Slope of the last, linear piece of the approach to a position limit, 1/s.
APPROACH_PER_S = 8.0
# Share of a position-dependent velocity limit that the filter uses, so that it never reaches it.
ENVELOPE_SHARE = 0.9
# Preview of the filter, in time constants 1/omega; beyond it the gains are below 2 %.
PREVIEW_CONSTANTS = 8.0

_SIDES = np.array([1.0, -1.0])[:, None]


def both_sides(position: Floats) -> Floats:
    """(..., 2, J) positions (..., J) as measured towards the upper and the lower limit."""
    sides: Floats = position[..., None, :] * _SIDES
    return sides


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Limits of a motion: JointLimits with the margin and the velocity scale applied.

    sides: (2, J) rad, upper and negated lower position limit, each less its margin. velocity:
    (J,) rad/s, scaled. acceleration, jerk: (J,). envelope: (2, 3, J) offset, slope and position
    of each side's velocity limit v <= -offset + sqrt(slope * (position - q)).
    """

    sides: Floats
    velocity: Floats
    acceleration: Floats
    jerk: Floats
    envelope: Floats

    def speed(self, position: Floats) -> Floats:
        """Largest velocity up and largest down, (..., 2, J) rad/s, at positions (..., 2, J).

        Positions of the second side are negated. The formula is that of FR3: libfranka
        rate_limiting.h, computeUpperLimitsJointVelocity.
        """
        offset, slope, end = self.envelope.transpose(1, 0, 2)
        root = np.sqrt(np.maximum(slope * (end - position), 0.0))
        at_most: Floats = np.minimum(self.velocity, np.maximum(root - offset, 0.0))
        return at_most


def bounds(limits: JointLimits, velocity_scale: float) -> Bounds:
    """The bounds of all joints at velocity_scale (0, 1] of their velocity limits."""
    none = np.isnan(limits.envelope[:, :1])
    offset, slope, upper, lower = np.where(none, [0.0, 1.0, 1e12, -1e12], limits.envelope).T
    return Bounds(
        sides=np.stack([limits.upper - limits.margin, -limits.lower - limits.margin]),
        velocity=limits.velocity * velocity_scale,
        acceleration=limits.acceleration,
        jerk=limits.jerk,
        envelope=np.array([[offset, slope, upper], [offset, slope, -lower]]),
    )


class Shaper:
    """A third-order tracking filter with preview, its acceleration and jerk saturated."""

    def __init__(
        self, within: Bounds, knot_s: float, foreseen: NDArray[np.bool_] | None = None
    ) -> None:
        """foreseen: (J,) joints that may move before their reference does; all if None.

        A gripper's step command is not foreseen: the gripper must not close before the command.
        """
        self._knot_s = knot_s
        self._feedback, self._preview = _gains(OMEGA_RAD_S, knot_s)
        self._next = np.arange(1, self.preview_knots + 1)
        self._foreseen = np.ones(1, dtype=bool) if foreseen is None else foreseen
        self.keep_within(within)

    def keep_within(self, within: Bounds) -> None:
        """Use these bounds from now on, with the same gains.

        A faster motion is slowed down inside the other limits.
        """
        self._within = within
        self._swing = within.jerk * self._knot_s
        # At a larger distance the pull to the reference is constant, so that braking needs at most
        # the acceleration limit.
        approach = np.minimum(within.velocity, within.acceleration / OMEGA_RAD_S)
        self._reach = approach * self._feedback[1] / self._feedback[0]
        self._near, self._slopes, self._ends = _roots(within)

    @property
    def preview_knots(self) -> int:
        """Number of reference knots that are needed after the last row."""
        return len(self._preview)

    def follow(self, state: State, reference: Floats) -> Rows:
        """The N rows after `state` that follow `reference`.

        reference: (1 + N + preview_knots, J) float64, rad; row 0 is for the state's own knot, and
        the last preview_knots rows are only the preview of the row before them.
        """
        count = len(reference) - self.preview_knots
        ahead = np.arange(count)[:, None] + self._next
        lead = self._foreseen * (self._preview @ (reference[ahead] - reference[:count, None]))
        rows = np.empty((count, 3, len(state.position)))
        rows[0] = state
        for k in range(count - 1):
            self._step(rows[k], reference[k], lead[k], rows[k + 1])
        return Rows(*np.ascontiguousarray(rows[1:].transpose(1, 0, 2)))

    def _step(self, state: Floats, target: Floats, lead: Floats, after: Floats) -> None:
        """Write position, velocity and acceleration (3, J) one knot later into `after`."""
        (x, v, a), knot_s = state, self._knot_s
        pull = np.minimum(np.maximum(target - x, -self._reach), self._reach)
        kx, kv, ka = self._feedback
        a1 = a + knot_s * (lead + kx * pull - kv * v - ka * a)
        most, least = self._acceleration_bounds(state)
        a1 = np.maximum(np.minimum(a1, most), -least)
        limit = self._within.acceleration
        a1 = np.minimum(np.minimum(a1, a + self._swing), limit)
        a1 = np.maximum(np.maximum(a1, a - self._swing), -limit)
        after[0] = x + knot_s * v + (knot_s**2 / 6) * (2 * a + a1)
        after[1] = v + (knot_s / 2) * (a + a1)
        after[2] = a1

    def _acceleration_bounds(self, state: Floats) -> Floats:
        """(2, J) largest next acceleration up and down that keeps the velocity limits.

        An acceleration a1 that is reduced to zero at the jerk limit adds at most a1*(a1/j + T)/2 to
        the velocity; this is solved for a1. With a constant limit the bound can always be met
        inside the jerk limit. If the limit has fallen below the velocity, each knot removes half of
        the excess.
        """
        knot_s, jerk = self._knot_s, self._within.jerk
        position, velocity, acceleration = both_sides(state)
        room = self._fastest(position) - velocity - (knot_s / 2) * acceleration
        root = np.sqrt(np.maximum(room * (2 / jerk), 0.0) + knot_s**2)
        most: Floats = jerk * (root - knot_s) + np.minimum(room, 0.0) / knot_s
        return most

    def _fastest(self, position: Floats) -> Floats:
        """(2, J) largest velocity towards each side from which a stop fits, inside FR3's envelope.

        The braking speed is linear in the distance near the limit, and its square root further off.
        """
        envelope, braking = np.sqrt(np.maximum(self._slopes * (self._ends - position), 0.0))
        envelope = np.maximum(ENVELOPE_SHARE * (envelope - self._within.envelope[:, 0]), 0.0)
        distance = self._within.sides - position
        braking = np.where(distance < self._near, APPROACH_PER_S * distance, braking)
        fastest: Floats = np.minimum(np.minimum(envelope, braking), self._within.velocity)
        return fastest


def _roots(within: Bounds) -> tuple[Floats, Floats, Floats]:
    """Distance (J,) of linear braking; slopes and ends (2, 2, J) of envelope and braking roots.

    sqrt(2*s*(d - near/2)) meets the line APPROACH_PER_S * d at d = near with the same slope.
    """
    slow = BRAKING_SHARE * within.acceleration
    near = slow / APPROACH_PER_S**2
    _, slope, end = within.envelope.transpose(1, 0, 2)
    return (
        near,
        np.stack([slope, np.broadcast_to(2 * slow, slope.shape)]),
        np.stack([end, within.sides - near / 2]),
    )


def _gains(omega_rad_s: float, knot_s: float) -> tuple[tuple[float, float, float], Floats]:
    """Feedback on position, velocity and acceleration, and weights (N,) of the next N references.

    They minimise sum((x - r)^2 * omega^6 + jerk^2) over the known future, which gives the poles of
    a third-order Butterworth filter of bandwidth omega. The last weight includes all later ones.
    """
    step = np.array([[1, knot_s, knot_s**2 / 2], [0, 1, knot_s], [0, 0, 1]])
    push = np.array([knot_s**3 / 6, knot_s**2 / 2, knot_s])
    cost = np.zeros((3, 3))
    cost[0, 0] = omega_rad_s**6
    value = cost
    for _ in range(int(40 / (omega_rad_s * knot_s)) + 1):
        reach = value @ push
        gain = (reach @ step) / (1.0 + push @ reach)
        value = cost + step.T @ value @ (step - np.outer(push, gain))
    closed = step - np.outer(push, gain)
    scale = 1.0 + push @ value @ push
    costate = cost[:, 0]
    weights = []
    for _ in range(round(PREVIEW_CONSTANTS / (omega_rad_s * knot_s))):
        weights.append(float(push @ costate) / scale)
        costate = closed.T @ costate
    weights[-1] += float(gain[0]) - sum(weights)
    return (float(gain[0]), float(gain[1]), float(gain[2])), np.array(weights)
