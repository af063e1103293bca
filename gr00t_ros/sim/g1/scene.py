"""The G1's world as a MuJoCo model: robot with its pelvis fixed, table, cubes; and its task.

The installed model (assets) has no moving hands: each rubber hand is replaced by three fingers with
the names, ranges and torques of the Dex3-1 (limits.md) and with our own simple shapes. The task
reports whether a hand rests at the red cube; no policy may read it.
"""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np

from gr00t_ros.sim.g1 import kinematics as k
from gr00t_ros.sim.g1.kinematics import PALM_M, SIDES
from gr00t_ros.sim.g1.layout import COLOURS, CUBE_EDGE_M, PELVIS_M, TABLE_M, Layout
from gr00t_ros.sim.physics import Simulation
from gr00t_ros.sim.vision import PinholeCamera, looking_at
from gr00t_ros.sim.world import Servo, add_camera, add_cube, add_room, add_servo, add_table, prepare

EGO_CAMERA = "ego_view"
SCENE_CAMERA = "scene"
# A view for people from the robot's front left: its whole upper body and the table.
_SCENE = looking_at((1.15, 0.75, 0.62), (0.16, 0.0, 0.14), float(np.radians(40.0)))

# Nm/rad, Nm s/rad, Nm (limits.md) of each joint by its name without the side. The lag at 1.5 rad/s
# is less than 0.05 rad; damping is about critical for the links that the joint carries.
_SERVOS = {
    "hip_pitch": (500.0, 25.0, 88.0),
    "hip_roll": (500.0, 25.0, 139.0),
    "hip_yaw": (300.0, 15.0, 88.0),
    "knee": (500.0, 25.0, 139.0),
    "ankle_pitch": (100.0, 4.0, 35.0),
    "ankle_roll": (100.0, 4.0, 35.0),
    "waist_yaw": (1500.0, 60.0, 88.0),
    "waist_roll": (1500.0, 60.0, 35.0),
    "waist_pitch": (1500.0, 60.0, 35.0),
    "shoulder_pitch": (400.0, 12.0, 25.0),
    "shoulder_roll": (400.0, 12.0, 25.0),
    "shoulder_yaw": (250.0, 6.0, 25.0),
    "elbow": (250.0, 6.0, 25.0),
    "wrist_roll": (80.0, 1.6, 25.0),
    "wrist_pitch": (80.0, 1.6, 5.0),
    "wrist_yaw": (80.0, 1.6, 5.0),
}
_ARMATURE = 0.01  # kg m^2, rotor inertia: about that of Unitree's arm motors behind their gears
_FINGER_SERVO = (6.0, 0.12, 1.4)
_FINGER_ARMATURE = 2e-4
# Dex3-1: lower and upper of the left hand's joints, rad (limits.md); the right hand mirrors all
# but thumb_0.
FINGER_RANGES = {
    "thumb_0": (-1.0472, 1.0472),
    "thumb_1": (-0.6109, 1.0472),
    "thumb_2": (0.0, 1.7453),
    "middle_0": (-1.5708, 0.0),
    "middle_1": (-1.7453, 0.0),
    "index_0": (-1.5708, 0.0),
    "index_1": (-1.7453, 0.0),
}
NEAR_M = 0.10
"""Distance of the palm's middle from the cube's middle; the palm's thickness and half a cube are
4 cm of it."""
HELD_S = 1.0
_GREY, _DARK = (0.55, 0.56, 0.58, 1.0), (0.16, 0.16, 0.17, 1.0)


def build_model(robot_xml: Path, layout: Layout) -> mujoco.MjModel:
    """Compile the world from the robot's `robot_xml` (assets.require_assets) and a layout."""
    spec = mujoco.MjSpec.from_file(str(robot_xml))
    spec.modelname = "gr00t_ros g1"
    _fix_pelvis(spec)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _replace_hand(spec, side, sign)
    prepare(spec)
    _add_servos(spec)
    add_room(spec, -PELVIS_M)
    add_table(spec, (0.48, 0.0, TABLE_M - 0.02), (0.28, 0.55, 0.02))
    for colour, place_m, yaw in zip(COLOURS, layout.cubes_m, layout.yaws_rad, strict=True):
        middle = (*place_m, TABLE_M + 0.5 * CUBE_EDGE_M)
        add_cube(spec, f"{colour}_cube", middle, CUBE_EDGE_M, yaw)
    ego = PinholeCamera(k.CAMERA_M, k.camera_axes(), k.CAMERA_FOV_RAD)
    add_camera(spec.body("torso_link"), EGO_CAMERA, ego)
    add_camera(spec.worldbody, SCENE_CAMERA, _SCENE)
    return spec.compile()


def _fix_pelvis(spec: mujoco.MjSpec) -> None:
    spec.delete(spec.joint("floating_base_joint"))
    pelvis = spec.body("pelvis")
    pelvis.pos = (0.0, 0.0, 0.0)
    for light in list(spec.lights):
        spec.delete(light)
    spec.material("silver").rgba = (0.72, 0.73, 0.75, 1.0)
    spec.material("black").rgba = _DARK


