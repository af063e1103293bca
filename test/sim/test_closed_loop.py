"""The arm stops inside its limits when server, camera or node fail, by the robot's own record.

One bring-up serves two faults where the first fault must leave a working stack for the second.
"""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from closed_loop import NEEDS_MODEL

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from stack import (  # noqa: E402
    TAIL_LIMIT_NS,
    Stack,
    arm_speed,
    assert_inside_the_limits,
    every_core_busy,
    rows_from,
    unstarted,
)

pytestmark = NEEDS_MODEL

AT_REST = ("holding", "paused")


@pytest.fixture
def stack(ros_node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack that is not started yet, and is gone afterwards."""
    with unstarted(ros_node, tmp_path, monkeypatch) as stack:
        yield stack


def assert_moving_at(stack: Stack, moment_ns: int) -> None:
    """The record's word that a fault hit the arm in motion."""
    record = stack.record()
    assert arm_speed(record)[rows_from(record, moment_ns)] > 0.01


def test_a_dead_server_and_a_frozen_camera_stop_the_arm_and_it_goes_on_after_each(
    stack: Stack,
) -> None:
    """Stopped inside the limits, with the cause named everywhere; mended, the task is done."""
    # half as fast: a slow machine's node would pause too often to finish the task
    stack.start(seed=1, relay=True, real_time_factor=0.5, sidecar_fault_s=600.0)

    stack.wait_for_motion()
    killed_ns = stack.send("sidecar", signal.SIGKILL)
    server = f"127.0.0.1:{stack.port}"
    stack.wait_for_mode(*AT_REST)
    stack.wait(lambda: server in stack.statuses[-1].reason, f"{server} as the reason")
    reason = stack.statuses[-1].reason
    stack.said_everywhere(reason)
    assert_moving_at(stack, killed_ns)
    rows = len(stack.record().position)
    stack.start_sidecar()

    stack.wait_for_motion()
    assert arm_speed(stack.record())[rows:].max() > 0.01
    stack.inject("/camera/exterior/image_raw", "freeze")
    # a late machine may pause for another reason first
    frozen = "exterior_image_1_left"
    stack.wait(lambda: frozen in stack.statuses[-1].reason, f"{frozen} as the reason")
    reason = stack.wait_for_mode("paused").reason
    # first its age with the topic, and after a third of a second that its pictures are the same
    assert "/camera/exterior/image_raw" in reason or "frames in a row with the same" in reason
    stack.said_everywhere(reason)
    stack.inject("/camera/exterior/image_raw", "none")

    stack.wait_for_success()
    stops = [status for status in stack.statuses if status.mode == "stopping"]
    assert len({status.reason for status in stops}) >= 2
    assert_inside_the_limits(stack.record())


def test_a_stopped_node_goes_on_and_a_killed_one_leaves_the_arm_at_rest(stack: Stack) -> None:
    """SIGSTOP for 2 s, SIGCONT; then SIGKILL: the last window's own tail ends at rest."""
    stack.start(seed=2)

    stack.wait_for_motion()
    stopped_ns = stack.send("policy", signal.SIGSTOP)
    stack.wait_for_robot_time(stopped_ns + 2_000_000_000)
    record = stack.record()
    begin, end = (rows_from(record, stopped_ns + ns) for ns in (0, TAIL_LIMIT_NS))
    assert arm_speed(record)[begin] > 0.01
    assert not record.velocity[end:].any(), "the tail must have ended at rest"
    stack.statuses.clear()
    stack.send("policy", signal.SIGCONT)

    stack.wait_for_motion()
    killed_ns = stack.send("policy", signal.SIGKILL)
    stack.wait_for_robot_time(killed_ns + TAIL_LIMIT_NS + 500_000_000)
    record = stack.record()
    begin, end = (rows_from(record, killed_ns + ns) for ns in (0, TAIL_LIMIT_NS))
    assert arm_speed(record)[begin] > 0.01
    assert not record.velocity[end:].any()
    assert np.all(record.position[end:] == record.position[-1])
    assert_inside_the_limits(record)


FAULT_S = 3.0


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("repeat", range(5))
@pytest.mark.parametrize("fault", ["killed", "stopped", "starved"])
def test_a_fault_at_a_random_instant_keeps_the_limits(
    fault: str, repeat: int, stack: Stack
) -> None:
    """Node killed, stopped for 2 s, or every core busy for 3 s, anywhere in the task."""
    stack.start(seed=repeat)
    stack.wait_for_motion()
    # up to the length of the motion; the seed is in the test's name, so a failure can be repeated
    later_ns = int(random.Random(f"{fault} {repeat}").uniform(0.0, 7.0) * 1e9)
    stack.wait_for_robot_time(time.monotonic_ns() + later_ns)
    if fault == "killed":
        killed_ns = stack.send("policy", signal.SIGKILL)
        stack.wait_for_robot_time(killed_ns + TAIL_LIMIT_NS + 500_000_000)
        record = stack.record()
        assert not record.velocity[rows_from(record, killed_ns + TAIL_LIMIT_NS) :].any()
    elif fault == "stopped":
        stopped_ns = stack.send("policy", signal.SIGSTOP)
        stack.wait_for_robot_time(stopped_ns + 2_000_000_000)
        stack.send("policy", signal.SIGCONT)
        stack.wait_for_success()
    else:
        with every_core_busy():
            stack.wait_for_robot_time(time.monotonic_ns() + int(FAULT_S * 1e9))
        stack.wait_for_success()
    assert_inside_the_limits(stack.record())
