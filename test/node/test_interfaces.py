"""docs/interfaces.md has every topic and service that a running policy node has, with its type."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT, NODE  # noqa: E402
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy  # noqa: E402
from ros_fixtures import wait_for_discovery  # noqa: E402

from gr00t_ros.node.interfaces import INTERFACES  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.tools.documents import interface_document  # noqa: E402

DOCUMENT = Path(__file__).parents[2] / "docs" / "interfaces.md"
OF_ROS = {"/rosout", "/parameter_events", f"{NODE}/transition_event", "/clock"}
LIFECYCLE = ("change_state", "get_state", "get_available", "get_transition_graph")
OF_EVERY_NODE = ("parameter", "get_type_description")
FIXED = [row for row in INTERFACES if row.name == row.name.lower() and not row.only_with]


def test_the_document_is_made_from_the_table():
    """Regenerate it as its head says."""
    assert DOCUMENT.read_text() == interface_document()


@NEEDS_ROBOT
def test_a_running_node_has_these_topics_and_services_and_no_others(rig):
    """Those of the embodiment file are compared with the file."""
    rig.start_robot()
    rig.start_policy()
    assert rig.change("configure")
    robot = load_embodiment("franka_droid")
    of_file = {
        "publishes": {
            *(output.topic for output in robot.outputs),
            *(f"{NODE}/preview/{kind}/arm" for kind in ("predicted", "committed", "driven")),
            *(f"{NODE}/observation/{stream.key}/compressed" for stream in robot.video),
        },
        "subscribes": {
            *(topic for stream in robot.streams for topic in stream.topics),
            *(output.state_topic for output in robot.outputs),
        },
        "serves": set(),
    }
    images = {topic for stream in robot.video for topic in stream.topics}
    of_file["subscribes"] -= images
    graph = rig.node
    ask = {
        "publishes": graph.get_publisher_names_and_types_by_node,
        "subscribes": graph.get_subscriber_names_and_types_by_node,
        "serves": graph.get_service_names_and_types_by_node,
    }

    def found(kind):
        rows = dict(ask[kind](NODE.lstrip("/"), "/"))
        special = LIFECYCLE + OF_EVERY_NODE
        return {
            name: types
            for name, types in rows.items()
            if name not in OF_ROS and not any(word in name for word in special)
        }

    for kind in ask:
        table = {row.name.replace("~", NODE): row for row in FIXED if row.kind == kind}
        wanted = {*table, *of_file[kind]}
        try:
            wait_for_discovery(
                lambda kind=kind, wanted=wanted: set(found(kind)) >= wanted,
                f"all that the node {kind}",
            )
        finally:
            print(f"of what the node {kind} the graph misses: {wanted - set(found(kind))}")
        there = found(kind)
        assert set(there) == wanted
        for name, row in table.items():
            assert there[name] == [row.types], name

    def readers(topic):
        return [info.node_name for info in graph.get_subscriptions_info_by_topic(topic)]

    for topic in images:
        wait_for_discovery(
            lambda topic=topic: readers(topic) == ["gr00t_policy_images"],
            f"the subscription of {topic}, with its node's name",
        )
    for row in FIXED:
        if row.kind == "publishes":
            (info,) = graph.get_publishers_info_by_topic(row.name.replace("~", NODE))
            reliable = info.qos_profile.reliability is ReliabilityPolicy.RELIABLE
            latched = info.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL
            assert (reliable, latched) == (True, "latched" in row.qos), row.name
