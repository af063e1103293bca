"""The simulated world as a MuJoCo model: Franka, 2F-85, table, two cubes, a plate, two cameras.

Built in memory from the installed robot model (assets.py) and a layout. It names what it adds;
stepping is physics.py's, pictures are cameras.py's.
"""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np

from gr00t_ros.sim.calibration import CUBE_EDGE_M, EXTERIOR, PLATE_HEIGHT_M, PLATE_RADIUS_M
from gr00t_ros.sim.kinematics import LOWER_RAD, UPPER_RAD
from gr00t_ros.sim.layout import Layout

TIMESTEP_S = 0.002
EXTERIOR_CAMERA = "exterior"
WRIST_CAMERA = "wrist"
CUBES = {"red": "red_cube", "green": "green_cube"}
PLATE = "blue_plate"

# Position servos: critically damped for about 1.5 kg m^2 at the base and less outwards, so stiff
# that 1 rad/s lags by less than 0.02 rad. Torques are the Franka's (limits.md).
_STIFFNESS = (20000.0, 20000.0, 15000.0, 15000.0, 4000.0, 4000.0, 2500.0)
_DAMPING = (340.0, 340.0, 230.0, 230.0, 60.0, 60.0, 35.0)
_TORQUE_NM = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)

Rgb = tuple[float, float, float]

_COLOURS = {
    "red_cube": (0.82, 0.09, 0.08, 1.0),
    "green_cube": (0.10, 0.60, 0.20, 1.0),
    PLATE: (0.10, 0.26, 0.78, 1.0),
}
# The robot's own lights and pads would be small coloured blobs: kept grey.
_MATERIALS = {"light_blue": (0.55, 0.60, 0.64, 1.0), "green": (0.6, 0.64, 0.6, 1.0)}


def build_model(robot_xml: Path, layout: Layout) -> mujoco.MjModel:
    """Compile the world from the robot's `robot_xml` (assets.require_assets) and a layout."""
    spec = mujoco.MjSpec.from_file(str(robot_xml))
    spec.modelname = "gr00t_ros franka_droid"
    _set_options(spec)
    _prepare_robot(spec)
    _add_servos(spec)
    _add_room(spec)
    _add_things(spec, layout)
    _add_cameras(spec)
    return spec.compile()


def _set_options(spec: mujoco.MjSpec) -> None:
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # Friction cones and no-slip steps that let two small pads carry a cube without creep.
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.option.noslip_iterations = 3


def _prepare_robot(spec: mujoco.MjSpec) -> None:
    for body in spec.bodies:
        body.gravcomp = 1.0
    for number in range(7):
        spec.joint(f"joint{number + 1}").range = (LOWER_RAD[number], UPPER_RAD[number])
    for name, rgba in _MATERIALS.items():
        spec.material(name).rgba = rgba
    for name in ("white", "off_white", "black", "dark_grey", "gray"):
        spec.material(name).specular = 0.25
        spec.material(name).shininess = 0.4
    for sensor in list(spec.sensors):
        spec.delete(sensor)
    for camera in list(spec.cameras):
        spec.delete(camera)


def _add_servos(spec: mujoco.MjSpec) -> None:
    for actuator in list(spec.actuators):
        if actuator.name != "fingers_actuator":
            spec.delete(actuator)
    for number, gains in enumerate(zip(_STIFFNESS, _DAMPING, _TORQUE_NM, strict=True), start=1):
        stiffness, damping, torque = gains
        servo = spec.add_actuator(name=f"servo{number}", target=f"joint{number}")
        servo.trntype = mujoco.mjtTrn.mjTRN_JOINT
        servo.gaintype = mujoco.mjtGain.mjGAIN_FIXED
        servo.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        servo.gainprm[0] = stiffness
        servo.biasprm[:3] = (0.0, -stiffness, -damping)
        servo.forcerange = (-torque, torque)
        servo.forcelimited = True


def _add_room(spec: mujoco.MjSpec) -> None:
    _add_texture(
        spec, "sky", mujoco.mjtTexture.mjTEXTURE_SKYBOX, (0.62, 0.68, 0.74), (0.9, 0.92, 0.94)
    )
    world = spec.worldbody
    spec.visual.headlight.ambient = (0.36, 0.36, 0.37)
    spec.visual.headlight.diffuse = (0.22, 0.22, 0.22)
    spec.visual.headlight.specular = (0.05, 0.05, 0.05)
    world.add_light(
        name="lamp",
        pos=(0.9, 0.9, 2.2),
        dir=(-0.35, -0.45, -1.0),
        diffuse=(0.62, 0.6, 0.57),
        specular=(0.2, 0.2, 0.2),
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
    )
    plain = mujoco.mjtGeom
    world.add_geom(
        name="floor",
        type=plain.mjGEOM_PLANE,
        pos=(0, 0, -0.75),
        size=(4, 4, 0.1),
        rgba=(0.50, 0.52, 0.55, 1.0),
    )
    world.add_geom(
        name="table",
        type=plain.mjGEOM_BOX,
        pos=(0.35, 0.0, -0.02),
        size=(0.55, 0.6, 0.02),
        rgba=(0.70, 0.66, 0.60, 1.0),
        friction=(0.9, 0.005, 1e-4),
    )


def _add_texture(spec: mujoco.MjSpec, name: str, kind: int, low: Rgb, high: Rgb) -> None:
    texture = spec.add_texture(name=name, type=kind, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT)
    texture.width, texture.height = 32, 192
    texture.rgb1, texture.rgb2 = high, low


def _add_things(spec: mujoco.MjSpec, layout: Layout) -> None:
    world, shapes = spec.worldbody, mujoco.mjtGeom
    plate = world.add_body(name=PLATE, pos=(*layout.blue_plate_m, 0.5 * PLATE_HEIGHT_M))
    plate.add_geom(
        name=PLATE,
        type=shapes.mjGEOM_CYLINDER,
        rgba=_COLOURS[PLATE],
        size=(PLATE_RADIUS_M, 0.5 * PLATE_HEIGHT_M, 0.0),
    )
    half = 0.5 * CUBE_EDGE_M
    starts = {
        "red_cube": (layout.red_cube_m, layout.red_yaw_rad),
        "green_cube": (layout.green_cube_m, layout.green_yaw_rad),
    }
    for name, (place, yaw) in starts.items():
        turn = (np.cos(0.5 * yaw), 0.0, 0.0, np.sin(0.5 * yaw))
        body = world.add_body(name=name, pos=(*place, half), quat=turn)
        body.add_freejoint(name=name)
        body.add_geom(
            name=name,
            type=shapes.mjGEOM_BOX,
            size=(half, half, half),
            mass=0.06,
            rgba=_COLOURS[name],
            friction=(1.0, 0.005, 1e-4),
        )


def _add_cameras(spec: mujoco.MjSpec) -> None:
    exterior = spec.worldbody.add_camera(name=EXTERIOR_CAMERA, pos=EXTERIOR.position_m)
    exterior.fovy = np.degrees(EXTERIOR.vertical_fov_rad)
    turn = np.empty(4)
    mujoco.mju_mat2Quat(turn, EXTERIOR.axes.flatten())
    exterior.quat = turn
    # Where DROID has its hand camera: beside the gripper, looking along the fingers.
    wrist = spec.body("attachment").add_camera(name=WRIST_CAMERA, pos=(-0.06, 0.015, 0.0))
    wrist.fovy = 60.0
    wrist.quat = (0.0, 1.0, -1.0, 0.0)
