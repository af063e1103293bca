"""The hold policy: each action key repeats the state key of its name, so the robot stays.

Needs no robot and sees no picture; for bringing up a connection and for tests. Refuses
embodiments for which staying still cannot be said in absolute values.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import EmbodimentError
from gr00t_ros.core.modality import ModalityConfig
from gr00t_ros.sidecar.modality_of import modality_of
from gr00t_ros.sidecar.policies import Action, Observation


class HoldPolicy:
    """Answer every observation with its own last state row, H times.

    A key with a threshold (a binary gripper) is still thresholded by the client, so a half-open
    gripper does move.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        """Raise EmbodimentError for an action key without an equal absolute state key."""
        widths = {stream.key: stream.width for stream in embodiment.state}
        for action in embodiment.action:
            if widths.get(action.key) != action.width or action.representation != "absolute":
                raise EmbodimentError(
                    f"{embodiment.source}: action.{action.key}: the hold policy repeats state as "
                    f"absolute action; got width {action.width}, {action.representation}, "
                    f"expected a state key of that name and width, absolute"
                )
        self._keys = tuple(action.key for action in embodiment.action)
        self._horizon = embodiment.action_horizon
        self.modality: ModalityConfig = modality_of(embodiment)

    def __call__(
        self, observation: Observation, options: Mapping[str, Any] | None
    ) -> tuple[Action, Mapping[str, Any]]:
        """Return (B, H, D) float32 chunks that repeat each key's newest state row."""
        state = observation["state"]
        return {key: np.repeat(state[key][:, -1:], self._horizon, axis=1) for key in self._keys}, {}

    def reset(self, options: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Do nothing: there is no memory."""
        return {}


def make_policy(embodiment: Embodiment) -> HoldPolicy:
    """Build the hold policy for an embodiment; raises EmbodimentError where it cannot hold."""
    return HoldPolicy(embodiment)
