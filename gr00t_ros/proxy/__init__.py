"""A process in front of a policy server that forwards requests of known clients only; no ROS."""
