"""Bags are opened as they are, or refused by name."""

import pytest
from bag_files import joint_states, write_bag

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from input_robot import small_embodiment  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402

from gr00t_ros.bags.bag import BagTopic, open_bag  # noqa: E402
from gr00t_ros.bags.needed import needed_topics  # noqa: E402
from gr00t_ros.bags.publishers import choose  # noqa: E402
from gr00t_ros.core.embodiment import StateStream  # noqa: E402
from gr00t_ros.core.errors import BagError  # noqa: E402

MESSAGES = [("/joints", time_ns, message) for time_ns, message in joint_states(20)]


@pytest.mark.parametrize("mcap", [False, True])
@pytest.mark.parametrize("single_file", [False, True])
def test_both_storages_give_topics_times_and_bytes(tmp_path, mcap, single_file):
    """As a folder, or the storage file alone, as after a recorder that was killed."""
    path = write_bag(tmp_path / "bag", MESSAGES, mcap)
    if single_file:
        (path,) = path.glob("*.mcap" if mcap else "*.db3")
    with open_bag(path) as bag:
        assert bag.topics == (BagTopic("/joints", "sensor_msgs/msg/JointState", 20, False),)
        assert (bag.start_ns, bag.end_ns) == (MESSAGES[0][1], MESSAGES[-1][1])
        late = list(bag.messages(["/joints"], MESSAGES[15][1]))
    kind = type(MESSAGES[0][2])
    assert [deserialize_message(one.data, kind) for one in late] == [m for *_, m in MESSAGES[15:]]
    assert [one.time_ns for one in late] == [time_ns for _, time_ns, _ in MESSAGES[15:]]


def test_what_is_no_bag_is_refused_with_its_path(tmp_path):
    """Nothing there, a folder without metadata, metadata that are none, an empty bag."""
    broken, empty = tmp_path / "broken", tmp_path / "empty"
    broken.mkdir()
    write_bag(empty, [])
    for path, why in (
        (tmp_path / "none", "no such bag"),
        (broken, "cannot be read as a rosbag2 bag"),
        (empty, "holds no message"),
    ):
        with pytest.raises(BagError, match=f"{path}: .*{why}"), open_bag(path):
            pass
    (broken / "metadata.yaml").write_text("a: [")
    with pytest.raises(BagError, match=f"{broken}: cannot be read"), open_bag(broken):
        pass


def test_a_damaged_file_ends_in_an_error_not_in_silence(tmp_path):
    """A file that was cut: what is left of it is not taken for the whole."""
    path = write_bag(tmp_path / "bag", MESSAGES)
    (file,) = path.glob("*.db3")
    content = bytearray(file.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(BagError, match=str(path)), open_bag(path) as bag:
        list(bag.messages(["/joints"]))


def test_types_that_are_not_installed_are_left_out_by_name():
    """The others are played; with none left it is an error."""
    known = BagTopic("/joints", "sensor_msgs/msg/JointState", 1, False)
    foreign = BagTopic("/foreign", "nobody_msgs/msg/Thing", 1, False)
    choice = choose([known, foreign], (), False)
    assert choice.names == ("/joints",)
    (line,) = choice.left_out
    assert line.startswith("/foreign: nobody_msgs/msg/Thing: not importable here")
    with pytest.raises(BagError, match="no topic is left to play: /foreign"):
        choose([foreign], (), False)


def test_a_recorded_clock_gives_way_to_the_players_own():
    """Two publishers of /clock would make time jump to and fro."""
    clock = BagTopic("/clock", "rosgraph_msgs/msg/Clock", 1, False)
    joints = BagTopic("/joints", "sensor_msgs/msg/JointState", 1, False)
    assert choose([clock, joints], (), True).names == ("/joints",)
    assert choose([clock, joints], (), False).names == ("/clock", "/joints")


def test_every_topic_behind_a_stream_is_needed():
    """Both of a group's JointStates, tf's two topics, an Imu; nothing for a constant."""
    state = (
        StateStream("both", "joints", "/left", ("l", "r"), more_topics=("/right",)),
        StateStream("tool", "tf", "/tf base -> tool", encode="xyz_quaternion"),
        StateStream("down", "imu", "/imu", encode="projected_gravity"),
        StateStream("pad", "constant", values=(0.0,)),
    )
    joints, tf = "sensor_msgs/msg/JointState", "tf2_msgs/msg/TFMessage"
    assert needed_topics(small_embodiment((), state, ())) == {
        **{"/left": (joints,), "/right": (joints,), "/tf": (tf,), "/tf_static": (tf,)},
        "/imu": ("sensor_msgs/msg/Imu",),
    }
