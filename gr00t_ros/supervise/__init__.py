"""Starts, watches and ends a policy server described by a profile; no ROS."""
