"""The G1 stops inside its limits when its server and then its node fail, by its own record."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from closed_loop import NEEDS_G1
from ros_fixtures import collect

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from geometry_msgs.msg import Twist  # noqa: E402
from stack import TAIL_LIMIT_NS, Stack, assert_inside_the_limits, rows_from, unstarted  # noqa: E402

from gr00t_ros.sim.robots import G1  # noqa: E402

pytestmark = NEEDS_G1


@pytest.fixture
def stack(ros_node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A G1 that is not started yet, and is gone afterwards."""
    with unstarted(ros_node, tmp_path, monkeypatch, G1) as stack:
        yield stack


def test_a_dead_server_pauses_every_joint_and_a_killed_node_leaves_them_and_the_base_at_rest(
    stack: Stack, ros_node: Any
) -> None:
    """Arms, waist and hands of one plan: inside their limits, at rest within the last window."""
    base = collect(ros_node, Twist, "/cmd_vel")
    stack.start(seed=3, real_time_factor=0.5)  # at full speed it takes 1.6 of two processors

    stack.wait_for_motion()
    stack.send("sidecar", signal.SIGKILL)
    stack.wait_for_mode("holding", "paused")
    stack.start_sidecar()

    stack.wait_for_motion()
    killed_ns = stack.send("policy", signal.SIGKILL)
    stack.wait_for_robot_time(killed_ns + TAIL_LIMIT_NS + 500_000_000)
    record = stack.record()
    begin, end = (rows_from(record, killed_ns + ns) for ns in (0, TAIL_LIMIT_NS))
    assert abs(record.velocity[begin]).max() > 0.01, "the fault did not hit a moving robot"
    assert not record.velocity[end:].any(), "the tail must have ended at rest"
    assert_inside_the_limits(record, G1.embodiment)
    assert base and base[-1] == Twist(), "the base was told to stand"
