"""A policy that keeps joint 1 in motion, so that a test can see a stop: `sweep_policy:make_policy`.

Where the instruction has the word "nan", the last step of its chunks is no number; with "table"
joint 2 leads the arm below it; with "error" it answers with one. Runs inside
`python -m gr00t_ros.sidecar`, which finds it by PYTHONPATH; knows nothing of ROS.
"""

import numpy as np

from gr00t_ros.sidecar.hold import HoldPolicy

SPEED_RAD_S = 0.25
RANGE_RAD = 0.5
BELOW_RAD = 1.7  # of joint 2 from the start pose: the flange is then below its box


class SweepPolicy(HoldPolicy):
    """All joints stay, joint 1 goes back and forth at a constant speed."""

    def __init__(self, embodiment):
        super().__init__(embodiment)
        self._step_rad = SPEED_RAD_S / embodiment.rate_hz
        self._direction = 1.0

    def __call__(self, observation, options):
        """As the hold policy, and joint 1 on its way; it turns at the end of its range."""
        action, info = super().__call__(observation, options)
        chunk = action["joint_position"]
        if abs(chunk[0, 0, 0]) > RANGE_RAD:
            self._direction = -np.sign(chunk[0, 0, 0])
        steps = np.arange(chunk.shape[1], dtype=np.float32)
        chunk[:, :, 0] += self._direction * self._step_rad * steps
        (words,) = next(iter(observation["language"].values()))[0]
        if "nan" in words:
            chunk[0, -1, 0] = np.nan
        if "error" in words:
            raise ValueError("no such thing in sight")
        if "width" in words:
            raise ValueError("joint_position must have width 9, got 7")
        if "table" in words:
            chunk[:, :, 1] += BELOW_RAD * (steps / steps[-1]) ** 2
        return action, info


def make_policy(embodiment):
    """The policy for an embodiment."""
    return SweepPolicy(embodiment)
