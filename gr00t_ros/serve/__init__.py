"""Policy servers of this package, which replace GR00T's own in tests and demos; no ROS."""
