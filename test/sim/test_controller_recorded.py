"""The simulated controller plays recorded messages as the real controller played them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rclpy.qos import qos_profile_system_default
from recorded_controller import (
    CYCLE_NS,
    Case,
    Floats,
    Message,
    all_cases,
    ros_message,
    same_kind,
)
from trajectory_msgs.msg import JointTrajectory

from gr00t_ros.sim.controller import Follower, SimulatedController


class StandIn:
    """A node that keeps what the controller subscribes with."""

    def __init__(self) -> None:
        self.receive: Callable[[JointTrajectory], None]
        self.profile: Any = None

    def create_publisher(self, *_: object) -> None:
        """Nothing is published here."""

    def create_subscription(self, _type: type, _topic: str, receive: Any, profile: Any) -> None:
        """The command topic's."""
        self.receive, self.profile = receive, profile

    def get_logger(self) -> "StandIn":
        """Its own logger."""
        return self

    get_child = error = lambda self, _text: self


@pytest.mark.parametrize("case", all_cases())
def test_it_does_what_the_real_controller_did(case: Callable[[], Case]) -> None:
    """Positions to 1e-9 rad in every cycle; refusals of the same messages, of the same kind."""
    of, node = case(), StandIn()
    follower = Follower(of.joints, of.initial, of.desired, of.method)
    arrival, measured, still = [0], [of.initial], np.zeros(len(of.joints))
    controller = SimulatedController(
        node, "arm", follower, lambda: (arrival[0], 0), lambda: (measured[0], still)
    )
    refused: dict[int, str] = {}
    count = 0

    def play(now_ns: int, seen: list[tuple[int, Message]]) -> Floats:
        nonlocal count
        for arrival_ns, message in seen:
            arrival[0], before = arrival_ns, follower.counts[1]
            node.receive(ros_message(message))
            if follower.counts[1] > before:
                refused[count] = controller.last_rejection
            count += 1
        measured[0] = follower.command(now_ns + CYCLE_NS)[0]
        return measured[0]

    assert of.compare(play) < 1e-9
    assert list(refused) == list(of.refused)
    for index, words in of.refused.items():
        assert same_kind(words, refused[index]), (words, refused[index])


def test_of_each_fifth_message_nothing_is_heard_where_it_is_to_be_lost() -> None:
    """As a best-effort subscription may lose it: neither accepted nor refused."""
    node, follower = StandIn(), Follower(("a",), np.zeros(1))
    still = (np.zeros(1), np.zeros(1))
    SimulatedController(node, "arm", follower, lambda: (0, 0), lambda: still, lambda: 5)
    for _ in range(20):
        node.receive(ros_message(Message(0, ("a",), [(1, [[0.0], [0.0]])])))
    assert follower.counts == (16, 0)


def test_it_subscribes_as_the_real_controller_does() -> None:
    """rclcpp::SystemDefaultsQoS: DDS's own default for a reader, which is best effort."""
    node = StandIn()
    SimulatedController(
        node, "arm", Follower(("a",), np.zeros(1)), lambda: (0, 0), lambda: (None, None)
    )
    assert node.profile == qos_profile_system_default
