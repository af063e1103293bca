"""One simulated JointTrajectoryController: messages in, joint commands at 1 kHz out.

Refuses to know: nodes, topics and clocks. Time is its caller's, in int ns of the
controllers' clock; messages are read by their fields alone. The semantics are those of
ros2_control (control.md 1); two rejections are this simulator's own: duplicate joint
names and points that do not all carry the same fields, both of which the real
controller takes and makes something unforeseeable of.
"""

import threading
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.sampler import JtcSampler, Motion, Trajectory
from gr00t_ros.sim.record import ROW_NS

Floats = NDArray[np.float64]


class PointMessage(Protocol):
    """The fields of trajectory_msgs/JointTrajectoryPoint that are read here."""

    positions: list[float]
    velocities: list[float]
    accelerations: list[float]
    effort: list[float]
    time_from_start: object


class TrajectoryMessage(Protocol):
    """The fields of trajectory_msgs/JointTrajectory that are read here."""

    header: object
    joint_names: list[str]
    points: list[PointMessage]


class Follower:
    """A controller from activation on; the physics thread samples, another one accepts."""

    def __init__(
        self,
        joint_names: tuple[str, ...],
        start: Floats,
        interpolate_from_desired_state: bool = False,
    ) -> None:
        """Hold ``start`` (J,) rad, as a controller that was just activated there."""
        self.joint_names = joint_names
        self._sampler = JtcSampler(
            len(joint_names), interpolate_from_desired_state, period_ns=ROW_NS
        )
        self._sampler.hold(start)
        self._last: Motion = (start.copy(), np.zeros_like(start), np.zeros_like(start))
        self._lock = threading.Lock()
        self._active = True
        self._accepted = 0
        self._rejected = 0

    @property
    def active(self) -> bool:
        """Whether trajectories are taken and commands change."""
        return self._active

    @property
    def commanded(self) -> Motion:
        """The newest command: position, velocity, acceleration, each (J,)."""
        return self._last

    @property
    def counts(self) -> tuple[int, int]:
        """Trajectories accepted and rejected since the start."""
        return self._accepted, self._rejected

    def accept(
        self,
        message: TrajectoryMessage,
        now_ns: int,
        ros_offset_ns: int,
        measured: Floats,
        measured_velocity: Floats,
    ) -> str | None:
        """Take a trajectory, or return why the controller rejects it.

        ``ros_offset_ns``: ROS time minus the controllers' clock now, which puts the stamp
        on that clock; later steps of the ROS clock change nothing in what was accepted.
        ``measured`` (J,) rad, ``measured_velocity`` (J,) rad/s. While the controller is
        inactive a valid message is dropped without a word, as by the real one.
        """
        trajectory = parse_trajectory(message, self.joint_names, ros_offset_ns)
        with self._lock:
            if isinstance(trajectory, str):
                reason: str | None = trajectory
            elif self._active:
                reason = self._sampler.accept(trajectory, now_ns, measured, measured_velocity)
                self._accepted += reason is None
            else:
                reason = None
            self._rejected += reason is not None
        return reason

    def command(self, time_ns: int) -> Motion:
        """Return the command for ``time_ns``: position, velocity, acceleration, each (J,).

        To be called for every millisecond, in order. The controller computes it one cycle
        ahead. While inactive it is the last position that was commanded, at rest.
        """
        with self._lock:
            if self._active:
                self._last = self._sampler.sample(time_ns - ROW_NS)
            return self._last

    def set_active(self, active: bool, measured: Floats) -> None:
        """Activate, which holds the ``measured`` position (J,), or deactivate."""
        with self._lock:
            if active and not self._active:
                self._sampler.hold(measured)
            if not active:
                self._last = (self._last[0], np.zeros_like(measured), np.zeros_like(measured))
            self._active = active


def parse_trajectory(
    message: TrajectoryMessage, joint_names: tuple[str, ...], ros_offset_ns: int
) -> Trajectory | str:
    """Return the message in the controller's joint order, or the reason to reject it.

    The stamp moves to the controllers' clock; zero, "at the next cycle", stays zero.
    Neither values nor limits are checked: NaN passes, as it does in the real controller.
    """
    reason = _name_mismatch(message.joint_names, joint_names) or _size_mismatch(message)
    if reason:
        return reason
    order = [message.joint_names.index(name) for name in joint_names]

    def field(name: str) -> Floats | None:
        if not len(getattr(message.points[0], name)):
            return None
        rows = [getattr(point, name) for point in message.points]
        return np.array(rows, dtype=np.float64)[:, order]

    stamp_ns = _nanoseconds(message.header.stamp)  # type: ignore[attr-defined]
    positions = field("positions")
    assert positions is not None
    return Trajectory(
        stamp_ns=stamp_ns - ros_offset_ns if stamp_ns else 0,
        times_ns=np.array([_nanoseconds(p.time_from_start) for p in message.points], np.int64),
        positions=positions,
        velocities=field("velocities"),
        accelerations=field("accelerations"),
    )


def _name_mismatch(got: list[str], expected: tuple[str, ...]) -> str | None:
    if not got:
        return "empty joint names on the incoming trajectory"
    if len(got) != len(expected):
        return (
            "joints on the incoming trajectory don't match the controller's joints: "
            f"got {len(got)}, expected {len(expected)}"
        )
    for name in got:
        if name not in expected:
            return f"incoming joint {name!r} doesn't match the controller's joints {list(expected)}"
        if got.count(name) > 1:
            return f"joint {name!r} appears {got.count(name)} times on the incoming trajectory"
    return None


def _size_mismatch(message: TrajectoryMessage) -> str | None:
    if not message.points:
        return "empty trajectory received: it has no points"
    count = len(message.joint_names)
    first = message.points[0]
    for index, point in enumerate(message.points):
        if len(point.effort):
            return f"point {index} has effort, which is not supported"
        for name in ("positions", "velocities", "accelerations"):
            size = len(getattr(point, name))
            wanted = count if name == "positions" or len(getattr(first, name)) else 0
            if size != wanted:
                return f"mismatch of {name} at point {index}: got {size}, expected {wanted}"
    return None


def _nanoseconds(time: object) -> int:
    return int(time.sec) * 1_000_000_000 + int(time.nanosec)  # type: ignore[attr-defined]
