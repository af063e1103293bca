"""A simulated clock that stops or jumps pauses the arm; a separate file, as it needs the CPU.

Silent or jumping, the clock pauses the arm, and it goes on by itself.
"""

import re
from collections import deque

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT, SWEEP  # noqa: E402
from passage import Passage  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402

pytestmark = NEEDS_ROBOT


@pytest.fixture
def simulated(rig):
    """A robot in motion on simulated time, and the passage of its clock."""
    clock = Passage(rig.node, Clock, "/clock")
    rig.start_robot("-p", "publish_clock:=true", *clock.remaps)
    rig.start_server(SWEEP)
    rig.move(use_sim_time="true", stop_timeout_s=10.0)
    return rig, clock


def test_a_simulated_clock_that_stands_still_or_jumps_pauses_and_the_arm_goes_on(simulated):
    """Silent, then 20 s ahead, then back again: each is named, and ends by itself."""
    rig, clock = simulated
    clock.alter(lambda message: None)
    rig.wait_for_reason("/clock: no new time for", "let the simulation run")
    clock.mend()
    rig.wait_for_motion()

    def ahead(message):
        message.clock.sec += 20
        return message

    clock.alter(ahead)
    # 20 s, and not the 0.6 s of a late machine
    jumped = re.compile(r"ROS time went ahead by (19|20)\.\d+ s, at most 0\.500 s allowed")
    rig.wait_for_status(lambda s: jumped.search(s.reason), "the jump")
    rig.wait_for_mode("paused")
    clock.mend()
    rig.wait_for_motion()
    clock.alter(ahead)
    rig.wait_for_mode("paused")
    clock.mend()
    rig.wait_for_motion()
    assert not any(line.startswith("fault") for line in rig.told())

    # in motion: simulated time runs on during the transition, so the stop comes to its end
    rig.wait_for_motion()
    assert rig.change("deactivate")
    assert "no rest was measured" not in rig.policy.text()


def test_a_clock_that_arrives_late_pauses(simulated):
    """The controllers, whose clock is on time, begin each window in its middle."""
    rig, clock = simulated
    waiting = deque()

    def late(message):
        """As it was 20 messages before, 80 ms; it never runs back."""
        waiting.append(message)
        return waiting.popleft() if len(waiting) > 20 else waiting[0]

    clock.alter(late)
    rig.wait_for_reason("before its stamp", "let /clock arrive in time")
    clock.mend()
    rig.wait_for_motion()
    assert not any(line.startswith("fault") for line in rig.told())
