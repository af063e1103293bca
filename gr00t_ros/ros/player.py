"""Windows in, points out: what the streamer commands at any time of the plan clock.

The controller's own model samples the windows (core/sampler.py), started from what was commanded
before. Stricter than the controller in two things: it takes NaN and it takes a step, this refuses
both. Knows no node, no topic and no clock; any thread may call.
"""

from __future__ import annotations

import copy
import threading

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.sampler import JtcSampler, Motion, Trajectory

Floats = NDArray[np.float64]


class Player:
    """Says nothing before its first window, and holds the end of its last."""

    def __init__(self, joint_names: tuple[str, ...], max_jump_rad: float) -> None:
        """`max_jump_rad`: most that a window may move a joint at the instant it takes over."""
        self._names, self._max_jump_rad = joint_names, max_jump_rad
        self._sampler = JtcSampler(len(joint_names), interpolate_from_desired_state=True)
        self._lock = threading.Lock()
        self._started = False
        self._end_ns = 0
        self.accepted = 0

    def accept(self, window: Trajectory, now_ns: int, measured: Floats | None) -> str | None:
        """Take a window from now on, or return why it is refused and the motion untouched.

        measured: (J,) rad, None when it is not known; only the first window needs it.
        """
        reason = _not_finite(window)
        if reason is not None:
            return reason
        with self._lock:
            trial = copy.copy(self._sampler)  # it replaces what it holds, and changes nothing in it
        held = trial.sample(now_ns)[0] if self._started else measured
        if held is None:
            return "first window: the measured joint state is not known"
        reason = trial.accept(window, now_ns, held) or self._jump(trial, held, now_ns)
        if reason is not None:
            return reason
        with self._lock:
            self._sampler.accept(window, now_ns, held)
            self._end_ns = (window.stamp_ns or now_ns) + int(window.times_ns[-1])
            self._started = True
            self.accepted += 1
        return None

    def sample(self, now_ns: int) -> Motion | None:
        """Position, velocity and acceleration, each (J,); None before the first window."""
        with self._lock:
            return self._sampler.sample(now_ns) if self._started else None

    def moves(self, now_ns: int) -> bool:
        """Whether the last window is still being played."""
        with self._lock:
            return self._started and now_ns < self._end_ns

    def _jump(self, trial: JtcSampler, held: Floats, now_ns: int) -> str | None:
        away = np.abs(trial.sample(now_ns)[0] - held)
        worst = int(away.argmax())
        if away[worst] <= self._max_jump_rad:
            return None
        return (
            f"jump of {self._names[worst]}: got {away[worst]:.4f} rad from where it is now, "
            f"expected at most {self._max_jump_rad} rad"
        )


def _not_finite(window: Trajectory) -> str | None:
    for name in ("positions", "velocities", "accelerations"):
        field = getattr(window, name)
        if field is not None and not np.isfinite(field).all():
            return f"{name}: got NaN or infinity, expected finite numbers"
    return None
