"""Recorded bags: played, recorded and looked into without ros2 bag."""
