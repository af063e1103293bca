"""A running node that names its robot: it passes a server that knows it, and no other."""

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import SWEEP  # noqa: E402
from ros_fixtures import wait_until  # noqa: E402


def told(status):
    """The status' line about the id; empty without one."""
    return next((pair.value for pair in status.details if pair.key == "robot_id"), "")


def test_a_server_that_knows_the_id_passes_and_the_next_one_is_named_as_the_reason(rig):
    """The next one resets its policy for all robots; the node says so before anything moves."""
    rig.start_server("wave")
    rig.start_policy(robot_id="left arm")
    assert rig.change("configure")
    status = rig.wait_for_status(lambda s: s.server_generation, "a server that passed the check")
    assert told(status) == "left arm: the server keeps an episode for it"
    assert rig.change("cleanup")
    rig.server.stop()
    rig.start_server(SWEEP)
    assert rig.change("configure")
    status = rig.wait_for_reason("robot_id 'left arm'", "got a server that does not repeat it")
    assert told(status) == "left arm: the server does not know it"
    assert not status.server_generation and not rig.change("activate")
    wait_until(lambda: "policy server check" in rig.policy.text(), "a warning")
