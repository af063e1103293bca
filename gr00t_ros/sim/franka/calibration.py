"""The exterior camera's calibration and the things' sizes: all that scene and policy share.

On a real robot these numbers come from a calibration and a ruler. Plain numpy: no simulator, no
image, no task. The frame is fr3_link0, whose origin lies on the table's surface.
"""

from __future__ import annotations

import numpy as np

from gr00t_ros.sim.pinhole import looking_at

CUBE_EDGE_M = 0.04
PLATE_RADIUS_M = 0.075
PLATE_HEIGHT_M = 0.008

# Oblique from the front left, as DROID's left exterior camera sees the robot and its table.
EXTERIOR = looking_at((1.04, 0.58, 0.70), (0.36, -0.02, 0.215), float(np.radians(54.0)))
