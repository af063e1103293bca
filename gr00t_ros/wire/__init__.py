"""Bytes and sockets to a GR00T policy server, from the client's side; no ROS."""
