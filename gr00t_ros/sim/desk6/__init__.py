"""The invented six-joint robot of docs/own_robot.md, as a newcomer would add one."""
