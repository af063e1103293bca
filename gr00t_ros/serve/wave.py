"""The wave policy: moves every joint gently around its present position, from the file alone.

A joint starts where the state shows it, at rest, and follows sin^3: by at most 0.05 rad (3 degrees)
or 0.05 m to both sides, inside its limits less margin, inside the workspace if the file has the
chain, and at most an eighth of the file's limits of velocity, acceleration and jerk. All other
outputs are held. A chunk continues the one before it. Where the robot rested or was moved in
between, the wave begins anew at its present position.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.motion.replay_settings import ReplaySettings
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import Action, PolicyObservation, modality_of
from gr00t_ros.serve.present import AnswerKey, answer_keys

Floats = NDArray[np.float64]

PERIOD_S = 6.0
LIMIT_SHARE = 0.25 * ReplaySettings().velocity_scale
"""Share of the file's limits of velocity, acceleration and jerk that the wave uses at most."""

_PEAKS = (2.0 / np.sqrt(3.0), 3.0, 7.13)  # of the first three derivatives of sin^3
_ROOM = 0.9  # share of the way to a limit that is used: float32 must not round a row beyond it
_SAMPLES = 64  # points of one period that are checked against the workspace
_HALVINGS = 6  # of the amplitudes, until the path lies in the workspace
_AWAY = 2.0  # in amplitudes: farther from its course, the robot was moved by something else

log = logging.getLogger("gr00t_ros.sidecar")


def wave(times_s: Floats) -> Floats:
    """The course of all joints in amplitudes: sin^3, which begins without speed or acceleration.

    times_s: (T,) s or a scalar; the result has the same shape.
    """
    return np.asarray(np.sin(2.0 * np.pi / PERIOD_S * times_s) ** 3)


@dataclass(frozen=True, slots=True, eq=False)
class _Course:
    """Where the wave began, and how far it goes from there: first to one side, then to the other.

    home, first, second: (B, N); `first` and `second` have a sign.
    """

    home: Floats
    first: Floats
    second: Floats

    def rows(self, times_s: Floats) -> Floats:
        """(B, T, N) positions at `times_s` (T,) since the beginning."""
        along = wave(times_s)[None, :, None]
        first, second = self.first[:, None], self.second[:, None]
        moved = first * np.maximum(along, 0.0) + second * np.maximum(-along, 0.0)
        return np.asarray(self.home[:, None] + moved)

    def smaller(self, share: float) -> _Course:
        """The same course with amplitudes of this share."""
        return _Course(self.home, self.first * share, self.second * share)


@dataclass(frozen=True, slots=True)
class UnmovedOutput:
    """What an output is not moved in, and why."""

    output: str
    names: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        """The line for an operator."""
        return f"{self.output} ({', '.join(self.names)}): {self.why}"


