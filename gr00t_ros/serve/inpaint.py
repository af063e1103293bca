"""Real-time chunking for our own policies: a chunk continues the one before, as RTC options ask.

A model with RTC denoises the overlap towards the chunk before. Our policies have nothing to
denoise: the frozen steps are copied, and a ramp leads over to the policy's own steps. Like the
servers of public forks this remembers one chunk: it fits one robot that resets at each episode;
robots.Robots has one of these for each robot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.serve.policies import Action, Policy, PolicyObservation
from gr00t_ros.session.overlap import Overlap
from gr00t_ros.wire.rtc import APPLIED, RAMP_RATE, REANCHORED


@dataclass(frozen=True, slots=True)
class RtcRequest:
    """What RTC options ask for; `names_itself`: in the dialect whose reply says what was done."""

    overlap: Overlap | None
    ramp_rate: float
    names_itself: bool


def read_rtc(options: Mapping[str, Any] | None, horizon: int) -> RtcRequest | None:
    """Read both dialects (wire/rtc.py); None: the options ask for nothing.

    Raises SettingsError, whose text is the reply, for steps that contradict each other.
    """
    options = options or {}
    if "rtc" in options:
        rtc = options["rtc"]
        if not isinstance(rtc, dict):
            raise SettingsError(f"options.rtc is {type(rtc).__name__}, expected a map")
        executed = _steps(rtc, "executed_steps", horizon)
        if not rtc.get("enabled", True):
            return RtcRequest(None, 0.0, True)
        most = horizon - executed
        overlap = Overlap(executed, _steps(rtc, "overlap_steps", most), 0)
        return _asked(overlap, rtc, "", True)
    if "rtc_overlap_steps" in options:
        steps = _steps(options, "rtc_overlap_steps", horizon)
        return _asked(Overlap(horizon - steps, steps, 0), options, "rtc_", False)
    return None


def _asked(
    overlap: Overlap, given: Mapping[str, Any], prefix: str, names_itself: bool
) -> RtcRequest:
    frozen = _steps(given, f"{prefix}frozen_steps", overlap.overlap_steps)
    rate = given.get(f"{prefix}ramp_rate", RAMP_RATE)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0.0 <= rate <= 100.0:
        raise SettingsError(f"{prefix}ramp_rate is {rate!r:.40}, expected 0 to 100")
    steps = Overlap(overlap.executed_steps, overlap.overlap_steps, frozen)
    return RtcRequest(steps if steps.overlap_steps else None, float(rate), names_itself)


def _steps(given: Mapping[str, Any], name: str, most: int) -> int:
    value = given.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise SettingsError(f"{name} is {value!r:.40}, expected a whole number from 0 to {most}")
    return value


def inpainted(before: Action, action: Action, overlap: Overlap, ramp_rate: float) -> Action:
    """`action`, key -> (B, H, D), with its first steps from the chunk `before`.

    The ramp from the frozen steps to the policy's own is (1 - exp(-rate x)) / (1 - exp(-rate)),
    linear for rate 0; x grows evenly over the steps that are not frozen.
    """
    first, steps, frozen = overlap.executed_steps, overlap.overlap_steps, overlap.frozen_steps
    weight = _ramp(frozen, steps, ramp_rate)[None, :, None]
    result = {}
    for key, rows in action.items():
        old = before[key][:, first : first + steps]
        blended = (old + weight * (rows[:, :steps] - old)).astype(rows.dtype)
        blended[:, :frozen] = old[:, :frozen]
        result[key] = np.concatenate([blended, rows[:, steps:]], axis=1)
    return result


def _ramp(frozen: int, steps: int, rate: float) -> NDArray[np.float64]:
    """(steps,) share of the policy's own steps: 0 for the frozen ones, below 1 for all."""
    along = np.maximum(np.arange(steps) - frozen + 1, 0) / (steps - frozen + 1)
    return along if rate == 0.0 else np.expm1(-rate * along) / np.expm1(-rate)


class Inpainting:
    """A policy whose chunks continue each other where the options of a request ask for it.

    The reply's info says what was done in the dialect that has a word for it. Values are absolute,
    so nothing has to be anchored anew: it says that it re-anchors, which is true of its answers.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._horizon = len(policy.modality["action"].delta_indices)
        self._before: Action | None = None

    @property
    def modality(self) -> ModalityConfig:
        """The policy's own."""
        return self._policy.modality

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return the policy's answer, continued from the one before if that is asked for."""
        asked = read_rtc(options, self._horizon)
        action, info = self._policy(observation, options)
        before, self._before = self._before, action
        if asked is None:
            return action, info
        applies = asked.overlap is not None and before is not None and _fits(before, action)
        if applies:
            assert asked.overlap is not None and before is not None
            action = self._before = inpainted(before, action, asked.overlap, asked.ramp_rate)
        if asked.names_itself:
            info = {**info, APPLIED: applies, REANCHORED: applies}
        return action, info

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Forget the chunk before, and the policy's episode."""
        self._before = None
        return self._policy.reset(options)


def _fits(before: Action, action: Action) -> bool:
    """Whether both have the same keys and shapes: another batch size is another robot."""
    return {k: v.shape for k, v in before.items()} == {k: v.shape for k, v in action.items()}
