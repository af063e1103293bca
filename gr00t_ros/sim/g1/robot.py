"""The simulated Unitree G1 (29 joints, Dex3-1 hands, pelvis fixed) as data: world, task, policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.serve.policies import Policy
from gr00t_ros.sim.assets import G1 as MODEL
from gr00t_ros.sim.assets import require_assets
from gr00t_ros.sim.description import (
    Camera,
    Controller,
    Joint,
    LinkPose,
    RecordedTopic,
    RobotDescription,
    Task,
)
from gr00t_ros.sim.g1.kinematics import (
    ARM_JOINTS,
    HAND_JOINTS,
    LEG_JOINTS,
    READY_ARM_RAD,
    SIDES,
    WAIST_JOINTS,
)
from gr00t_ros.sim.g1.layout import draw_layout

if TYPE_CHECKING:
    from gr00t_ros.sim.physics import Simulation


def _build_model(seed: int) -> Any:
    from gr00t_ros.sim.g1.scene import build_model

    return build_model(require_assets(MODEL), draw_layout(seed))


def _make_task(simulation: Simulation, seed: int) -> Task:
    from gr00t_ros.sim.g1.scene import Reach

    return Reach(simulation)


def _make_policy(embodiment: Embodiment) -> Policy:
    from gr00t_ros.sim.g1.scripted import make_policy

    return make_policy(embodiment)


_READY = {
    name: float(ready)
    for side in SIDES
    for name, ready in zip(ARM_JOINTS[side], READY_ARM_RAD[side], strict=True)
}
# The motors' own order 0..28 (embodiments.md), then the hands.
_BODY = (*LEG_JOINTS, *WAIST_JOINTS, *ARM_JOINTS["left"], *ARM_JOINTS["right"])
_HANDS = (*HAND_JOINTS["left"], *HAND_JOINTS["right"])

G1 = RobotDescription(
    name="g1",
    title="Unitree G1",
    model=MODEL,
    embodiment="unitree_g1",
    instruction="reach for the red cube",
    joints=tuple(Joint(name, name, name, _READY.get(name, 0.0)) for name in (*_BODY, *_HANDS)),
    controllers=(
        Controller("left_arm_controller", ARM_JOINTS["left"]),
        Controller("right_arm_controller", ARM_JOINTS["right"]),
        Controller("left_hand_controller", HAND_JOINTS["left"]),
        Controller("right_hand_controller", HAND_JOINTS["right"]),
        Controller("waist_controller", WAIST_JOINTS),
    ),
    # the second camera is for people: two pictures a second
    cameras=(Camera("ego_view"), Camera("scene", divisor=15)),
    picture_px=(240, 320),
    # REAL_G1's wrists: pelvis frame, link *_wrist_yaw_link (embodiments.md)
    poses=tuple(
        LinkPose(f"{side}_wrist_pose", "pelvis", f"{side}_wrist_yaw_link") for side in SIDES
    ),
    recorded=(RecordedTopic("cmd_vel", "twist"), RecordedTopic("base_height", "height")),
    build_model=_build_model,
    make_task=_make_task,
    make_policy=_make_policy,
    fingers=_HANDS,
)
