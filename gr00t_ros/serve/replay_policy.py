"""The policy that replays a dataset's actions.

It behaves as upstream's ReplayPolicy: each get_action returns the next steps of the episode, a
reset selects episode and step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gr00t_ros.dataset.lerobot import LeRobotDataset
from gr00t_ros.dataset.reader import check_rate
from gr00t_ros.errors import SettingsError
from gr00t_ros.observe.modality import ModalityConfig
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import Action, PolicyObservation, modality_of


class ReplayPolicy:
    """Answers every observation with the dataset's next actions; after the end with the last."""

    def __init__(
        self, dataset: LeRobotDataset, embodiment: Embodiment, execution_horizon: int
    ) -> None:
        """Begin at the first episode; each get_action advances by `execution_horizon` steps.

        Raises SettingsError if the dataset's keys, widths or rate differ from the embodiment's: a
        replay at another rate would be another motion.
        """
        _check(dataset, embodiment, execution_horizon)
        self._dataset = dataset
        self._horizon = embodiment.action_horizon
        self._keys = tuple(action.key for action in embodiment.action)
        self._execution_horizon = execution_horizon
        self.modality: ModalityConfig = modality_of(embodiment)
        self._begin(min(dataset.lengths), 0)

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return (B, H, D) float32 chunks from the current step on, and their episode and step."""
        batch = len(next(iter(observation["video"].values())))
        steps = np.minimum(np.arange(self._step, self._step + self._horizon), self._length - 1)
        action = {
            key: np.repeat(self._actions[key][np.newaxis, steps], batch, axis=0)
            for key in self._keys
        }
        info = self._where()
        self._step += self._execution_horizon
        return action, info

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Go to options' episode_index (default: the present one) and step_index (default: 0).

        Raises SettingsError, whose text is the reply, for an invalid index; then nothing changes.
        """
        options = options or {}
        episode = _index(options, "episode_index", self._episode)
        step = _index(options, "step_index", 0)
        self._begin(episode, step)
        return self._where()

    def _begin(self, episode: int, step: int) -> None:
        actions = self._dataset.episode(episode)
        length = self._dataset.lengths[episode]
        if step >= length:
            raise SettingsError(f"step_index {step}: episode {episode} has {length} steps")
        self._actions, self._episode, self._length, self._step = actions, episode, length, step

    def _where(self) -> dict[str, int]:
        return {
            "episode_index": self._episode,
            "episode_length": self._length,
            "current_step": self._step,
        }


def _index(options: Mapping[str, Any], name: str, default: int) -> int:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SettingsError(f"{name} is {value!r:.40}, expected a whole number from 0")
    return value


def _check(dataset: LeRobotDataset, embodiment: Embodiment, execution_horizon: int) -> None:
    where = f"{dataset.path} for {embodiment.source}"
    widths = {key: columns.width for key, columns in dataset.actions.items()}
    for action in embodiment.action:
        if widths.get(action.key) != action.width:
            raise SettingsError(
                f"{where}: action.{action.key} has width {widths.get(action.key, 'none')} in "
                f"meta/modality.json, expected {action.width}"
            )
    check_rate(dataset, embodiment)
    if not 1 <= execution_horizon <= embodiment.action_horizon:
        raise SettingsError(
            f"execution horizon {execution_horizon}: expected 1 to the action horizon "
            f"{embodiment.action_horizon}"
        )
