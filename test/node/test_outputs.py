"""Windows go to the controller, or to its streamer if the controller cannot play windows."""

import re

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.lifecycle import LifecycleNode
from rclpy.serialization import deserialize_message, serialize_message
from ros_fixtures import wait_until
from std_msgs.msg import String

from gr00t_ros.errors import StampError
from gr00t_ros.graph.controllers import OtherPublishers
from gr00t_ros.graph.heartbeat import heart_topics
from gr00t_ros.motion.plan import Window
from gr00t_ros.node.outputs import (
    Outputs,
    action_servers,
    command_readers,
    command_topics,
)
from gr00t_ros.node.readiness import output_problems, server_problems, state_type_problems
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.robot.outputs import (
    COMMAND_STREAMER,
    OUTPUT_TYPES,
    STREAMER,
    CommandOutput,
    GripperGoals,
)
from gr00t_ros.sim.stand_in.receivers import ACTIONS
from gr00t_ros.stream.command_types import COMMAND_TYPES
from gr00t_ros.stream.points import POINTS
from gr00t_ros.tools.embodiment_schema import KINDS


def test_a_forward_command_output_is_published_for_the_streamer(ros_node):
    """On ~/windows/<name>; the controller's own topic is the streamer's to write."""
    robot = load_embodiment("franka_droid")
    arm, gripper = robot.outputs
    robot = replace(robot, outputs=(replace(arm, type="forward_command"), gripper))
    node = LifecycleNode("gr00t_policy", context=ros_node.context)
    try:
        outputs = Outputs(node, robot)
        assert outputs.topics() == (
            "/gr00t_policy/windows/arm",
            "/gripper_controller/joint_trajectory",
        )
        assert node.count_publishers(arm.topic) == 0
        readers = command_readers(node, robot)
        assert "gr00t_streamer" in readers["/gr00t_policy/windows/arm"]
        assert arm.topic not in readers, "the reader may be where only the streamer finds it"
        assert arm.topic in command_topics(node, robot), "what else commands it is watched"
        assert heart_topics(node, robot) == {arm.topic: "/gr00t_policy/windows/arm/alive"}
        outputs.destroy()
    finally:
        node.destroy_node()


def test_a_streamers_topic_needs_no_reader_and_has_no_other_publisher():
    """The streamer may send elsewhere; whoever else sends there is named all the same."""
    topic = "/forward_position_controller/commands"
    graph = SimpleNamespace(
        get_name=lambda: "gr00t_policy",
        get_publishers_info_by_topic=lambda _topic: [SimpleNamespace(node_name="servo")],
    )
    assert output_problems(graph, {}, OtherPublishers(graph, [topic])) == [
        f"another publisher commands {topic}: servo; stop it first"
    ]


def test_a_gripper_whose_action_nobody_serves_is_named(ros_node):
    """Each of Franka's two actions by its name, and none once a server tells its status."""
    robot = load_embodiment("franka_droid")
    goals = GripperGoals((0.03, 0.05), 0.0, None, 0.1, 30.0, (0.08, 0.08))
    hand = CommandOutput("gripper", "franka_gripper", "/hand", ("width",), "", goals)
    servers = action_servers(ros_node, replace(robot, commands=(hand,)))
    problems = server_problems(ros_node, servers)
    assert [text.partition(": is the")[0] for text in problems] == [
        "output gripper: no server of action /hand/move",
        "output gripper: no server of action /hand/grasp",
    ]
    for action in hand.actions:  # what rcl_action gives every server
        ros_node.create_publisher(String, f"{action}/_action/status", 1)
    wait_until(lambda: not server_problems(ros_node, servers), "no problem")


def test_a_controller_whose_state_has_another_type_is_named(ros_node):
    """Its held position would be guessed; a controller without any state is no problem."""
    outputs = load_embodiment("franka_droid").outputs
    assert state_type_problems(ros_node, outputs) == []
    ros_node.create_publisher(String, "/fr3_arm_controller/controller_state", 1)
    (problem,) = wait_until(lambda: state_type_problems(ros_node, outputs), "the problem")
    assert problem.startswith(
        "controller.arm: /fr3_arm_controller/controller_state is published as std_msgs/msg/String, "
        "expected "
    )
    assert problem.endswith("gr00t_ros/msg/ControllerState: remap it, or name its topic")


def types_where(applies):
    """The output types whose row in OUTPUT_TYPES is so."""
    return {name for name, row in OUTPUT_TYPES.items() if applies(row)}


IN_SCHEMA = {
    name
    for kind, value in KINDS.items()
    if kind.startswith("type_")
    for name in value.schema["enum"]
}
TABLES = {
    "stream/command_types COMMAND_TYPES": (
        set(COMMAND_TYPES),
        types_where(lambda row: row.sender == COMMAND_STREAMER),
    ),
    "stream/command_types Message: all but goals, which are on no topic": (
        {name for name, row in COMMAND_TYPES.items() if row.message is not None},
        types_where(lambda row: row.sender == COMMAND_STREAMER and not row.goals),
    ),
    "stream/points POINTS: forward_command is the parameter's float64_multi_array": (
        {"forward_command" if name == "float64_multi_array" else name for name in POINTS},
        types_where(lambda row: row.sender == STREAMER),
    ),
    "sim/stand_in/receivers ACTIONS: goals alone go to actions": (
        set(ACTIONS),
        types_where(lambda row: row.goals),
    ),
    "tools/embodiment_schema KINDS, type_...: with those of contacts": (
        IN_SCHEMA & set(OUTPUT_TYPES),
        set(OUTPUT_TYPES),
    ),
}


