"""Recorded bags: play, record and inspect them without ros2 bag."""
