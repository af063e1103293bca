"""A running node whose server continues its chunks: asked with the right steps, told in status."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from ros_fixtures import collect

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT, NODE  # noqa: E402

from gr00t_ros.motion import chunk as motion  # noqa: E402
from gr00t_ros.msg import ActionChunk  # noqa: E402
from gr00t_ros.node.queries import Queries  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402
from gr00t_ros.session.overlap import Followed, Overlap  # noqa: E402

MS = 1_000_000
APPLIED = re.compile(r"on \(options\.rtc, proven at the check\): applied to (\d+) of (\d+) ")


def rtc_of(status):
    """The status' line about RTC."""
    return next((pair.value for pair in status.details if pair.key == "rtc"), "")


@pytest.mark.parametrize(
    ("followed", "can_continue", "expected"),
    [(3, True, Overlap(8, 8, 4)), (2, True, None), (3, False, None), (None, True, None)],
)
def test_only_the_server_s_last_answer_is_continued_and_only_if_it_is_followed(
    followed, can_continue, expected
):
    """Chunk 3 was answered last; 2 is followed still if 3 was refused or came too late."""
    nothing = SimpleNamespace()
    link = SimpleNamespace(can_continue=can_continue, close=lambda: None)
    callbacks = [lambda *_: None] * 4
    queries = Queries(link, nothing, nothing, nothing, *callbacks, nothing)
    queries.sent = 3
    rows = np.zeros((16, 1))
    chunk = motion.ActionChunk(followed or 0, 1, 5_000 * MS, 50 * MS, rows, {})
    given = None if followed is None else Followed(chunk, 0, 180 * MS)
    assert queries._overlap(given, 5_410 * MS) == expected
    assert queries.stop(5.0)


@NEEDS_ROBOT
def test_chunks_continue_each_other_at_the_same_time_in_motion(rig):
    """The link compares the frozen steps of every answer; here their stamps are compared too."""
    chunks = collect(rig.node, ActionChunk, f"{NODE}/action_chunk", qos.CHUNK)
    rig.start_robot()
    rig.start_server("sweep_policy:make_rtc_policy", delay_ms=30)
    rig.move(rtc="auto")

    def applied(status):
        found = APPLIED.match(rtc_of(status))
        return found is not None and int(found[1]) >= 3

    status = rig.wait_for_status(applied, "three answers that continue the one before")
    found = APPLIED.match(rtc_of(status))
    assert found[1] == found[2], "each request that asked for it was granted"
    assert status.chunks_refused == 0 and rig.change("deactivate")
    assert sum(_continues(*pair) for pair in zip(chunks, chunks[1:], strict=False)) >= 2


def _continues(before, after):
    """Whether the first step of `after` is the step of `before` that is at its time, exactly."""
    step_ns = before.step_duration.sec * 10**9 + before.step_duration.nanosec
    apart_ns = (after.header.stamp.sec - before.header.stamp.sec) * 10**9
    apart_ns += after.header.stamp.nanosec - before.header.stamp.nanosec
    old, new = (
        next(g for g in chunk.groups if g.action_key == "joint_position")
        for chunk in (before, after)
    )
    width = len(old.data) // old.rows
    at = round(apart_ns / step_ns)
    return 0 < at < old.rows and list(old.data[at * width : (at + 1) * width]) == list(
        new.data[:width]
    )
