"""Whether a hand rests at the red cube: the simulation's judge.

For progress lines, reports and tests. No policy may read it.
"""

from __future__ import annotations

import numpy as np

from gr00t_ros.sim.g1.kinematics import PALM_M, SIDES
from gr00t_ros.sim.g1.layout import COLOURS
from gr00t_ros.sim.physics import Simulation

NEAR_M = 0.10
"""Palm's middle to cube's middle: a palm's thickness and half a cube are 4 cm of it."""
HELD_S = 1.0


class Reach:
    """Looks at one simulation; to be called in the thread that owns it."""

    def __init__(self, simulation: Simulation, colour: str = "red") -> None:
        """Look at both palms and at the cube of that colour."""
        self._simulation, self._colour = simulation, colour
        self._near_since_s: float | None = None

    def report(self) -> dict[str, object]:
        """Return success and distances in m, as JSON can say it.

        Success: for HELD_S the same cube has been within NEAR_M of a palm and nearer than the
        others. It is only as often judged as this is called.
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
