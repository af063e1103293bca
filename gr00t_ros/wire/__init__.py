"""The client's side of a GR00T policy server: bytes and sockets, no ROS."""
