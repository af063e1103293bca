"""A bag of gr00t bag record can be read anywhere, and gr00t bag info finds what it lacks."""

import pytest
from bag_files import (
    CONTROLLERS,
    EMBODIMENT,
    STREAMS,
    edit_metadata,
    joint_states,
    recorded,
    write_bag,
)
from ros_fixtures import wait_for_discovery, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
rosbags_reader = pytest.importorskip("rosbags.highlevel", reason="rosbags is not installed")

from std_msgs.msg import String  # noqa: E402
from urdf_robot import with_kinematics  # noqa: E402

from gr00t_ros.bags.bag import open_bag  # noqa: E402
from gr00t_ros.bags.info import compare_bag, needed_topics  # noqa: E402
from gr00t_ros.bags.message_types import typestore  # noqa: E402
from gr00t_ros.errors import BagError  # noqa: E402
from gr00t_ros.robot.embodiment import parse  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402

BAGS = ("-m", "gr00t_ros.bags")


def test_a_bag_explains_its_own_types(processes, ros_node, tmp_path_factory):
    """Messages of this package are read by definitions in the bag alone."""
    pytest.importorskip("mujoco", reason="the simulator is not installed")
    bags = recorded(processes, ros_node, tmp_path_factory.mktemp("bags"))
    for path in bags.values():
        with rosbags_reader.AnyReader([path]) as reader:
            wanted = [one for one in reader.connections if one.topic == CONTROLLERS[0]]
            connection, _, data = next(iter(reader.messages(wanted)))
            message = reader.deserialize(data, connection.msgtype)
        assert list(message.joint_names)[0] == "fr3_joint1"
        assert message.speed_scaling_factor == 1.0


def test_info_finds_everything_in_a_robots_bag(processes, ros_node, tmp_path_factory):
    """Each topic with its count, rate, type and readers; exit status 0."""
    pytest.importorskip("mujoco", reason="the simulator is not installed")
    bags = recorded(processes, ros_node, tmp_path_factory.mktemp("bags"))
    info = processes.start(*BAGS, "info", str(bags["mcap"]), "--embodiment", EMBODIMENT)
    assert info.wait() == 0
    info.wait_for_line("all topics are there")
    for topic in (*STREAMS, *CONTROLLERS):
        info.wait_for_line(rf"^  {topic}: \d+ messages, \d+\.\d Hz, \w+/msg/\w+ \(for ")


def test_info_names_what_is_missing_or_of_another_type(processes, tmp_path):
    """Exit status 1."""
    messages = [("/joint_states", ns, message) for ns, message in joint_states(5)]
    messages += [("/ee_pose", 10**9, String(data="a pose")), ("/chat", 10**9, String())]
    bag = write_bag(tmp_path / "bag", messages)
    info = processes.start(*BAGS, "info", str(bag), "--embodiment", EMBODIMENT)
    assert info.wait() == 1
    info.wait_for_line("5 of 6 topics missing")
    info.wait_for_line(r"/camera/wrist/image_raw: MISSING \(for wrist_image_left\)")
    info.wait_for_line("/ee_pose: .* WRONG: wrong type, expected geometry_msgs/msg/PoseStamped")
    info.wait_for_line("not needed: /chat")


def test_info_names_messages_that_the_files_lost(processes, tmp_path):
    """Metadata promise more of a needed topic than there is."""
    messages = [("/joint_states", ns, message) for ns, message in joint_states(5)]
    bag = write_bag(tmp_path / "bag", messages)
    edit_metadata(bag, "message_count: 5", "message_count: 6")
    info = processes.start(*BAGS, "info", str(bag), "--embodiment", EMBODIMENT)
    assert info.wait() == 1
    info.wait_for_line("/joint_states: .* WRONG: metadata.yaml says 6 messages, the files hold 5")


