"""What every simulated world has: time step, servos, light, floor, table, cubes, fixed cameras.

Adds parts to a MuJoCo specification; does not depend on a robot or a task.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from gr00t_ros.sim.vision import PinholeCamera

TIMESTEP_S = 0.002
WALL = "wall"
"""Name of the wall's body and shape."""
WALL_N_M = 10_000.0
"""Its stiffness, N/m."""

Rgba = tuple[float, float, float, float]
Point = tuple[float, float, float]

CUBE_COLOURS: dict[str, Rgba] = {
    "red": (0.82, 0.09, 0.08, 1.0),
    "green": (0.10, 0.60, 0.20, 1.0),
    "blue": (0.10, 0.26, 0.78, 1.0),
    "yellow": (0.85, 0.70, 0.08, 1.0),
}


@dataclass(frozen=True, slots=True)
class Servo:
    """A position servo on one joint of the model: Nm/rad, Nm s/rad, Nm."""

    name: str
    joint: str
    stiffness: float
    damping: float
    torque_nm: float


def prepare(spec: mujoco.MjSpec) -> None:
    """Set the time step, compensate gravity, and delete the model's own sensors and cameras."""
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    for body in spec.bodies:
        body.gravcomp = 1.0
    for thing in (*spec.sensors, *spec.cameras):
        spec.delete(thing)


def add_servo(spec: mujoco.MjSpec, servo: Servo) -> None:
    """Add a position servo with its torque limit."""
    added = spec.add_actuator(name=servo.name, target=servo.joint)
    added.trntype = mujoco.mjtTrn.mjTRN_JOINT
    added.gaintype = mujoco.mjtGain.mjGAIN_FIXED
    added.biastype = mujoco.mjtBias.mjBIAS_AFFINE
    added.gainprm[0] = servo.stiffness
    added.biasprm[:3] = (0.0, -servo.stiffness, -servo.damping)
    added.forcerange = (-servo.torque_nm, servo.torque_nm)
    added.forcelimited = True


def add_room(spec: mujoco.MjSpec, floor_m: float) -> None:
    """Add sky, lamp and a floor at height `floor_m`."""
    sky = spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
    )
    sky.width, sky.height = 32, 192
    sky.rgb1, sky.rgb2 = (0.9, 0.92, 0.94), (0.62, 0.68, 0.74)
    spec.visual.headlight.ambient = (0.36, 0.36, 0.37)
    spec.visual.headlight.diffuse = (0.22, 0.22, 0.22)
    spec.visual.headlight.specular = (0.05, 0.05, 0.05)
    spec.worldbody.add_light(
        name="lamp",
        pos=(0.9, 0.9, 2.2),
        dir=(-0.35, -0.45, -1.0),
        diffuse=(0.62, 0.6, 0.57),
        specular=(0.2, 0.2, 0.2),
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
    )
    spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=(0, 0, floor_m),
        size=(4, 4, 0.1),
        rgba=(0.50, 0.52, 0.55, 1.0),
    )


def add_table(spec: mujoco.MjSpec, middle_m: Point, half_m: Point) -> None:
    """Add the table top, a fixed box."""
    spec.worldbody.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=middle_m,
        size=half_m,
        rgba=(0.70, 0.66, 0.60, 1.0),
        friction=(0.9, 0.005, 1e-4),
    )


def add_wall(spec: mujoco.MjSpec, y_m: float) -> None:
    """Add a padded wall beside the robot, above the table, whose face looks at it from `y_m`.

    It gives way like a spring, so that the force on it rises over some ticks and can be measured.
    """
    body = spec.worldbody.add_body(name=WALL, pos=(0.6, y_m + np.copysign(0.05, y_m), 0.55))
    joint = body.add_joint(name=WALL, type=mujoco.mjtJoint.mjJNT_SLIDE, axis=(0, 1, 0))
    joint.stiffness[0], joint.damping[0] = WALL_N_M, 200.0
    body.add_geom(
        name=WALL,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(0.3, 0.05, 0.4),
        mass=1.0,
        rgba=(0.55, 0.55, 0.50, 1.0),
    )


def add_cube(
    spec: mujoco.MjSpec, name: str, middle_m: Point, edge_m: float, yaw_rad: float
) -> None:
    """Add a free cube of 60 g; `name` is a colour followed by `_cube`."""
    turn = (np.cos(0.5 * yaw_rad), 0.0, 0.0, np.sin(0.5 * yaw_rad))
    body = spec.worldbody.add_body(name=name, pos=middle_m, quat=turn)
    body.add_freejoint(name=name)
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=(0.5 * edge_m,) * 3,
        mass=0.06,
        rgba=CUBE_COLOURS[name.removesuffix("_cube")],
        friction=(1.0, 0.005, 1e-4),
    )


def add_camera(body: mujoco.MjsBody, name: str, camera: PinholeCamera) -> None:
    """Add a camera to a body, calibrated in that body's frame."""
    added = body.add_camera(name=name, pos=camera.position_m)
    added.fovy = np.degrees(camera.vertical_fov_rad)
    turn = np.empty(4)
    mujoco.mju_mat2Quat(turn, camera.axes.flatten())
    added.quat = turn
