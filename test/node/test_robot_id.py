"""A running node that names its robot: it passes a server that knows it, and no other."""

from dataclasses import replace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT, SWEEP  # noqa: E402
from ros_fixtures import wait_until  # noqa: E402
from sweep_policy import SweepPolicy  # noqa: E402

from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.ros.parameters import DEFAULTS  # noqa: E402
from gr00t_ros.serve.policies import HoldPolicy  # noqa: E402
from gr00t_ros.serve.robots import Robots  # noqa: E402
from gr00t_ros.tools.doctor_checks import PASS, server  # noqa: E402


def port_of(server):
    """The port on which a server listens."""
    return int(server.address.rpartition(":")[2])


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


class Forgetful(Robots):
    """While `forgets`, it knows no robot: a late machine's pause ends with a reset in between."""

    forgets = False

    def __call__(self, observation, options):
        if self.forgets:
            self._robots.clear()
        return super().__call__(observation, options)


@NEEDS_ROBOT
def test_a_robot_that_its_server_has_forgotten_stops_and_begins_anew(rig, serve):
    """As behind a proxy whose server began anew: the connection stays, the memory is gone."""
    robots = Forgetful(lambda: SweepPolicy(load_embodiment("franka_droid")))
    rig.port = port_of(serve(robots))
    rig.start_robot()
    rig.move(robot_id="left arm", server_errors_s=0.5)
    episode = rig.statuses[-1].episode
    robots.forgets = True
    rig.wait_for_status(
        lambda s: (
            s.mode == "paused"
            and "robot_id 'left arm'" in s.reason
            and "expected its reset before" in s.reason
        ),
        "the pause",
    )
    robots.forgets = False
    rig.wait_for_status(lambda s: s.episode > episode and s.mode == "replaying", "a new episode")
    assert "fault" not in [line.partition(":")[0] for line in rig.told()]
    assert list(robots._robots) == ["left arm"]


def test_doctor_resets_nobody(serve):
    """Not the node's robot, which may be moving, nor all of them at a server without ids."""
    resets, robot = [], load_embodiment("franka_droid")

    class Watched(HoldPolicy):
        def reset(self, options):
            resets.append(options)
            return {}

    for policy in (Robots(lambda: Watched(robot)), Watched(robot)):
        values = replace(DEFAULTS, port=port_of(serve(policy)), robot_id="left arm")
        assert server(robot, values)[0].level == PASS
    assert resets == []