def _replace_hand(spec: mujoco.MjSpec, side: str, sign: float) -> None:
    wrist = spec.body(f"{side}_wrist_yaw_link")
    for geom in list(wrist.geoms):
        if geom.meshname == f"{side}_rubber_hand" or geom.name == f"{side}_hand_collision":
            spec.delete(geom)
    wrist.add_geom(
        name=f"{side}_palm",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=(k.PALM_M, 0.0, 0.0),
        size=(0.04, 0.016, 0.038),
        rgba=_DARK,
        mass=0.05,
    )
    for finger, height in (("index", 0.026), ("middle", -0.026)):
        base = _finger(wrist, side, f"{finger}_0", (0.122, 0.0, height), (1, 0, 0), (0, 0, 1), sign)
        _finger(base, side, f"{finger}_1", (0.045, 0.0, 0.0), (1, 0, 0), (0, 0, 1), sign)
    out = (0.0, -sign, 0.0)
    base = _finger(wrist, side, "thumb_0", (0.07, -0.018 * sign, 0.0), out, (1, 0, 0), sign, 0.012)
    base = _finger(base, side, "thumb_1", (0.0, -0.014 * sign, 0.0), out, (0, 0, 1), sign)
    _finger(base, side, "thumb_2", (0.0, -0.045 * sign, 0.0), out, (0, 0, 1), sign)


def _finger(
    parent: mujoco.MjsBody,
    side: str,
    name: str,
    place_m: tuple[float, float, float],
    along: tuple[float, float, float],
    axis: tuple[float, float, float],
    sign: float,
    length_m: float = 0.038,
) -> mujoco.MjsBody:
    """Add one finger link with its joint; `along` is the link's direction in the hand's frame."""
    body = parent.add_body(name=f"{side}_hand_{name}_link", pos=place_m)
    low, high = FINGER_RANGES[name]
    mirrored = sign < 0.0 and name != "thumb_0"
    body.add_joint(
        name=f"{side}_hand_{name}_joint",
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=axis,
        range=(-high, -low) if mirrored else (low, high),
        armature=_FINGER_ARMATURE,
    )
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=(0.0, 0.0, 0.0, *(length_m * part for part in along)),
        size=(0.010, 0.0, 0.0),
        rgba=_GREY,
        mass=0.02,
        # links of one hand overlap and must not collide; they collide with everything else
        contype=2,
        conaffinity=1,
    )
    return body


def _add_servos(spec: mujoco.MjSpec) -> None:
    for joint in [*k.LEG_JOINTS, *k.WAIST_JOINTS, *k.ARM_JOINTS["left"], *k.ARM_JOINTS["right"]]:
        kind = joint.removesuffix("_joint").removeprefix("left_").removeprefix("right_")
        spec.joint(joint).armature = _ARMATURE
        add_servo(spec, Servo(joint, joint, *_SERVOS[kind]))
    for side in k.SIDES:
        for joint in k.HAND_JOINTS[side]:
            add_servo(spec, Servo(joint, joint, *_FINGER_SERVO))


class Reach:
    """Judges one simulation; call it in the thread that owns the simulation."""

    def __init__(self, simulation: Simulation, colour: str = "red") -> None:
        """Judge both palms against the cube of that colour."""
        self._simulation, self._colour = simulation, colour
        self._near_since_s: float | None = None

    def report(self) -> dict[str, object]:
        """Return success and distances in m, as JSON values.

        Success: for HELD_S the wanted cube has been within NEAR_M of a palm and nearer than the
        others. Only the times at which this method is called are judged.
        """
        off_m = self.distances_m()
        nearest = min(off_m, key=lambda colour: off_m[colour])
        near = nearest == self._colour and off_m[nearest] < NEAR_M
        now_s = self._simulation.time
        self._near_since_s = (self._near_since_s or now_s) if near else None
        held_s = 0.0 if self._near_since_s is None else now_s - self._near_since_s
        return {
            "success": held_s >= HELD_S,
            "progress": f"hand {off_m[self._colour]:.2f} m from the {self._colour} cube",
            "hand_to_cube_m": {colour: round(off, 4) for colour, off in off_m.items()},
            "held_s": round(held_s, 3),
        }

    def distances_m(self) -> dict[str, float]:
        """Return for each colour the distance of its cube from the nearer palm, m."""
        data = self._simulation.data
        palms = []
        for side in SIDES:
            wrist = data.body(f"{side}_wrist_yaw_link")
            palms.append(wrist.xpos + wrist.xmat.reshape(3, 3)[:, 0] * PALM_M)
        return {
            colour: min(
                float(np.linalg.norm(palm - data.body(f"{colour}_cube").xpos)) for palm in palms
            )
            for colour in COLOURS
        }
