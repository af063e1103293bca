"""What a policy is to the server shell, and the policies that the command line knows by name.

Refuses to know the wire: a policy sees arrays and text, never bytes.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import SettingsError
from gr00t_ros.core.modality import ModalityConfig

Action = Mapping[str, NDArray[np.float32]]
Observation = Mapping[str, Mapping[str, Any]]


class Policy(Protocol):
    """Observation in, absolute action chunk out; the server calls it from one thread."""

    @property
    def modality(self) -> ModalityConfig:
        """The keys, delta indices and action configs that the server announces."""

    def __call__(
        self, observation: Observation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return the action and an info map for one observation.

        observation: ``{"video": {key: (B,T,H,W,3) uint8}, "state": {key: (B,T,D) float32},
        "language": {key: [[str]] * B}}``, arrays possibly read-only. Action: key -> (B, H, D)
        float32, physical units, absolute where the real server's values are. Whatever it raises
        reaches the client as the text of an error reply.
        """

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Forget the episode; the returned map is the reply (Gr00tPolicy's is empty)."""


# The factories are text, not imports: the scripted policy lives with the simulated robot that
# it is made for, and sidecar must not import sim (the rooms' order). Only a process that is
# asked for it loads it, so a bare venv without the simulator still serves the others.
POLICIES: Mapping[str, str] = {
    "hold": "gr00t_ros.sidecar.hold:make_policy",
    "scripted": "gr00t_ros.sim.scripted:make_policy",
}


def make_policy(name: str, embodiment: Embodiment) -> Policy:
    """Build the policy of that name, or of ``package.module:factory``, for an embodiment.

    A factory takes the Embodiment and returns a Policy. Raises SettingsError for a name that is
    unknown or whose module or factory cannot be imported.
    """
    target = POLICIES.get(name, name)
    module_name, colon, factory_name = target.partition(":")
    if not colon:
        known = ", ".join(sorted(POLICIES))
        raise SettingsError(f"policy '{name}': expected one of {known}, or package.module:factory")
    try:
        factory: Callable[[Embodiment], Policy] = getattr(
            importlib.import_module(module_name), factory_name
        )
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"policy '{name}' ({target}) cannot be loaded: {error}") from error
    return factory(embodiment)
