"""The policies without weights: each simulated robot has one that sees things and acts on them."""

from __future__ import annotations

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.sidecar.policies import Policy
from gr00t_ros.sim.robots import robot_for


def make_policy(embodiment: Embodiment) -> Policy:
    """Build the policy of the robot that the embodiment commands; raises EmbodimentError."""
    return robot_for(embodiment).make_policy(embodiment)
