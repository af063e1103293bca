"""A policy that lifts the end effector, as poses and as deltas: `hand_policy:make_policy`.

The joints stay. eef_9d rises from where it is measured; eef_delta is a small step each. Runs inside
`python -m gr00t_ros.sidecar`, which finds it by PYTHONPATH; knows nothing of ROS.
"""

import numpy as np

from gr00t_ros.sidecar.modality_of import modality_of

LIFT_M_S = 0.06
DELTA = (0.004, 0.0, 0.002, 0.0, 0.0, 0.01)  # m and rad of one step at 15 Hz


class HandPolicy:
    """Answer with the newest state, the hand in motion."""

    def __init__(self, embodiment):
        self._horizon, self._step_s = embodiment.action_horizon, 1.0 / embodiment.rate_hz
        self._keys = [a.key for a in embodiment.action if a.key != "eef_delta"]
        self.modality = modality_of(embodiment)

    def __call__(self, observation, options):
        """(1, H, D) float32 of each key."""
        state = observation["state"]
        action = {k: np.repeat(state[k][:, -1:], self._horizon, axis=1) for k in self._keys}
        steps = np.arange(self._horizon, dtype=np.float32)
        action["eef_9d"][:, :, 2] += LIFT_M_S * self._step_s * steps
        action["eef_delta"] = np.tile(np.float32(DELTA), (1, self._horizon, 1))
        return action, {}

    def reset(self, options):
        """Do nothing: there is no memory."""
        return {}


def make_policy(embodiment):
    """The policy for an embodiment."""
    return HandPolicy(embodiment)
