"""The invented six-joint robot of docs/own_robot.md: an example of how to add a robot."""
