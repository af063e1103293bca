"""The interface of a served policy, the policies that have a name, and the hold policy.

A policy gets arrays and text, never bytes. `modality_of` returns the ModalityConfig that a server
for an embodiment announces. The hold policy answers each action key with the state key of the same
name, so the robot stays; it refuses embodiments without such absolute state keys.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.command_line import nearest
from gr00t_ros.errors import EmbodimentError, SettingsError
from gr00t_ros.observe.modality import ModalityConfig, ModalityEntry
from gr00t_ros.robot.actions import ActionKey
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.streams import StateStream, VideoStream

Action = Mapping[str, NDArray[np.float32]]
PolicyObservation = Mapping[str, Mapping[str, Any]]
"""An observation as a server decodes it: modality -> key -> values; see `Policy.__call__`."""


class Policy(Protocol):
    """Observation in, action chunk out; the server calls it from one thread."""

    @property
    def modality(self) -> ModalityConfig:
        """The keys, delta indices and action configs that the server announces."""

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return the action and an info map for one observation.

        observation: ``{"video": {key: (B,T,H,W,3) uint8}, "state": {key: (B,T,D) float32},
        "language": {key: [[str]] * B}}``; arrays may be read-only. Action: key -> (B, H, D)
        float32, physical units, absolute where the real server's values are. The text of any
        exception is sent to the client as an error reply.
        """

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Forget the episode; the returned map is the reply (Gr00tPolicy's is empty), or None."""


# Text, not imports: the scripted policy belongs to its simulated robot, and this room must not
# import sim (the order of the rooms). It is loaded only when it is named, so that an environment
# without the simulator can serve the other policies.
POLICIES: Mapping[str, str] = {
    "hold": "gr00t_ros.serve.policies:make_hold_policy",
    "scripted": "gr00t_ros.sim.robots:make_policy",
    "wave": "gr00t_ros.serve.wave:make_wave_policy",
}


def make_policy(name: str, embodiment: Embodiment) -> Policy:
    """Build the policy of that name, or of ``package.module:factory``, for an embodiment.

    A factory takes the Embodiment and returns a Policy. Raises SettingsError for an unknown name,
    and for a module or factory that cannot be imported.
    """
    target = POLICIES.get(name, name)
    module_name, colon, factory_name = target.partition(":")
    if not colon:
        known = ", ".join(sorted(POLICIES))
        other = f"expected one of {known}, or package.module:factory"
        raise SettingsError(f"policy '{name}': {nearest(name, POLICIES) or other}")
    try:
        factory: Callable[[Embodiment], Policy] = getattr(
            importlib.import_module(module_name), factory_name
        )
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"policy '{name}' ({target}) cannot be loaded: {error}") from error
    return factory(embodiment)


def modality_of(embodiment: Embodiment) -> ModalityConfig:
    """Return the modality config: video, state, action and language with their delta indices.

    A GR00T server has one list of delta indices per modality, so streams of one modality with
    different lists raise EmbodimentError. Language is one instruction under all its keys; actions
    are steps 0 .. H-1.
    """
    action_steps = tuple(range(embodiment.action_horizon))
    return {
        "video": _entry(embodiment, "video", embodiment.video),
        "state": _entry(embodiment, "state", embodiment.state),
        "action": ModalityEntry(
            action_steps,
            tuple(action.key for action in embodiment.action),
            tuple(_action_config(embodiment, action) for action in embodiment.action),
        ),
        "language": ModalityEntry((0,), embodiment.language_keys),
    }


def state_widths(embodiment: Embodiment) -> Mapping[str, int]:
    """Return D of each state key; a real server has it from its checkpoint's statistics."""
    return {stream.key: stream.width for stream in embodiment.state}


def _entry(
    embodiment: Embodiment, name: str, streams: Sequence[VideoStream | StateStream]
) -> ModalityEntry:
    histories = {stream.delta_indices for stream in streams}
    if len(histories) > 1:
        raise EmbodimentError(
            f"{embodiment.source}: {name}: got different delta_indices {sorted(histories)}, "
            f"expected the same for all keys: a server has one list per modality"
        )
    delta_indices = next(iter(histories), (0,))
    return ModalityEntry(delta_indices, tuple(stream.key for stream in streams))


def _action_config(embodiment: Embodiment, action: ActionKey) -> Mapping[str, object]:
    # Enum names as upstream sends them (wire.md 5). This states the representation in the reply. A
    # real checkpoint that predicts RELATIVE values and makes them absolute announces RELATIVE.
    poses = {stream.key for stream in embodiment.state if stream.encode == "xyz_rot6d_rows"}
    pose = action.key in poses
    return {
        "rep": action.representation.upper(),
        "type": "EEF" if pose else "NON_EEF",
        "format": "XYZ_ROT6D" if pose else "DEFAULT",
        "state_key": None,
    }


class HoldPolicy:
    """Answers every observation with its own last state row, H times.

    The client still applies thresholds (binary grippers), so a half-open gripper does move.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        """Raise EmbodimentError for an action key that has no absolute state key of its name."""
        widths = {stream.key: stream.width for stream in embodiment.state}
        for action in embodiment.action:
            if widths.get(action.key) != action.width or action.representation != "absolute":
                raise EmbodimentError(
                    f"{embodiment.source}: action.{action.key}: the hold policy repeats state as "
                    f"absolute action; got width {action.width}, {action.representation}, "
                    f"expected a state key of that name and width, absolute; the wave policy holds "
                    f"such keys"
                )
        self._keys = tuple(action.key for action in embodiment.action)
        self._horizon = embodiment.action_horizon
        self.modality: ModalityConfig = modality_of(embodiment)

    def __call__(
        self, observation: PolicyObservation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return (B, H, D) float32 chunks that repeat each key's newest state row."""
        state = observation["state"]
        return {key: np.repeat(state[key][:, -1:], self._horizon, axis=1) for key in self._keys}, {}

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Do nothing: there is no memory."""
        return {}


def make_hold_policy(embodiment: Embodiment) -> HoldPolicy:
    """Build the hold policy for an embodiment; raises EmbodimentError where it cannot hold."""
    return HoldPolicy(embodiment)
