"""Policy servers of ours that stand in for GR00T; no ROS."""
