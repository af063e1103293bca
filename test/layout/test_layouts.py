"""Every topic, service and field that a layout names exists: in the node, with the right type."""

import ast
import importlib
import json
import re
from xml.etree import ElementTree

import pytest
import yaml

from gr00t_ros.layout import foxglove, plotjuggler, rqt, rviz
from gr00t_ros.layout.__main__ import main
from gr00t_ros.layout.view import JOINTS, MARKERS, PATHS, STATUS, view_of
from gr00t_ros.node.interfaces import INTERFACES
from gr00t_ros.robot.files import load_embodiment, shipped_embodiments
from gr00t_ros.ros.policy_node import STATUS_TYPE

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from node_robot import NEEDS_ROBOT  # noqa: E402
from ros_fixtures import wait_until  # noqa: E402

NODE = "/gr00t_policy"
TYPES = {
    STATUS: STATUS_TYPE,
    MARKERS: "visualization_msgs/msg/MarkerArray",
    JOINTS: "gr00t_ros/msg/JointComparison",
    **{f"~/preview/{kind}/ARM": "nav_msgs/msg/Path" for kind in PATHS},
    "~/observation/VIDEO/compressed": "sensor_msgs/msg/CompressedImage",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
    "/robot_description": "std_msgs/msg/String",
}
"""Every topic that a layout may show, as node/interfaces.py names it, with its type."""


def leaves(value):
    """All (key, text) of nested lists and mappings."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from ((key, item),) if isinstance(item, str) else leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)


def of_foxglove(text):
    """(topic, fields) and the names of services."""
    layout = json.loads(text)
    read, services = set(), set()
    for panel, config in layout["configById"].items():
        if panel.startswith("3D!"):
            read |= {(topic, ()) for topic in config["topics"]}
        for key, item in leaves(config):
            if key in ("imageTopic", "topic", "topicToRender"):
                read.add((item, ()))
            if key in ("value", "topicPath"):
                topic, *fields = re.sub(r"\[[^]]*\]|\{[^}]*\}", "", item).split(".")
                read.add((topic, tuple(fields)))
            if key == "serviceName":
                services.add(item)
    return read, services


def split(path, topics):
    """A path with slashes as its topic, the longest that is known, and fields."""
    topic = max((one for one in topics if path.startswith(one + "/")), key=len)
    return topic, tuple(re.sub(r"\[\d+\]", "", path[len(topic) + 1 :]).split("/"))


def of_rviz(text):
    """As of_foxglove."""
    displays = yaml.safe_load(text)["Visualization Manager"]["Displays"]
    return {(item, ()) for key, item in leaves(displays) if key == "Value"}, set()


def of_plotjuggler(text, topics):
    """As of_foxglove."""
    root = ElementTree.fromstring(text)
    chosen = root.find("Plugins/plugin/selected_topics").get("value").split(";")
    curves = {split(curve.get("name"), topics) for curve in root.iter("curve")}
    assert {topic for topic, _ in curves} == set(chosen)
    return curves, set()


def of_rqt(text, topics):
    """As of_foxglove."""
    read, services = set(), set()
    for plugin in json.loads(text)["groups"]["pluginmanager"]["groups"].values():
        for key, item in plugin["groups"]["plugin"]["keys"].items():
            value = ast.literal_eval(item["repr"])
            if key == "topic":
                read.add((value, ()))
            if key == "topics":
                read |= {split(path, topics) for path in value}
            if key == "current_service_name":
                services.add(value)
    return read, services


def references(view):
    """Topics with fields, and services, by file."""
    topics = types_of(view)
    return {
        "foxglove": of_foxglove(foxglove.text(view)),
        "rviz": of_rviz(rviz.text(view)),
        "plotjuggler": of_plotjuggler(plotjuggler.text(view), topics),
        "rqt": of_rqt(rqt.text(view), topics),
    }


def types_of(view):
    """Every topic of this robot that a layout may name -> its type."""
    found = {view.topic(name): kind for name, kind in TYPES.items() if name == name.lower()}
    found |= dict.fromkeys(view.paths(), TYPES["~/preview/predicted/ARM"])
    return found | dict.fromkeys(view.cameras.values(), TYPES["~/observation/VIDEO/compressed"])


def get_message(kind):
    """The class of a message type such as std_msgs/msg/String."""
    package, _, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def has_fields(kind, fields):
    """Whether the fields lead through the message class."""
    for field in fields:
        known = get_message(kind).get_fields_and_field_types()
        if field not in known:
            return False
        kind = re.sub(r"sequence<(.*?)(, \d+)?>", r"\1", known[field]).replace("/", "/msg/")
    return True


@pytest.mark.parametrize("name", shipped_embodiments())
def test_every_topic_field_and_service_of_a_layout_is_one_of_the_node(name):
    """For each shipped embodiment file and each of the four tools."""
    view = view_of(load_embodiment(name), NODE)
    types = types_of(view)
    served = {row.name.replace("~", NODE) for row in INTERFACES if row.kind == "serves"}
    for tool, (read, services) in references(view).items():
        assert read, tool
        for topic, fields in read:
            assert topic in types, (tool, topic)
            assert has_fields(types[topic], fields), (tool, topic, fields)
        assert services <= served, tool
        if tool in ("foxglove", "rviz", "rqt"):
            assert {(topic, ()) for topic in view.cameras.values()} <= read, tool
        if tool in ("foxglove", "rqt"):
            asked = ("estop", "pause", "resume", "reset", "set_instruction")
            assert services == {f"{NODE}/{word}" for word in asked}, tool


def test_a_wrong_field_is_found():
    """The walk through the message class can fail."""
    assert has_fields(TYPES["~/status"], ("streams", "age_s"))
    assert not has_fields(TYPES["~/status"], ("streams", "age_ms"))
    assert not has_fields(TYPES["~/status"], ("stream", "age_s"))


def test_the_types_are_those_of_the_nodes_interfaces():
    """The preview's rows are compared as soon as the node has them."""
    rows = {row.name: row.types for row in INTERFACES}
    for name, kind in TYPES.items():
        assert rows[name] == kind, name


