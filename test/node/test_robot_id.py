"""A running node that names its robot: it passes a server that knows it, and no other."""

from dataclasses import replace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import SWEEP  # noqa: E402
from ros_fixtures import wait_until  # noqa: E402

from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.ros.parameters import DEFAULTS  # noqa: E402
from gr00t_ros.serve.policies import HoldPolicy  # noqa: E402
from gr00t_ros.serve.robots import Robots  # noqa: E402
from gr00t_ros.tools.doctor_checks import FAIL, PASS, server  # noqa: E402


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


def test_doctor_asks_as_another_robot(serve):
    """The node's own may be moving by its episode; and what does not know the id does not pass."""
    resets, robot = [], load_embodiment("franka_droid")

    class Watched(HoldPolicy):
        def reset(self, options):
            resets.append(options["robot_id"])
            return {}

    def rows_at(address):
        port = int(address.rpartition(":")[2])
        return server(robot, replace(DEFAULTS, port=port, robot_id="left arm"))

    assert rows_at(serve(Robots(lambda: Watched(robot))).address)[0].level == PASS
    assert resets and "left arm" not in resets
    (row,) = [row for row in rows_at(serve(Watched(robot)).address) if row.level == FAIL]
    assert "does not repeat it" in row.text
