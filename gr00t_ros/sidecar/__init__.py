"""The command gr00t sidecar: questions to policy servers, and servers of this package; no ROS."""
