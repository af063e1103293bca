"""What the robot's ROS graph tells beside its sensors: controllers, description, streamers."""
