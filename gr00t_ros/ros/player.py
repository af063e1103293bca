"""Windows in, points out: what the streamer commands at any time of the plan clock.

The controller's own model samples the windows (core/sampler.py), started from what was commanded
before. Stricter than the controller: NaN, a step and a window that begins in the future, to which
the controller would ramp, are refused, and what is played follows no jump of time. Knows no node,
no topic and no clock; any thread may call.
"""

from __future__ import annotations

import copy
import threading

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.limits import POSITION_UNIT
from gr00t_ros.core.sampler import JtcSampler, Motion, Trajectory

Floats = NDArray[np.float64]


# Plan time that gains so much on steady time has jumped (core/watch_clock.py); a simulation may
# run faster than steady time, in steps of its /clock.
_JUMP_NS = 500_000_000
# A tick that comes so much too late would command a step of as much motion.
_LATE_NS = 100_000_000
# The controller has held its last point for so long that the arm has come to rest there.
_ASLEEP_NS = 300_000_000


class Player:
    """Says nothing before its first window, and holds the end of its last."""

    def __init__(self, joint_names: tuple[str, ...], max_jump_rad: float) -> None:
        """`max_jump_rad`: most that a window may move a joint at the instant it takes over."""
        self._names, self._max_jump_rad = joint_names, max_jump_rad
        self._sampler = JtcSampler(len(joint_names), interpolate_from_desired_state=True)
        self._lock = threading.Lock()
        self._started = False
        self._end_ns = 0
        self._told: tuple[int, int] | None = None
        self._commanded: Floats | None = None
        self.accepted = 0

    def tell_time(self, now_ns: int, steady_ns: int) -> str:
        """Take both times of one instant, before the first use of `now_ns`; what was wrong.

        Plan time that jumped, or a late call, takes the motion along: it goes on from the point
        that was commanded last. After a sleep it does not go on: the arm rests there by now.
        """
        told, self._told = self._told, (now_ns, steady_ns)
        if told is None or self._commanded is None:
            return ""
        went_ns, lost_ns = now_ns - told[0], steady_ns - told[1]
        if lost_ns > _ASLEEP_NS:
            with self._lock:
                self._sampler.hold(self._commanded)
                self._end_ns = now_ns
            return f"asleep for {lost_ns / 1e9:.2f} s: holding the point that was left commanded"
        if went_ns >= 0 and went_ns - lost_ns <= _JUMP_NS and lost_ns <= _LATE_NS:
            return ""
        with self._lock:
            self._sampler.shift(went_ns)
            self._end_ns += went_ns
        why = "the clock went on" if went_ns >= 0 else "the clock went back"
        return f"{why} by {abs(went_ns) / 1e9:.3f} s in {lost_ns / 1e9:.3f} s: playing on from here"

    def hold(self, position: Floats, now_ns: int) -> None:
        """Begin at rest at `position` (J,) rad or m, without a window."""
        with self._lock:
            self._sampler.hold(position)
            self._end_ns, self._started = now_ns, True

    @property
    def started(self) -> bool:
        """Whether there is anything to play or hold."""
        return self._started

    def accept(self, window: Trajectory, now_ns: int, measured: Floats | None) -> str | None:
        """Take a window from now on, or return why it is refused and the motion untouched.

        measured: (J,) rad or m, None when it is not known; only the first window needs it.
        """
        reason = _not_finite(window) or _begins_later(window, now_ns)
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
            if not self._started:
                return None
            motion = self._sampler.sample(now_ns)
            self._commanded = motion[0]
            return motion

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
            f"jump of {self._names[worst]}: got {away[worst]:.4f} {POSITION_UNIT} from where "
            f"it is now, expected at most {self._max_jump_rad}"
        )


def _begins_later(window: Trajectory, now_ns: int) -> str | None:
    if window.stamp_ns <= now_ns:
        return None
    later_s = (window.stamp_ns - now_ns) / 1e9
    return f"begin: got {later_s:.3f} s in the future, expected one in the past: a ramp is no plan"


def _not_finite(window: Trajectory) -> str | None:
    for name in ("positions", "velocities", "accelerations"):
        field = getattr(window, name)
        if field is not None and not np.isfinite(field).all():
            return f"{name}: got NaN or infinity, expected finite numbers"
    return None
