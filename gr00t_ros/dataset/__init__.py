"""Datasets of episodes in LeRobot's formats and GR00T's flavour of them, no ROS."""
