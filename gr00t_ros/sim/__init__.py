"""Simulated robots as ROS nodes, and the scripted policies that see and act in them."""

import os

# MuJoCo selects its OpenGL backend when it is imported; without a display only EGL renders.
os.environ.setdefault("MUJOCO_GL", "egl")
