"""The Franka's world as a MuJoCo model: arm, 2F-85, table, cubes, plate, cameras; and its task.

Built in memory from the installed robot model (assets) and a layout. The task reports whether the
cube rests on the plate, for progress lines, reports and tests; no policy may read it.
"""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np

from gr00t_ros.sim.franka.kinematics import GRIPPER_JOINT, LOWER_RAD, UPPER_RAD
from gr00t_ros.sim.franka.layout import (
    CUBE_EDGE_M,
    EXTERIOR,
    PLATE_HEIGHT_M,
    PLATE_RADIUS_M,
    Layout,
    draw_layout,
)
from gr00t_ros.sim.physics import Simulation
from gr00t_ros.sim.world import (
    CUBE_COLOURS,
    Servo,
    add_camera,
    add_cube,
    add_room,
    add_servo,
    add_table,
    add_wall,
    prepare,
)

EXTERIOR_CAMERA = "exterior"
WRIST_CAMERA = "wrist"
CUBES = {"red": "red_cube", "green": "green_cube"}
PLATE = "blue_plate"

# Position servos: critically damped for about 1.5 kg m^2 at the base and less further out. The lag
# at 1 rad/s is less than 0.02 rad. Torques are the Franka's (limits.md).
_STIFFNESS = (20000.0, 20000.0, 15000.0, 15000.0, 4000.0, 4000.0, 2500.0)
_DAMPING = (340.0, 340.0, 230.0, 230.0, 60.0, 60.0, 35.0)
_TORQUE_NM = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)

# The robot's own lights and pads would be small coloured blobs in the picture: they are made grey.
_MATERIALS = {"light_blue": (0.55, 0.60, 0.64, 1.0), "green": (0.6, 0.64, 0.6, 1.0)}
OPEN_BELOW_RAD = 0.35  # a gripper that is open wider than this cannot hold a cube of CUBE_EDGE_M


def build_model(robot_xml: Path, layout: Layout, wall_y_m: float = 0.0) -> mujoco.MjModel:
    """Compile the world from the robot's `robot_xml` (assets.require_assets) and a layout.

    wall_y_m: as `world.add_wall`; 0 for none.
    """
    spec = mujoco.MjSpec.from_file(str(robot_xml))
    spec.modelname = "gr00t_ros franka"
    prepare(spec)
    _set_contacts(spec)
    _prepare_robot(spec)
    _add_servos(spec)
    add_room(spec, -0.75)
    add_table(spec, (0.35, 0.0, -0.02), (0.55, 0.6, 0.02))
    if wall_y_m:
        add_wall(spec, wall_y_m)
    _add_things(spec, layout)
    _add_cameras(spec)
    return spec.compile()


def _set_contacts(spec: mujoco.MjSpec) -> None:
    # Elliptic friction cones and no-slip steps: two small pads then carry a cube without creep.
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.option.noslip_iterations = 3


def _prepare_robot(spec: mujoco.MjSpec) -> None:
    for number in range(7):
        spec.joint(f"joint{number + 1}").range = (LOWER_RAD[number], UPPER_RAD[number])
    for name, rgba in _MATERIALS.items():
        spec.material(name).rgba = rgba
    for name in ("white", "off_white", "black", "dark_grey", "gray"):
        spec.material(name).specular = 0.25
        spec.material(name).shininess = 0.4


def _add_servos(spec: mujoco.MjSpec) -> None:
    for actuator in list(spec.actuators):
        if actuator.name != "fingers_actuator":
            spec.delete(actuator)
    for number, gains in enumerate(zip(_STIFFNESS, _DAMPING, _TORQUE_NM, strict=True), start=1):
        add_servo(spec, Servo(f"servo{number}", f"joint{number}", *gains))


def _add_things(spec: mujoco.MjSpec, layout: Layout) -> None:
    plate = spec.worldbody.add_body(name=PLATE, pos=(*layout.blue_plate_m, 0.5 * PLATE_HEIGHT_M))
    plate.add_geom(
        name=PLATE,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        rgba=CUBE_COLOURS["blue"],
        size=(PLATE_RADIUS_M, 0.5 * PLATE_HEIGHT_M, 0.0),
    )
    for name, place_m, yaw_rad in (
        (CUBES["red"], layout.red_cube_m, layout.red_yaw_rad),
        (CUBES["green"], layout.green_cube_m, layout.green_yaw_rad),
    ):
        add_cube(spec, name, (*place_m, 0.5 * CUBE_EDGE_M), CUBE_EDGE_M, yaw_rad)


def _add_cameras(spec: mujoco.MjSpec) -> None:
    add_camera(spec.worldbody, EXTERIOR_CAMERA, EXTERIOR)
    # As DROID's hand camera: beside the gripper, looking along the fingers.
    wrist = spec.body("attachment").add_camera(name=WRIST_CAMERA, pos=(-0.06, 0.015, 0.0))
    wrist.fovy = 60.0
    wrist.quat = (0.0, 1.0, -1.0, 0.0)


class PickAndPlace:
    """Judges one simulation; call it in the thread that owns the simulation."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        """Judge the red cube against the plate, which lies where the seed's layout has it."""
        self._simulation = simulation
        self._plate_m = np.array(draw_layout(seed).blue_plate_m)

    def report(self) -> dict[str, object]:
        """Return success, and the positions in fr3_link0 in m, as JSON values."""
        cube_m = self._simulation.data.body(CUBES["red"]).xpos
        off_m = float(np.linalg.norm(cube_m[:2] - self._plate_m))
        return {
            "success": cube_on_plate(self._simulation),
            "progress": f"cube {off_m:.2f} m from plate",
            "cube_m": cube_m.round(4).tolist(),
            "plate_m": self._plate_m.round(4).tolist(),
            "cube_to_plate_m": round(off_m, 4),
        }


def cube_on_plate(simulation: Simulation, colour: str = "red") -> bool:
    """Whether that cube rests flat on the plate and the gripper has released it."""
    data = simulation.data
    cube, plate = data.body(CUBES[colour]), data.body(PLATE)
    beside = np.linalg.norm(cube.xpos[:2] - plate.xpos[:2])
    height = cube.xpos[2] - (PLATE_HEIGHT_M + 0.5 * CUBE_EDGE_M)
    speed = np.linalg.norm(data.joint(CUBES[colour]).qvel[:3])
    names, position, _ = simulation.joint_state()
    return bool(
        beside < PLATE_RADIUS_M
        and abs(height) < 0.004
        and speed < 0.01
        and position[names.index(GRIPPER_JOINT)] < OPEN_BELOW_RAD
    )
