"""A pick-and-place motion: legs between waypoints, sampled in time, with gates at the gripper.

Each leg starts and ends at rest. Knows the arm and where the things are, nothing of pictures;
it answers where on the motion a measured arm is, from the arm's joints alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.sim.calibration import CUBE_EDGE_M, PLATE_HEIGHT_M
from gr00t_ros.sim.kinematics import HOME_RAD, VELOCITY_RAD_S, downward_pose, solve, tool_pose

Array = NDArray[np.float64]

RATE_HZ = 60.0  # of the samples
# Of the joints' velocity limits, and so gentle from rest that a reply 400 ms late still begins
# within 0.15 rad of the held position (the node's guard).
SPEED = 0.26
ACCELERATION_RAD_S2 = 1.5
HOVER_M = 0.15
GRASP_M = 0.5 * CUBE_EDGE_M
PLACE_M = PLATE_HEIGHT_M + GRASP_M + 0.003
# Longer than 8 executed steps and 400 ms of latency: the gripper is seen to have closed before
# the arm lifts, whatever the timing.
GATE_S = 1.2
_REACHED_RAD = 0.012
_LOOK_AHEAD_S = 2.0


@dataclass(frozen=True, slots=True)
class Gate:
    """A dwell between samples `start` and `end` in which the gripper closes or opens."""

    start: int
    end: int
    closing: bool


@dataclass(frozen=True, slots=True)
class Motion:
    """Samples at RATE_HZ: joints (N, 7) rad and gripper (N,) 0 open or 1 closed.

    `ends` are the samples at which a leg ends and the arm stands still.
    """

    joints: Array
    gripper: Array
    gates: tuple[Gate, ...]
    ends: tuple[int, ...]

    def next_gate(self, index: int) -> Gate | None:
        """Return the first gate that is not behind sample `index`."""
        return next((gate for gate in self.gates if gate.start >= index), None)

    def locate(self, joints_rad: Array, index: int) -> tuple[int, float]:
        """Return the sample nearest to `joints_rad` (7,) and its distance, rad (largest joint).

        Looks forward only, from `index` to the next gate. An arm that stands a little short of
        a leg's end has reached it, and goes on.
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

    def speed(self, index: int) -> float:
        """Return the fastest joint's speed at sample `index`, rad/s."""
        after = min(index + 1, len(self.joints) - 1)
        return float(np.abs(self.joints[after] - self.joints[after - 1]).max() * RATE_HZ)


class _Path:
    """Grows a motion leg by leg, each from where the last one ended."""

    def __init__(self, start_rad: Array, closed: bool) -> None:
        self.joints: list[Array] = [start_rad[None]]
        self.gripper: list[Array] = [np.full(1, float(closed))]
        self.gates: list[Gate] = []
        self.ends: list[int] = []
        self.closed = closed

    @property
    def end_rad(self) -> Array:
        return np.asarray(self.joints[-1][-1])

    def leg(self, knots_rad: Array) -> None:
        """Add a leg through `knots_rad` (K, 7), spaced evenly: a polynomial, minimum jerk in time.

        Peaks of the minimum-jerk profile (Flash and Hogan 1985): speed 1.875 D/T, acceleration
        5.774 D/T^2.
        """
        even = np.linspace(0.0, 1.0, len(knots_rad))
        coefficients = np.linalg.solve(np.vander(even, increasing=True), knots_rad)
        fine = np.vander(np.linspace(0.0, 1.0, 21), len(knots_rad), increasing=True) @ coefficients
        slope = np.abs(np.diff(fine, axis=0)).max(axis=0) * 20.0
        by_speed = (1.875 * slope / (SPEED * VELOCITY_RAD_S)).max()
        by_acceleration = np.sqrt(5.774 * slope.max() / ACCELERATION_RAD_S2)
        count = max(2, int(np.ceil(max(by_speed, by_acceleration) * RATE_HZ)))
        time = np.arange(1, count + 1) / count
        along = time**3 * (10.0 - 15.0 * time + 6.0 * time**2)
        self._add(np.vander(along, len(knots_rad), increasing=True) @ coefficients)

    def gate(self, closing: bool) -> None:
        """Dwell while the gripper closes or opens."""
        self.closed = closing
        start = sum(map(len, self.joints)) - 1
        count = round(GATE_S * RATE_HZ)
        self._add(np.repeat(self.end_rad[None], count, axis=0))
        self.gates.append(Gate(start, start + count, closing))

    def _add(self, joints: Array) -> None:
        self.joints.append(joints)
        self.gripper.append(np.full(len(joints), float(self.closed)))
        self.ends.append(sum(map(len, self.joints)) - 1)

    def motion(self) -> Motion:
        return Motion(
            np.concatenate(self.joints),
            np.concatenate(self.gripper),
            tuple(self.gates),
            tuple(self.ends),
        )


class OutOfReachError(Exception):
    """No joint angles within the limits reach a waypoint."""


def pick_and_place(start_rad: Array, cube_m: Array, plate_m: Array) -> Motion:
    """Return the whole motion from `start_rad` (7,); `cube_m`, `plate_m` (2,) in fr3_link0.

    Raises OutOfReachError.
    """
    path = _Path(start_rad, closed=False)
    _rise(path)
    path.leg(np.stack([path.end_rad, _reach(cube_m, HOVER_M, HOME_RAD)]))
    down = _vertical(path.end_rad, cube_m, GRASP_M)
    path.leg(down)
    path.gate(closing=True)
    path.leg(down[::-1])
    return _place(path, plate_m)


def place(start_rad: Array, plate_m: Array) -> Motion:
    """Return the motion for a cube between the fingers: grip, up, to the plate, release.

    Raises OutOfReachError.
    """
    path = _Path(start_rad, closed=True)
    path.gate(closing=True)
    _rise(path)
    return _place(path, plate_m)


def retreat(start_rad: Array) -> Motion:
    """Return the motion up and home with an open gripper. Raises OutOfReachError."""
    path = _Path(start_rad, closed=False)
    _rise(path)
    path.leg(np.stack([path.end_rad, HOME_RAD]))
    return path.motion()


def _place(path: _Path, plate_m: Array) -> Motion:
    path.leg(np.stack([path.end_rad, _reach(plate_m, HOVER_M, HOME_RAD)]))
    down = _vertical(path.end_rad, plate_m, PLACE_M)
    path.leg(down)
    path.gate(closing=False)
    path.leg(down[::-1])
    path.leg(np.stack([path.end_rad, HOME_RAD]))
    return path.motion()


def _rise(path: _Path) -> None:
    position = tool_pose(path.end_rad)[:3, 3]
    if position[2] < HOVER_M - 0.01:
        path.leg(_vertical(path.end_rad, position[:2], HOVER_M))


def _vertical(start_rad: Array, place_m: Array, height_m: float) -> Array:
    """Return knots (5, 7) straight up or down from `start_rad` to `height_m`."""
    begin = tool_pose(start_rad)[2, 3]
    knots = [start_rad]
    for fraction in (0.25, 0.5, 0.75, 1.0):
        knots.append(_reach(place_m, begin + fraction * (height_m - begin), knots[-1]))
    return np.stack(knots)


def _reach(place_m: Array, height_m: float, seed_rad: Array) -> Array:
    joints = solve(downward_pose(np.array([place_m[0], place_m[1], height_m])), seed_rad)
    if joints is None:
        raise OutOfReachError(f"x {place_m[0]:.3f}, y {place_m[1]:.3f}, z {height_m:.3f} m")
    return joints
