"""The demo: the simulated robot, its policy and the node in one command, with a report."""
