"""Windows of commands in, values out: what the command streamer sends at any time.

Stricter than its sender: what is outside the ranges, not finite, or would leave a velocity standing
at its end is refused, and the window before it plays to its own end, which is at rest. Knows no
node, no topic and no clock; any thread may call.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.command import CommandLimits, CommandOutput
from gr00t_ros.ros.trajectory import TrajectoryMessage, parse_trajectory

Floats = NDArray[np.float64]

# After its end a window's last row is said for so long; then the topic is free for others.
_SAID_NS = 500_000_000
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """times_ns (N,) and values (N, C) of the plan clock; when it was accepted by both clocks."""

    times_ns: NDArray[np.int64]
    values: Floats
    accepted_ns: int
    steady_ns: int


class CommandPlayer:
    """One output: silent before its first window and some time after its last."""

    def __init__(self, output: CommandOutput, limits: CommandLimits) -> None:
        """`limits` are the embodiment's, of all its commands."""
        columns = [limits.names.index(name) for name in output.names]
        self._names, self._velocities = output.names, output.velocities
        self._lower = limits.lower[columns] - _ROUNDING
        self._upper = limits.upper[columns] + _ROUNDING
        self._lock = threading.Lock()
        self._window: _Window | None = None
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
        if reason is not None:
            return reason
        with self._lock:
            self._window = _Window(times_ns, parsed.positions, now_ns, steady_ns)
            self.accepted += 1
        return None

    def sample(self, now_ns: int, steady_ns: int) -> Floats | None:
        """(C,) to command now; None: nothing is to be said.

        A window ends by steady time too: simulated time that stands still moves nobody.
        """
        with self._lock:
            window = self._window
        if window is None:
            return None
        at_ns = max(now_ns, window.accepted_ns + steady_ns - window.steady_ns)
        if at_ns > window.times_ns[-1] + _SAID_NS:
            return None
        since = window.times_ns - window.times_ns[0]  # small numbers: interp works in float64
        at = float(at_ns - int(window.times_ns[0]))
        return np.array([np.interp(at, since, column) for column in window.values.T])

    def moves(self, now_ns: int, steady_ns: int) -> bool:
        """Whether a stop leaves anything to be played: no, velocities are zero at once."""
        return False

    def stop(self, now_ns: int, steady_ns: int) -> None:
        """Velocities are zero from now on; all others stay where they are."""
        value = self.sample(now_ns, steady_ns)
        if value is None:
            return
        rest = np.zeros_like(value) if self._velocities else value
        with self._lock:
            self._window = _Window(np.array([now_ns]), rest[None], now_ns, steady_ns)

    def _unfit(self, values: Floats) -> str | None:
        if not np.isfinite(values).all():
            return "positions: got NaN or infinity, expected finite numbers"
        for row, column in np.argwhere((values < self._lower) | (values > self._upper))[:1]:
            return (
                f"{self._names[column]}: got {values[row, column]:.4f} at point {row}, expected "
                f"{self._lower[column]:.4f} to {self._upper[column]:.4f}"
            )
        if self._velocities and values[-1].any():
            return f"velocities: got {values[-1]} at the end, expected zero"
        return None


def _untimely(times_ns: NDArray[np.int64], now_ns: int) -> str | None:
    if times_ns[0] > now_ns + _SAID_NS:
        return f"stamp: got {(times_ns[0] - now_ns) / 1e9:.2f} s ahead of this clock"
    if times_ns[-1] < now_ns - _SAID_NS:
        return f"stamp: got an end {(now_ns - times_ns[-1]) / 1e9:.2f} s ago, expected one to come"
    if np.any(np.diff(times_ns) <= 0):
        return "time_from_start: got times that do not increase"
    return None
