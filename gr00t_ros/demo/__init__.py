"""Robot, policy and node in one command, with a report: the demo, and a try of any file."""
