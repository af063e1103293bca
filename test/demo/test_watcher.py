"""What the demo counts of a run."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

import rclpy  # noqa: E402

from gr00t_ros.demo.watcher import Watcher  # noqa: E402
from gr00t_ros.msg import ActionChunk  # noqa: E402


def test_a_chunk_that_came_in_a_pause_counts_as_dropped_and_not_as_refused(ros_domain):
    """A late machine pauses the arm while the server answers: no fault of the policy."""
    rclpy.init()
    try:
        watcher = Watcher([])
        for accepted, reason in (
            (True, ""),
            (True, "fr3_joint4, step 2: clamped"),
            (False, "fr3_joint4, step 0: a jump"),
            (False, "dropped: of an older episode, or not wanted now"),
            (False, "dropped: all 40 steps due 33 ms or more ago"),
        ):
            watcher._on_chunk(ActionChunk(accepted=accepted, reason=reason))
        assert (watcher.accepted, watcher.refused, watcher.dropped) == (2, 1, 2)
        watcher.destroy_node()
    finally:
        rclpy.shutdown()