class WavePolicy:
    """Waves the joints that it can, and holds everything else; `held` says what, and why."""

    def __init__(
        self, embodiment: Embodiment, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises EmbodimentError for a number of which the state has no present value."""
        self.modality = modality_of(embodiment)
        self._embodiment, self._clock_s = embodiment, clock_s
        self._keys: tuple[AnswerKey, ...] = answer_keys(embodiment)
        self.held = _held(self._keys)
        self._names = [
            name if key.action.output is not None else ""
            for key in self._keys
            for name in key.action.names
        ]
        self._lower = np.concatenate([key.lower for key in self._keys])
        self._upper = np.concatenate([key.upper for key in self._keys])
        self._reach = np.concatenate([key.reach for key in self._keys])
        self._tolerance = np.concatenate([key.tolerance for key in self._keys])
        self.amplitudes = self._amplitudes()
        """Joint that is moved -> how far to each side at most, rad or m."""
        self._amplitude = np.array([self.amplitudes.get(name, 0.0) for name in self._names])
        self._steps_s = np.arange(embodiment.action_horizon) / embodiment.rate_hz
        self._course: _Course | None = None
        self._began_s = self._answered_s = 0.0

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return the next (B, H, D) float32 rows of every key."""
        state, now_s = observation["state"], self._clock_s()
        present = np.concatenate([key.present(state) for key in self._keys], axis=-1)
        course = self._course
        if course is None or self._interrupted(course, present, now_s):
            course = self._course = self._begin(present)
            self._began_s = now_s
        self._answered_s = now_s
        rows = course.rows(now_s - self._began_s + self._steps_s)
        ends = np.cumsum([key.action.width for key in self._keys])[:-1]
        parts = zip(self._keys, np.split(rows, ends, axis=-1), strict=True)
        return {key.action.key: key.reply(part) for key, part in parts}, {}

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Begin anew at the next observation."""
        self._course = None
        return {}

    def _amplitudes(self) -> Mapping[str, float]:
        """The amplitude of each joint that is not held: its reach, or what its limits allow."""
        limits, omega = self._embodiment.limits, 2.0 * np.pi / PERIOD_S
        most = np.array([limits.velocity, limits.acceleration, limits.jerk])
        peaks = np.array([peak * omega**order for order, peak in enumerate(_PEAKS, 1)])
        slow_enough = (LIMIT_SHARE * most / peaks[:, None]).min(axis=0)
        return {
            name: min(float(reach), float(slow_enough[limits.names.index(name)]))
            for key in self._keys
            if not key.why_held
            for name, reach in zip(key.action.names, key.reach, strict=True)
        }

    def _interrupted(self, course: _Course, present: Floats, now_s: float) -> bool:
        """Whether the last chunk has ended, or the robot is not near its course."""
        if course.home.shape != present.shape:
            return True
        if now_s - self._answered_s > self._steps_s[-1] + 1.0 / self._embodiment.rate_hz:
            return True
        planned = course.rows(np.array([now_s - self._began_s]))[:, 0]
        return bool((np.abs(present - planned) > _AWAY * self._tolerance).any())

    def _begin(self, present: Floats) -> _Course:
        """A course from the present position, with amplitudes that fit limits and workspace."""
        home = np.clip(present, self._lower, self._upper)
        up = np.minimum(self._amplitude, _ROOM * (self._upper - home))
        down = np.minimum(self._amplitude, _ROOM * (home - self._lower))
        upwards = up >= down  # the side with more room first
        whole = _Course(home, np.where(upwards, up, -down), np.where(upwards, -down, up))
        times_s = np.linspace(0.0, PERIOD_S, _SAMPLES)
        for halving in range(_HALVINGS):
            course = whole.smaller(0.5**halving)
            if self._in_workspace(course.rows(times_s)):
                return course
        log.warning("wave: holds all joints: they are at the edge of the workspace")
        return whole.smaller(0.0)

    def _in_workspace(self, rows: Floats) -> bool:
        """Whether the end effector stays in the box of the file, as far as the file has a chain."""
        workspace = self._embodiment.workspace
        if workspace is None or workspace.chain is None:
            return True
        columns = [self._names.index(name) for name in self._embodiment.joint_names]
        path, _ = workspace.chain.pose(rows[..., columns])
        return bool(((workspace.lower <= path) & (path <= workspace.upper)).all())


def _held(keys: Sequence[AnswerKey]) -> tuple[UnmovedOutput, ...]:
    """What is held of each output, and why; keys that the file ignores are not named."""
    names: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        if key.why_held and key.action.output is not None:
            names.setdefault((key.action.output, key.why_held), []).extend(key.action.names)
    return tuple(UnmovedOutput(output, tuple(own), why) for (output, why), own in names.items())


def make_wave_policy(embodiment: Embodiment) -> WavePolicy:
    """Build the wave policy, and log what it holds; raises EmbodimentError where it cannot."""
    policy = WavePolicy(embodiment)
    for held in policy.held:
        log.info("wave: holds %s", held)
    return policy