def test_every_panel_of_the_foxglove_layout_has_a_place():
    """The mosaic has each panel once, and no other."""
    layout = json.loads(foxglove.text(view_of(load_embodiment("franka_droid"), NODE)))

    def places(part):
        if isinstance(part, str):
            return [part]
        return places(part["first"]) + places(part["second"])

    assert sorted(places(layout["layout"])) == sorted(layout["configById"])


def test_foxglove_buttons_are_buttons():
    """A panel in editing mode, Foxglove's default, shows the request; the instruction is one."""
    panels = json.loads(foxglove.text(view_of(load_embodiment("franka_droid"), NODE)))["configById"]
    edits = {
        config["buttonText"]: config["editingMode"]
        for name, config in panels.items()
        if name.startswith("CallService!")
    }
    assert [text for text, edit in edits.items() if edit] == ["Set instruction"]
    assert len(edits) == 5


def test_no_file_is_overwritten_without_force(tmp_path, capsys):
    """One file that exists keeps all four from being written."""
    words = ["--embodiment", "franka_droid", "--output", str(tmp_path), "--node", "/robot/policy"]
    own = tmp_path / "rqt.perspective"
    own.write_text("mine")
    with pytest.raises(Exception, match="rqt.perspective: the file exists"):
        main(words)
    assert [own] == list(tmp_path.iterdir()) and own.read_text() == "mine"
    assert main([*words, "--force"]) == 0
    assert len(capsys.readouterr().out.split()) == 4
    assert "/robot/policy/status" in (tmp_path / "foxglove.json").read_text()


@NEEDS_ROBOT
def test_a_running_node_has_what_the_layouts_show(rig):
    """Topics with their types, services, and the streams by name and number."""
    from gr00t_ros.msg import PolicyStatus
    from gr00t_ros.ros import qos

    view = view_of(load_embodiment("franka_droid"), NODE)
    rig.start_robot()
    rig.start_policy()
    assert rig.change("configure")
    graph, newest = rig.node, []
    graph.create_subscription(PolicyStatus, view.topic("~/status"), newest.append, qos.STATUS)
    read, services = (set().union(*sets) for sets in zip(*references(view).values(), strict=True))
    topics = {topic for topic, _ in read if topic.startswith(NODE)}
    wait_until(lambda: topics <= set(dict(graph.get_topic_names_and_types())), "the topics")
    there = dict(graph.get_topic_names_and_types())
    assert {topic: there[topic] for topic in topics} == {
        topic: [types_of(view)[topic]] for topic in topics
    }
    wait_until(lambda: services <= set(dict(graph.get_service_names_and_types())), "the services")
    wait_until(lambda: newest and newest[-1].streams, "a status with streams")
    assert tuple(stream.name for stream in newest[-1].streams) == view.streams
