"""Simulated robots as ROS nodes, and the scripted policies that see and act in them."""
