"""The pure room: numpy in, numpy out; no ROS, clock, thread, lock, socket, file or log."""
