"""Where cube and plate are, and whether the cube rests on the plate: the simulation's judge.

For progress lines, reports and tests. No policy may read it.
"""

from __future__ import annotations

import numpy as np

from gr00t_ros.sim.franka.calibration import CUBE_EDGE_M, PLATE_HEIGHT_M, PLATE_RADIUS_M
from gr00t_ros.sim.franka.layout import draw_layout
from gr00t_ros.sim.franka.robot import GRIPPER_JOINT
from gr00t_ros.sim.franka.scene import CUBES, PLATE
from gr00t_ros.sim.physics import Simulation

OPEN_BELOW_RAD = 0.35  # less than this cannot hold a cube of CUBE_EDGE_M


class PickAndPlace:
    """Looks at one simulation; to be called in the thread that owns it."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        """Look at this simulation's red cube and its plate."""
        self._simulation = simulation
        self._plate_m = np.array(draw_layout(seed).blue_plate_m)

    def report(self) -> dict[str, object]:
        """Return success, and the places in fr3_link0 in m, as JSON can say it."""
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
    """Say whether that cube rests on the plate, flat, and the gripper has let go."""
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
