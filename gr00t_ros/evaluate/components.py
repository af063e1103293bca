"""The numbers that are compared: each number of each action key, with name and unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.command_line import nearest
from gr00t_ros.dataset.episode import Episode
from gr00t_ros.errors import EmbodimentError, SettingsError
from gr00t_ros.motion.chunk import from_reply
from gr00t_ros.robot.actions import ActionKey
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.present import answer_keys

Floats = NDArray[np.float64]
Values = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Component:
    """One number of an action key: `column` of the key, in the unit of the server's reply.

    threshold: of a key with two positions, else None. delta: the number is a change in one step.
    """

    key: str
    name: str
    unit: str
    column: int
    threshold: float | None = None
    delta: bool = False

    @property
    def label(self) -> str:
        """Name with its key, as tables and plots show it."""
        return f"{self.key}: {self.name}"


def components(embodiment: Embodiment, keys: Sequence[str] = ()) -> tuple[Component, ...]:
    """All numbers of these action keys (all keys if empty), in the file's order.

    Raises SettingsError for a key that the file does not have.
    """
    known = [action.key for action in embodiment.action]
    unknown = [key for key in keys if key not in known]
    if unknown:
        hint = nearest(unknown[0], known)
        raise SettingsError(
            f"modality keys: got {', '.join(unknown)}, expected of {', '.join(known)} "
            f"({embodiment.source}){f'; {hint}' if hint else ''}"
        )
    return tuple(
        _component(action, column)
        for action in embodiment.action
        if not keys or action.key in keys
        for column in range(action.width)
    )


def _component(action: ActionKey, column: int) -> Component:
    delta = action.representation == "delta"
    name = action.names[column]
    return Component(action.key, name, action.unit, column, action.threshold, delta)


def columns(parts: Sequence[Component], values: Values) -> Floats:
    """(..., C) float64: the numbers of all components, from key -> (..., D)."""
    return np.stack([values[one.key][..., one.column].astype(np.float64) for one in parts], axis=-1)


def held(embodiment: Embodiment, episode: Episode) -> dict[str, NDArray[np.float32]]:
    """Action key -> (N, D) float32: the reply that keeps the state of row i; NaN if unknown.

    For a state key of the action key's name and width this is the state itself, as the hold
    policy answers; else what serve/present makes of the state.
    """
    widths = {stream.key: stream.width for stream in embodiment.state}
    found: dict[str, NDArray[np.float32]] = {}
    for action in embodiment.action:
        same = widths.get(action.key) == action.width and action.representation == "absolute"
        found[action.key] = (
            np.asarray(episode.state[action.key], np.float32)
            if same
            else _present(embodiment, action, episode)
        )
    return found


def _present(embodiment: Embodiment, action: ActionKey, episode: Episode) -> NDArray[np.float32]:
    """The reply that keeps the present values of one key, by its state keys."""
    unknown = np.full((len(episode), action.width), np.nan, np.float32)
    try:
        (key,) = answer_keys(replace(embodiment, action=(action,)))
    except EmbodimentError:
        return unknown
    if action.output is None:
        return unknown
    state = {name: rows[:, None, :] for name, rows in episode.state.items()}
    return key.reply(key.present(state))


def without_poses(embodiment: Embodiment) -> Embodiment:
    """The embodiment with its joints and commands only; outputs of poses are left out."""
    poses = {output.name for output in embodiment.poses}
    action = tuple(one for one in embodiment.action if one.output not in poses)
    return replace(embodiment, poses=(), action=action)


def joint_rows(embodiment: Embodiment, values: Values) -> Floats:
    """(N, J) joint targets in plan order of (N, D) replies, NaN in rows that are not finite.

    values may lack the keys that no output executes.
    """
    reduced = without_poses(embodiment)
    reduced = replace(reduced, action=tuple(a for a in reduced.action if a.output is not None))
    keys = [action.key for action in reduced.action]
    count = len(values[keys[0]])
    finite = np.ones(count, bool)
    for key in keys:
        finite &= np.isfinite(values[key]).all(axis=1)
    joints = np.full((count, len(embodiment.joint_names)), np.nan)
    if finite.any():
        rows = {key: np.ascontiguousarray(values[key][finite], np.float32) for key in keys}
        whole = replace(reduced, action_horizon=int(finite.sum()))
        joints[finite] = from_reply(whole, rows, 0, 0, 0).joints
    return joints
