"""What is read from the robot's ROS graph besides sensors: controllers, description, streamers."""
