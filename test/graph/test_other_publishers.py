"""Who else commands a topic: neither this node nor the one streamer that plays its windows."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from gr00t_ros.graph.controllers import OtherPublishers

POINTS, ALIVE = "/forward/commands", "/gr00t_policy/windows/arm/alive"
KILLED = " (one that was killed is listed for its lease, some 20 s)"


def others(points, alive=(), own="gr00t_policy"):
    """The other publishers of POINTS where these nodes publish on it, and heartbeats."""
    graph = {POINTS: points, ALIVE: alive}
    node = SimpleNamespace(
        get_name=lambda: own,
        get_publishers_info_by_topic=lambda topic: [
            SimpleNamespace(node_name=name) for name in graph[topic]
        ],
    )
    watch = OtherPublishers(node, [POINTS], {POINTS: ALIVE})
    watch.look()
    found = watch.findings()
    assert bool(found) is bool(watch.of(POINTS))
    return watch.of(POINTS)


@pytest.mark.parametrize(
    ("points", "alive", "found"),
    [
        ([], [], ""),
        (["gr00t_policy"], [], ""),
        (["gr00t_policy", "gr00t_policy"], [], "gr00t_policy"),
        (["left_streamer"], ["left_streamer"], ""),
        (["left_streamer", "servo"], ["left_streamer"], "servo"),
        (["servo"], ["left_streamer"], "servo"),
        (["left_streamer"], [], "left_streamer"),  # it plays the windows of nobody
        (["s", "s"], ["s", "s"], f"s{KILLED}"),
        (["_NODE_NAME_UNKNOWN_"], [], "a node whose name is not discovered yet"),
    ],
)
def test_one_streamer_is_known_by_its_heartbeats_and_everybody_else_is_named(points, alive, found):
    """Two arms have two streamers, whose names are not those of their command."""
    assert others(points, alive) == found
