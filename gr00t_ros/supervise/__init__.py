"""Starting, watching and ending a policy server by a profile; no ROS."""
