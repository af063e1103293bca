"""A policy that drives the base while the arm sweeps: `drive_policy:make_policy`.

Commands 1 m/s, which every file clamps, and a base height that goes down. Runs inside
`python -m gr00t_ros.sidecar`, which finds it by PYTHONPATH; knows nothing of ROS.
"""

from dataclasses import replace

import numpy as np
from sweep_policy import SweepPolicy

from gr00t_ros.sidecar.modality_of import modality_of


class DrivePolicy(SweepPolicy):
    """The sweep of joint 1, and base commands beside it."""

    def __init__(self, embodiment):
        measured = {stream.key for stream in embodiment.state}
        arm = tuple(action for action in embodiment.action if action.key in measured)
        super().__init__(replace(embodiment, action=arm))
        self.modality = modality_of(embodiment)

    def __call__(self, observation, options):
        """As the sweep policy, and on forwards."""
        action, info = super().__call__(observation, options)
        horizon = action["joint_position"].shape[1]
        drive = np.tile(np.array([1.0, 0.0, 0.1], np.float32), (1, horizon, 1))
        height = np.full((1, horizon, 1), 0.6, np.float32)
        return {**action, "navigate_command": drive, "base_height_command": height}, info


def make_policy(embodiment):
    """The policy for an embodiment."""
    return DrivePolicy(embodiment)
