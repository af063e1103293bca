"""The shell: ROS messages, topics, clocks, parameters and the lifecycle node."""
