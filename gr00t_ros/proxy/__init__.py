"""The process beside a policy server that lets only known clients talk to it; no ROS."""
