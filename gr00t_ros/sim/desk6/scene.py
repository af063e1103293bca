"""Desk6's world as a MuJoCo model of simple shapes, and its task.

Needs no installed model. The task reports whether the tip rests above the green cube; no policy may
read it.
"""

from __future__ import annotations

import mujoco
import numpy as np

from gr00t_ros.sim.desk6 import kinematics as k
from gr00t_ros.sim.physics import Simulation
from gr00t_ros.sim.vision import looking_at
from gr00t_ros.sim.world import Servo, add_camera, add_cube, add_room, add_servo, add_table, prepare

CUBE_EDGE_M = 0.05
COLOURS = ("green", "red")
REACH_X_M, REACH_Y_M, APART_M = (0.26, 0.38), (-0.2, 0.2), 0.12
CAMERA = looking_at((0.95, 0.0, 0.75), (0.30, 0.0, 0.0), float(np.radians(45.0)))
_UP, _ALONG = (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)
# Each link: the joint's axis, its length up to the next joint (m), its radius (m).
_LINKS = (
    (_UP, k.SHOULDER_M, 0.05),
    (_ALONG, k.UPPER_M, 0.04),
    (_ALONG, 0.1, 0.035),
    (_UP, k.FOREARM_M - 0.1, 0.03),
    (_ALONG, 0.05, 0.025),
    (_UP, k.TIP_M - 0.05, 0.012),
)
NEAR_M = 0.06
"""Distance of the tip from the cube's middle; half a cube is 2.5 cm of it."""
HELD_S = 0.5


def draw_cubes(seed: int) -> tuple[tuple[float, float], ...]:
    """Return the positions (x, y) m of the cubes of COLOURS in the base; one seed, one result."""
    random = np.random.default_rng(seed)
    low, high = zip(REACH_X_M, REACH_Y_M, strict=True)
    while True:
        places = random.uniform(low, high, size=(len(COLOURS), 2))
        if np.linalg.norm(places[0] - places[1]) > APART_M:
            return tuple((float(x), float(y)) for x, y in places)


def build_model(seed: int) -> mujoco.MjModel:
    """Compile the world of `seed`."""
    spec = mujoco.MjSpec()
    spec.modelname = "gr00t_ros desk6"
    body = spec.worldbody
    height_m = 0.0
    for name, (axis, length_m, radius_m) in zip(k.JOINTS, _LINKS, strict=True):
        body = body.add_body(name=f"{name}_link", pos=(0.0, 0.0, height_m))
        body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=axis, armature=0.02)
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=(0.0, 0.0, 0.0, 0.0, 0.0, length_m),
            size=(radius_m, 0.0, 0.0),
            rgba=(0.85, 0.83, 0.78, 1.0),
            mass=0.5,
            contype=0,  # links pass through each other and through things: the arm only points
            conaffinity=0,
        )
        height_m = length_m
    body.add_site(name="tip", pos=(0.0, 0.0, height_m))
    prepare(spec)
    for name in k.JOINTS:
        add_servo(spec, Servo(name, name, 400.0, 25.0, 60.0))
    add_room(spec, -0.75)
    add_table(spec, (0.25, 0.0, -0.02), (0.45, 0.45, 0.02))
    for colour, (x, y) in zip(COLOURS, draw_cubes(seed), strict=True):
        add_cube(spec, f"{colour}_cube", (x, y, 0.5 * CUBE_EDGE_M), CUBE_EDGE_M, 0.0)
    add_camera(spec.worldbody, "front", CAMERA)
    return spec.compile()


class Touch:
    """Judges one simulation; call it in the thread that owns the simulation."""

    def __init__(self, simulation: Simulation) -> None:
        """Judge the tip against the green cube."""
        self._simulation = simulation
        self._near_since_s: float | None = None

    def report(self) -> dict[str, object]:
        """Return success and the tip's distance from the cube's middle, as JSON values."""
        data = self._simulation.data
        off_m = float(np.linalg.norm(data.site("tip").xpos - data.body("green_cube").xpos))
        now_s = self._simulation.time
        if off_m >= NEAR_M:
            self._near_since_s = None
        elif self._near_since_s is None:
            self._near_since_s = now_s
        held_s = 0.0 if self._near_since_s is None else now_s - self._near_since_s
        return {
            "success": held_s >= HELD_S,
            "progress": f"tip {off_m:.2f} m from the green cube",
            "tip_to_cube_m": round(off_m, 4),
        }
