"""The simulated Desk6 as data: joints, controller, camera, world, task and policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import Policy
from gr00t_ros.sim.description import Camera, Controller, Joint, RobotDescription, Task
from gr00t_ros.sim.desk6.kinematics import JOINTS, READY_RAD

if TYPE_CHECKING:
    from gr00t_ros.sim.physics import Simulation


def _build_model(seed: int) -> Any:
    from gr00t_ros.sim.desk6.scene import build_model

    return build_model(seed)


def _make_task(simulation: Simulation, seed: int) -> Task:
    from gr00t_ros.sim.desk6.scene import Touch

    return Touch(simulation)


def _make_policy(embodiment: Embodiment) -> Policy:
    from gr00t_ros.sim.desk6.scripted import make_policy

    return make_policy(embodiment)


DESK6 = RobotDescription(
    name="desk6",
    title="Desk6 (invented)",
    model=None,
    embodiment="desk6",
    instruction="touch the green cube",
    joints=tuple(
        Joint(name, name, name, float(ready)) for name, ready in zip(JOINTS, READY_RAD, strict=True)
    ),
    controllers=(Controller("arm_controller", JOINTS),),
    cameras=(Camera("front"),),
    picture_px=(240, 320),
    poses=(),
    recorded=(),
    build_model=_build_model,
    make_task=_make_task,
    make_policy=_make_policy,
)
