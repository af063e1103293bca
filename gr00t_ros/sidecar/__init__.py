"""The other process: bytes, sockets and processes of a GR00T policy server; no ROS."""
