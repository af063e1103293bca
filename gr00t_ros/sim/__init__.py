"""Simulated robots as ROS nodes, and the scripted policies that see and act in them."""

import os

# MuJoCo chooses its OpenGL when it is imported, and without a display only EGL renders.
os.environ.setdefault("MUJOCO_GL", "egl")
