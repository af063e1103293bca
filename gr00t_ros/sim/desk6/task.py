"""Whether Desk6's tip rests above the green cube: the simulation's judge. No policy may read it."""

from __future__ import annotations

import numpy as np

from gr00t_ros.sim.physics import Simulation

NEAR_M = 0.06
"""Tip to the cube's middle: half a cube is 2.5 cm of it."""
HELD_S = 0.5


class Touch:
    """Looks at one simulation; to be called in the thread that owns it."""

    def __init__(self, simulation: Simulation) -> None:
        """Look at the tip and at the green cube."""
        self._simulation = simulation
        self._near_since_s: float | None = None

    def report(self) -> dict[str, object]:
        """Return success and the tip's distance from the cube's middle, as JSON can say it."""
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
