"""One simulated JointTrajectoryController: messages in, joint commands at 1 kHz out.

Refuses to know: nodes, topics and clocks. Time is its caller's, in int ns of the
controllers' clock. The semantics are those of ros2_control (control.md 1).
"""

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.sampler import JtcSampler, Motion, Trajectory
from gr00t_ros.ros.trajectory import TrajectoryMessage, parse_trajectory
from gr00t_ros.sim.record import ROW_NS

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Arrival:
    now_ns: int
    trajectory: Trajectory
    measured: Floats
    measured_velocity: Floats


class Follower:
    """A controller from activation on; the physics thread samples, another one accepts.

    Each trajectory waits for the first cycle that begins after its arrival. A real
    controller's cycles are on time; those of a simulation on a loaded machine come late,
    and then a trajectory would reach cycles that lie before its own beginning.
    """

    def __init__(
        self,
        joint_names: tuple[str, ...],
        start: Floats,
        interpolate_from_desired_state: bool = False,
        interpolation_method: str = "splines",
    ) -> None:
        """Hold ``start`` (J,) rad, as a controller that was just activated there."""
        self.joint_names = joint_names
        self._sampler = JtcSampler(
            len(joint_names),
            interpolate_from_desired_state,
            period_ns=ROW_NS,
            interpolate=interpolation_method != "none",
        )
        self._sampler.hold(start)
        self._checks = JtcSampler(len(joint_names))
        self._arrived: deque[_Arrival] = deque()
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

    def allow_nonzero_velocity_at_trajectory_end(self, allowed: bool) -> None:
        """Take trajectories that do not end at rest, or refuse them, from now on."""
        with self._lock:
            for sampler in (self._checks, self._sampler):
                sampler.allow_nonzero_velocity_at_trajectory_end = allowed

    def accept(
        self,
        message: TrajectoryMessage,
        now_ns: int,
        ros_offset_ns: int,
        measured: Floats,
        measured_velocity: Floats,
    ) -> str | None:
        """Take a trajectory, or return why the controller rejects it.

        ``now_ns``: the controllers' clock as it should be, however late its cycles are.
        ``ros_offset_ns``: ROS time minus the controllers' clock now, which puts the stamp
        on that clock; later steps of the ROS clock change nothing in what was accepted.
        ``measured`` (J,) rad, ``measured_velocity`` (J,) rad/s. While the controller is
        inactive a valid message is dropped without a word, as by the real one. A stamp before
        1970 ends the real one's process (rclcpp::Time throws), so this one turns inactive.
        """
        if message.header.stamp.sec < 0:  # type: ignore[attr-defined]
            self.set_active(False, measured)
            with self._lock:
                self._rejected += 1
            return "stamp: cannot store a negative time point, a real controller's process ends"
        trajectory = parse_trajectory(message, self.joint_names, ros_offset_ns)
        with self._lock:
            reason: str | None = None
            if isinstance(trajectory, str):
                reason = trajectory
            else:
                reason = self._checks.accept(trajectory, now_ns, measured)
            if reason is None and self._active:
                assert isinstance(trajectory, Trajectory)
                self._arrived.append(_Arrival(now_ns, trajectory, measured, measured_velocity))
                self._accepted += 1
            self._rejected += reason is not None
        return reason

    def command(self, time_ns: int) -> Motion:
        """Return the command for ``time_ns``: position, velocity, acceleration, each (J,).

        To be called for every millisecond, in order. The controller computes it one cycle
        ahead. While inactive it is the last position that was commanded, at rest.
        """
        with self._lock:
            if self._active:
                self._replace(time_ns - ROW_NS)
                self._last = self._sampler.sample(time_ns - ROW_NS)
            return self._last

    def set_active(self, active: bool, measured: Floats) -> None:
        """Activate, which holds the ``measured`` position (J,), or deactivate."""
        with self._lock:
            if active and not self._active:
                self._sampler.hold(measured)
            if not active:
                self._arrived.clear()
                self._last = (self._last[0], np.zeros_like(measured), np.zeros_like(measured))
            self._active = active

    def _replace(self, cycle_ns: int) -> None:
        """Hand over what arrived before a cycle; it passed the same checks on arrival."""
        while self._arrived and self._arrived[0].now_ns <= cycle_ns:
            one = self._arrived.popleft()
            self._sampler.accept(one.trajectory, one.now_ns, one.measured, one.measured_velocity)
