"""The streamer plays recorded windows as the real trajectory controller played them."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from recorded_controller import (
    CYCLE_NS,
    Case,
    Floats,
    Message,
    all_cases,
    ros_message,
    same_kind,
)

from gr00t_ros.ros.windows import parse_trajectory
from gr00t_ros.stream.joints import JointPlayer
from gr00t_ros.stream.points import ForwardPoints

# What the streamer refuses and the controller takes: case -> place in the order of arrival, reason.
STRICTER = {"stamps": {2: "begin"}, "rejections": {7: "positions"}}


class Sent:
    """Stands in for a node and its publisher: keeps the newest point."""

    topic_name = "/commands"  # of a driver, which is not asked for its joints

    def create_publisher(self, *_: object) -> "Sent":
        """The command topic's."""
        return self

    def publish(self, message: Any) -> None:
        """Keep the point."""
        self.newest = np.array(message.data)


# The streamer always interpolates.
@pytest.mark.parametrize("case", all_cases(but="interpolation_none"))
def test_it_sends_what_the_real_controller_commanded(case: Callable[[], Case]) -> None:
    """Positions to 1e-9 rad, each one period later, as far as the controller looks ahead.

    Compared is what lies inside a message, which all of a window does: on the way to a first point
    that is not due yet the controller's first cycle goes twice as far (control.md 1), the streamer
    does not. Where the streamer refuses more, its motion is the record's until then.
    """
    of = case()
    player = JointPlayer(of.joints, max_jump_rad=np.inf)
    player.hold(of.initial, 0)
    sent = Sent()
    points = ForwardPoints(sent, SimpleNamespace(command_topic=sent.topic_name, joints=of.joints))
    refused: dict[int, str] = {}
    stricter = STRICTER.get(of.name, {})
    count = 0

    def play(now_ns: int, seen: list[tuple[int, Message]]) -> Floats:
        nonlocal count
        for _, message in seen:
            window = parse_trajectory(ros_message(message), of.joints, 0)
            reason = window if isinstance(window, str) else player.accept(window, now_ns, None)
            if reason is not None:
                refused[count] = reason
            count += 1
        player.sample(now_ns)
        motion = player.sample(now_ns + CYCLE_NS)
        assert motion is not None
        points.send(motion[0], now_ns)
        return sent.newest

    compared = of.time_ns < min((of.arrived[at][0] for at in stricter), default=np.inf)
    for at, (arrival_ns, message) in enumerate(of.arrived):
        if at not in of.refused:
            first_ns = (message.stamp_ns or arrival_ns) + message.points[0][0]
            compared &= (of.time_ns < arrival_ns) | (of.time_ns >= first_ns)
    assert compared.any()
    assert of.only(compared).compare(play) < 1e-9
    assert sorted(refused) == sorted({**of.refused, **stricter})
    for index, words in refused.items():
        if index in of.refused:
            assert same_kind(of.refused[index], words), (of.refused[index], words)
        else:
            assert words.startswith(stricter[index])