def again(recorder, publisher):
    """Wait until it has discovered the publisher, and says a second time what it waits for.

    The first time may come before a latched message.
    """
    wait_for_discovery(publisher.get_subscription_count, "the recorder's subscription")
    line = "waiting for a publisher of /never"
    wait_until(lambda: recorder.text().count(line) > 1, "two such lines")


def test_a_topic_is_recorded_as_it_is_offered(processes, ros_node, tmp_path):
    """A latched text from before the recorder came, and latched it stays in the bag."""
    publisher = ros_node.create_publisher(String, "/text", qos.STATUS)
    publisher.publish(String(data="early"))
    out = tmp_path / "bag"
    recorder = processes.start(*BAGS, "record", str(out), "--topics", "/text", "/never")
    # until "/never" is published the recorder looks on, but has the other already
    again(recorder, publisher)
    assert recorder.stop() == 1, "not all that was asked"
    recorder.wait_for_line(r"never published: \['/never'\]")
    with open_bag(out) as bag:
        (topic,) = bag.topics
        assert (topic.name, topic.count, topic.latched) == ("/text", 1, True)


def test_in_a_virtual_environment_the_definitions_are_found_without_ament_prefix_path(
    processes, ros_node, tmp_path
):
    """Nothing sets the variable there."""
    publisher = ros_node.create_publisher(String, "/text", qos.STATUS)
    publisher.publish(String(data="early"))
    words = (*BAGS, "record", str(tmp_path / "bag"), "--topics", "/text", "/never")
    recorder = processes.start(*words, name="recorder", AMENT_PREFIX_PATH="")
    again(recorder, publisher)
    recorder.stop()
    assert "recorded 1 messages" in recorder.text()
    assert "is not recorded" not in recorder.text()


def test_a_bag_without_a_message_is_no_success(processes, ros_node, tmp_path):
    """The topic is there, and nothing came on it."""
    silent = ros_node.create_publisher(String, "/silent", 1)
    recorder = processes.start(
        *BAGS, "record", str(tmp_path / "bag"), "--topics", silent.topic_name, name="recorder"
    )
    recorder.wait_for_line("RECORDING")
    assert recorder.stop() == 1
    assert "nothing was recorded" in recorder.text()


def test_what_exists_is_never_written_over(processes, tmp_path):
    """One line, exit status 2, and the old file untouched."""
    out = tmp_path / "bag"
    out.write_text("precious")
    recorder = processes.start(*BAGS, "record", str(out), "--topics", "/a")
    recorder.wait_for_line(f"{out}: cannot be recorded to")
    assert recorder.wait() == 2
    assert out.read_text() == "precious"


def test_a_type_without_a_definition_is_refused_by_name():
    """It could be recorded, but never read."""
    with pytest.raises(BagError, match="nobody_msgs/msg/Thing: its definition"):
        typestore(["nobody_msgs/msg/Thing"])
    with pytest.raises(BagError, match="Thing: no message type"):
        typestore(["Thing"])


def test_info_needs_a_description_where_it_alone_gives_the_chain(tmp_path):
    """Of a state key or of the box; not where the file has a chain of its own."""
    names = [f"fr3_joint{number}" for number in range(1, 8)]
    assert "/robot_description" not in needed_topics(parse(with_kinematics(), "r.yaml"))
    content = with_kinematics(chain=None, names=names)
    needed = needed_topics(parse(content, "r.yaml"))
    assert needed["/robot_description"] == ("std_msgs/msg/String",)
    content = with_kinematics()
    del content["workspace"]["chain"]
    assert "/robot_description" in needed_topics(parse(content, "r.yaml"))
    bag = write_bag(tmp_path / "bag", [("/robot_description", 10**9, String(data="<robot/>"))])
    with open_bag(str(bag)) as opened:
        found = {one.topic: one for one in compare_bag(opened, parse(content, "r.yaml"))}
    assert found["/robot_description"].readers == ("workspace",)
    assert found["/robot_description"].problem == ""
