"""The simulated robots as data, by name; an embodiment's robot, and its scripted policy.

Each robot has a folder with its kinematics, world and scripted policy. World and policy are
imported when they are made, because they need MuJoCo and OpenCV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gr00t_ros.errors import EmbodimentError, SettingsError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import Policy
from gr00t_ros.sim import assets
from gr00t_ros.sim.assets import require_assets
from gr00t_ros.sim.description import (
    Camera,
    Controller,
    FrameLink,
    LinkPose,
    Mimic,
    RecordOnlyTopic,
    RobotDescription,
    ServoJoint,
    Task,
)
from gr00t_ros.sim.desk6 import kinematics as desk6
from gr00t_ros.sim.franka import kinematics as franka
from gr00t_ros.sim.franka.layout import draw_layout as franka_layout
from gr00t_ros.sim.g1 import kinematics as g1
from gr00t_ros.sim.g1.layout import draw_layout as g1_layout

if TYPE_CHECKING:
    from gr00t_ros.sim.physics import Simulation

GRIPPER_CLOSED_RAD = 0.8
_GRIPPER_CONTROL_PER_RAD = 255.0 / GRIPPER_CLOSED_RAD  # the 2F-85's own command register
# The 2F-85's linkage, measured in the simulation at rest between open and closed: the joints are
# within 0.01 rad of these lines, so the pads within 0.7 mm.
_LINKAGE = (
    ("driver", 1.0, 0.0),
    ("coupler", 0.0, 0.002),
    ("spring_link", 1.0, 0.004),
    ("follower", -0.97, -0.006),
)


def _franka_model(seed: int, wall_y_m: float = 0.0) -> Any:
    from gr00t_ros.sim.franka.scene import build_model

    return build_model(require_assets(assets.PANDA), franka_layout(seed), wall_y_m)


def _franka_task(simulation: Simulation, seed: int) -> Task:
    from gr00t_ros.sim.franka.scene import PickAndPlace

    return PickAndPlace(simulation, seed)


def _franka_policy(embodiment: Embodiment) -> Policy:
    from gr00t_ros.sim.franka.scripted import make_policy

    return make_policy(embodiment)


FRANKA = RobotDescription(
    name="franka",
    title="Franka",
    model=assets.PANDA,
    embodiment="franka_droid",
    instruction="put the red cube on the blue plate",
    joints=(
        *(
            ServoJoint(name, f"joint{number}", f"servo{number}", ready_rad=float(ready))
            for number, (name, ready) in enumerate(
                zip(franka.JOINTS, franka.HOME_RAD, strict=True), start=1
            )
        ),
        ServoJoint(
            franka.GRIPPER_JOINT,
            "left_driver_joint",
            "fingers_actuator",
            control_per_rad=_GRIPPER_CONTROL_PER_RAD,
            range_rad=(0.0, GRIPPER_CLOSED_RAD),
        ),
    ),
    controllers=(
        Controller("fr3_arm_controller", franka.JOINTS),
        Controller("gripper_controller", (franka.GRIPPER_JOINT,)),
    ),
    cameras=(Camera("exterior"), Camera("wrist")),
    # the policy's own size: it would not use a larger picture, and 0.17 MB fits into the
    # shared-memory segment of Fast DDS (0.5 MB, environment.md); two of 360 x 640 do not
    picture_px=(180, 320),
    # fr3_link8, the flange; gym-hil calls its body "attachment" but turns it about z
    poses=(LinkPose("ee_pose", "fr3_link0", "link7", (0.0, 0.0, franka.FLANGE_M)),),
    recorded=(),
    build_model=_franka_model,
    build_walled=_franka_model,
    torque_topic="franka_robot_state_broadcaster/external_joint_torques",
    make_task=_franka_task,
    make_policy=_franka_policy,
    link_prefix="fr3_",
    fingers=(franka.GRIPPER_JOINT,),
    mimics=tuple(
        Mimic(f"{side}_{joint}_joint", franka.GRIPPER_JOINT, scale, offset)
        for side in ("left", "right")
        for joint, scale, offset in _LINKAGE
        if (side, joint) != ("left", "driver")
    ),
    frames=(FrameLink("fr3_link8", "fr3_link7", (0.0, 0.0, franka.FLANGE_M)),),
)
"""Franka FR3 with Robotiq 2F-85."""


def _g1_model(seed: int) -> Any:
    from gr00t_ros.sim.g1.scene import build_model

    return build_model(require_assets(assets.G1), g1_layout(seed))


def _g1_task(simulation: Simulation, seed: int) -> Task:
    from gr00t_ros.sim.g1.scene import Reach

    return Reach(simulation)


def _g1_policy(embodiment: Embodiment) -> Policy:
    from gr00t_ros.sim.g1.scripted import make_policy

    return make_policy(embodiment)


_READY = {
    name: float(ready)
    for side in g1.SIDES
    for name, ready in zip(g1.ARM_JOINTS[side], g1.READY_ARM_RAD[side], strict=True)
}
# The motors' own order 0..28 (embodiments.md), then the hands.
_BODY = (*g1.LEG_JOINTS, *g1.WAIST_JOINTS, *g1.ARM_JOINTS["left"], *g1.ARM_JOINTS["right"])
_HANDS = (*g1.HAND_JOINTS["left"], *g1.HAND_JOINTS["right"])

G1 = RobotDescription(
    name="g1",
    title="Unitree G1",
    model=assets.G1,
    embodiment="unitree_g1",
    instruction="reach for the red cube",
    joints=tuple(ServoJoint(name, name, name, _READY.get(name, 0.0)) for name in (*_BODY, *_HANDS)),
    controllers=(
        Controller("left_arm_controller", g1.ARM_JOINTS["left"]),
        Controller("right_arm_controller", g1.ARM_JOINTS["right"]),
        Controller("left_hand_controller", g1.HAND_JOINTS["left"]),
        Controller("right_hand_controller", g1.HAND_JOINTS["right"]),
        Controller("waist_controller", g1.WAIST_JOINTS),
    ),
    # the second camera is for people: two pictures a second
    cameras=(Camera("ego_view"), Camera("scene", divisor=15)),
    picture_px=(240, 320),
    # REAL_G1's wrists: pelvis frame, link *_wrist_yaw_link (embodiments.md)
    poses=tuple(
        LinkPose(f"{side}_wrist_pose", "pelvis", f"{side}_wrist_yaw_link") for side in g1.SIDES
    ),
    recorded=(RecordOnlyTopic("cmd_vel", "twist"), RecordOnlyTopic("base_height", "height")),
    build_model=_g1_model,
    make_task=_g1_task,
    make_policy=_g1_policy,
    fingers=_HANDS,
)
"""Unitree G1: 29 joints, Dex3-1 hands, pelvis fixed."""


def _desk6_model(seed: int) -> Any:
    from gr00t_ros.sim.desk6.scene import build_model

    return build_model(seed)


def _desk6_task(simulation: Simulation, seed: int) -> Task:
    from gr00t_ros.sim.desk6.scene import Touch

    return Touch(simulation)


def _desk6_policy(embodiment: Embodiment) -> Policy:
    from gr00t_ros.sim.desk6.scripted import make_policy

    return make_policy(embodiment)


DESK6 = RobotDescription(
    name="desk6",
    title="Desk6 (invented)",
    model=None,
    embodiment="desk6",
    instruction="touch the green cube",
    joints=tuple(
        ServoJoint(name, name, name, float(ready))
        for name, ready in zip(desk6.JOINTS, desk6.READY_RAD, strict=True)
    ),
    controllers=(Controller("arm_controller", desk6.JOINTS),),
    cameras=(Camera("front"),),
    picture_px=(240, 320),
    poses=(),
    recorded=(),
    build_model=_desk6_model,
    make_task=_desk6_task,
    make_policy=_desk6_policy,
)
"""Desk6: an invented arm that needs no model files."""

ROBOTS = {robot.name: robot for robot in (FRANKA, G1, DESK6)}
DEFAULT_ROBOT = FRANKA.name


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