@pytest.mark.parametrize("table", TABLES)
def test_each_table_of_output_types_has_those_that_belong_there(table):
    """A type that is missing in one would be a KeyError when an output of it is played or tried."""
    has, expected = TABLES[table]
    assert has == expected


RECIPES = {
    "ARCHITECTURE.md": r"^A new type is (?:.+\n)+",
    "CONTRIBUTING.md": r"^\| output type \|.+",
}


@pytest.mark.parametrize("document", RECIPES)
def test_the_recipe_of_an_output_type_names_every_place(document):
    """Whoever follows it finds each table of TABLES, and what is not a table."""
    text = (Path(__file__).parents[2] / document).read_text()
    (recipe,) = re.findall(RECIPES[document], text, re.MULTILINE)
    for table in ("robot/outputs OUTPUT_TYPES", *TABLES):
        file, name = re.findall(r"[\w/]+", table)[:2]
        assert f"{file}.py`" in recipe and (f"`{name}`" in recipe or not name.isupper()), table
    assert "docs/outputs.md" in recipe and "robot/keys.py" in recipe


@pytest.mark.parametrize(
    ("name", "width"),
    [
        (name, width)
        for name, row in COMMAND_TYPES.items()
        if row.message is not None
        # whatever numbers the file has for a pose, a window has seven
        for width in ((7,) if OUTPUT_TYPES[name].carries == "poses" else OUTPUT_TYPES[name].widths)
    ],
)
def test_a_message_has_the_values_that_it_was_made_of(name, width):
    """What the streamer sends, the stand-in robot and the conversion of bags read alike."""
    row, sent = COMMAND_TYPES[name], []
    publisher = SimpleNamespace(topic_name="/it", publish=sent.append)
    node = SimpleNamespace(create_publisher=lambda *_: publisher)
    output = SimpleNamespace(topic="/it", frame="base")
    values = np.arange(1.0, 1.0 + width)
    row.sender(node, output, None).send(values, Time())
    (message,) = sent
    assert type(message) is row.message.kind
    again = deserialize_message(serialize_message(message), row.message.kind)
    assert row.message.values(again, width) == tuple(values)


def test_every_output_type_is_in_the_documentation():
    """docs/outputs.md says of each what it does when something dies."""
    text = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert not [name for name in OUTPUT_TYPES if not any(f"`{name}`" in row for row in rows)]


@pytest.mark.parametrize("stamp_ns", [0, -5_000_000_000])
def test_a_stamp_that_is_not_positive_is_never_sent(stamp_ns):
    """0 means "now" to a controller, a negative one is thrown by rclcpp in its callback."""
    robot, sent = load_embodiment("franka_droid"), []
    publisher = SimpleNamespace(topic_name="/arm", publish=sent.append)
    outputs = Outputs(SimpleNamespace(create_lifecycle_publisher=lambda *_: publisher), robot)
    rows = np.zeros((2, len(robot.joint_names)))
    window = Window(1_000, np.array([0, 20_000_000]), rows, rows, rows)
    with pytest.raises(StampError, match="got .* s, expected one after 0"):
        outputs.publish(window, stamp_ns - 1_000)
    assert sent == []
    left = outputs.publish(window, 0)
    assert len(sent) == 2 and left.joints.all()


def test_what_is_late_is_kept_back_and_told():
    """Asked before each output, with the time up to which its message is what it has already."""
    robot, sent, asked = load_embodiment("franka_droid"), [], []

    def in_time(same_until_ns):
        asked.append(same_until_ns)
        return len(asked) == 1

    node = SimpleNamespace(
        create_lifecycle_publisher=lambda _type, topic, _qos: SimpleNamespace(
            topic_name=topic, publish=lambda message: sent.append(topic)
        )
    )
    rows = np.zeros((2, len(robot.joint_names)))
    times_ns = np.array([0, 20_000_000])
    window = Window(1_000, times_ns, rows, rows, rows, same_until_ns=7)
    left = Outputs(node, robot).publish(window, 0, in_time=in_time)
    assert asked == [7, 7] and sent == ["/fr3_arm_controller/joint_trajectory"]
    assert left.joints.tolist() == [True] * 7 + [False]


def test_no_tick_has_to_find_the_layout_of_its_message(monkeypatch):
    """That takes milliseconds, and the first window would be late by them."""
    robot, sent = load_embodiment("franka_droid"), []
    publisher = SimpleNamespace(topic_name="/arm", publish=sent.append)
    outputs = Outputs(SimpleNamespace(create_lifecycle_publisher=lambda *_: publisher), robot)
    monkeypatch.setattr("gr00t_ros.inputs.trajectory.serialize_message", None)
    for count in (1, 31):
        rows = np.zeros((count, len(robot.joint_names)))
        window = Window(1_000, 20_000_000 * np.arange(count), rows, rows, rows)
        assert outputs.publish(window, 0).joints.all()
    assert len(sent) == 4
