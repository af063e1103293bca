"""The simulated Franka FR3 with Robotiq 2F-85 as data, with its world, task and policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import Policy
from gr00t_ros.sim.assets import PANDA, require_assets
from gr00t_ros.sim.description import (
    Camera,
    Controller,
    Frame,
    Joint,
    LinkPose,
    Mimic,
    RobotDescription,
    Task,
)
from gr00t_ros.sim.franka.kinematics import GRIPPER_JOINT, HOME_RAD, JOINTS
from gr00t_ros.sim.franka.layout import draw_layout

if TYPE_CHECKING:
    from gr00t_ros.sim.physics import Simulation

GRIPPER_CLOSED_RAD = 0.8
_GRIPPER_CONTROL_PER_RAD = 255.0 / GRIPPER_CLOSED_RAD  # the 2F-85's own command register
_FLANGE_M = 0.107
# The 2F-85's linkage, measured in the simulation at rest between open and closed: the joints are
# within 0.01 rad of these lines, so the pads within 0.7 mm.
_LINKAGE = (
    ("driver", 1.0, 0.0),
    ("coupler", 0.0, 0.002),
    ("spring_link", 1.0, 0.004),
    ("follower", -0.97, -0.006),
)


def _build_model(seed: int, wall_y_m: float = 0.0) -> Any:
    from gr00t_ros.sim.franka.scene import build_model

    return build_model(require_assets(PANDA), draw_layout(seed), wall_y_m)


def _make_task(simulation: Simulation, seed: int) -> Task:
    from gr00t_ros.sim.franka.scene import PickAndPlace

    return PickAndPlace(simulation, seed)


def _make_policy(embodiment: Embodiment) -> Policy:
    from gr00t_ros.sim.franka.scripted import make_policy

    return make_policy(embodiment)


FRANKA = RobotDescription(
    name="franka",
    title="Franka",
    model=PANDA,
    embodiment="franka_droid",
    instruction="put the red cube on the blue plate",
    joints=(
        *(
            Joint(name, f"joint{number}", f"servo{number}", ready_rad=float(ready))
            for number, (name, ready) in enumerate(zip(JOINTS, HOME_RAD, strict=True), start=1)
        ),
        Joint(
            GRIPPER_JOINT,
            "left_driver_joint",
            "fingers_actuator",
            control_per_rad=_GRIPPER_CONTROL_PER_RAD,
            range_rad=(0.0, GRIPPER_CLOSED_RAD),
        ),
    ),
    controllers=(
        Controller("fr3_arm_controller", JOINTS),
        Controller("gripper_controller", (GRIPPER_JOINT,)),
    ),
    cameras=(Camera("exterior"), Camera("wrist")),
    # the policy's own size: it would not use a larger picture, and 0.17 MB fits into the
    # shared-memory segment of Fast DDS (0.5 MB, environment.md); two of 360 x 640 do not
    picture_px=(180, 320),
    # fr3_link8, the flange; gym-hil calls its body "attachment" but turns it about z
    poses=(LinkPose("ee_pose", "fr3_link0", "link7", (0.0, 0.0, _FLANGE_M)),),
    recorded=(),
    build_model=_build_model,
    build_walled=_build_model,
    torque_topic="franka_robot_state_broadcaster/external_joint_torques",
    make_task=_make_task,
    make_policy=_make_policy,
    link_prefix="fr3_",
    fingers=(GRIPPER_JOINT,),
    mimics=tuple(
        Mimic(f"{side}_{joint}_joint", GRIPPER_JOINT, scale, offset)
        for side in ("left", "right")
        for joint, scale, offset in _LINKAGE
        if (side, joint) != ("left", "driver")
    ),
    frames=(Frame("fr3_link8", "fr3_link7", (0.0, 0.0, _FLANGE_M)),),
)
