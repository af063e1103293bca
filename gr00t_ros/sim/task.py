"""What the simulation knows of the task: where cube and plate are, and whether it is done.

For progress lines, reports and tests. No policy may read it.
"""

import numpy as np

from gr00t_ros.sim.physics import Simulation
from gr00t_ros.sim.scene import CUBES


class TaskState:
    """Looks at one simulation; to be called in the thread that owns it."""

    def __init__(self, simulation: Simulation) -> None:
        """Look at this simulation's red cube and its plate."""
        self._simulation = simulation
        self._cube_at = int(simulation.model.joint(CUBES["red"]).qposadr[0])

    def report(self) -> dict[str, object]:
        """Return success, and the places in fr3_link0 in m, as JSON can say it."""
        cube_m = self._simulation.positions()[self._cube_at : self._cube_at + 3]
        plate_m = np.array(self._simulation.layout.blue_plate_m)
        return {
            "success": self._simulation.cube_on_plate(),
            "cube_m": cube_m.round(4).tolist(),
            "plate_m": plate_m.round(4).tolist(),
            "cube_to_plate_m": round(float(np.linalg.norm(cube_m[:2] - plate_m)), 4),
        }
