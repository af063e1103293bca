"""The simulated robots by name, with their embodiments and scripted policies."""

from __future__ import annotations

from gr00t_ros.errors import EmbodimentError, SettingsError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import Policy
from gr00t_ros.sim.description import RobotDescription
from gr00t_ros.sim.desk6.robot import DESK6
from gr00t_ros.sim.franka.robot import FRANKA
from gr00t_ros.sim.g1.robot import G1

ROBOTS = {robot.name: robot for robot in (FRANKA, G1, DESK6)}


def find_robot(name: str) -> RobotDescription:
    """Return the robot of that name; the SettingsError names the known robots."""
    if name not in ROBOTS:
        raise SettingsError(f"robot: got {name!r}, expected one of {', '.join(ROBOTS)}")
    return ROBOTS[name]


def robot_for(embodiment: Embodiment) -> RobotDescription:
    """Return the robot that has all joints that the embodiment commands.

    Raises EmbodimentError if there is no such robot.
    """
    wanted = set(embodiment.joint_names)
    for robot in ROBOTS.values():
        if wanted <= set(robot.joint_names):
            return robot
    raise EmbodimentError(
        f"{embodiment.source}: no simulated robot ({', '.join(ROBOTS)}) has the joints "
        f"{', '.join(embodiment.joint_names)}; the policies hold and wave serve any robot"
    )


def make_policy(embodiment: Embodiment) -> Policy:
    """Make the policy of the robot that the embodiment commands; raises EmbodimentError."""
    return robot_for(embodiment).make_policy(embodiment)
