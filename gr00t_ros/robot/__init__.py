"""Pure: what a robot is, read strictly from an embodiment file, with its limits and kinematics."""
