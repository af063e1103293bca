"""Every kind of bag is opened, or refused with its name and the reason."""

import contextlib
import shutil
import sqlite3

import pytest
from bag_files import add_messages, edit_metadata, joint_states, write_bag, write_mcap

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from input_robot import small_embodiment  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from rosbags.rosbag2 import StoragePlugin, Writer  # noqa: E402
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode  # noqa: E402
from rosbags.rosbag2.reader import zstd  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from gr00t_ros.bags.bag import BagTopic, open_bag  # noqa: E402
from gr00t_ros.bags.info import needed_topics  # noqa: E402
from gr00t_ros.bags.play import choose  # noqa: E402
from gr00t_ros.bags.record import VERSION, offered  # noqa: E402
from gr00t_ros.errors import BagError  # noqa: E402
from gr00t_ros.robot.streams import StateStream  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402

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


@pytest.mark.parametrize("mcap", [False, True])
def test_qos_that_metadata_say_otherwise_drops_no_message(tmp_path, mcap):
    """Metadata are edited to play a topic latched, and recorders write what differs."""
    path = write_bag(tmp_path / "bag", MESSAGES, mcap, [offered(qos.STATUS)])
    edit_metadata(path, "durability: transient_local", "durability: volatile")
    edit_metadata(path, "depth: 1", "depth: 7")
    with open_bag(path) as bag:
        assert bag.topics == (BagTopic("/joints", "sensor_msgs/msg/JointState", 20, False),)
        assert len(list(bag.messages(["/joints"]))) == 20


@pytest.mark.parametrize(("said", "lost"), [(25, True), (15, False), (0, False)])
def test_counts_that_differ_from_the_metadata_are_told(tmp_path, said, lost):
    """A recorder that was killed says none, a file that was replaced holds fewer."""
    path = write_bag(tmp_path / "bag", MESSAGES)
    edit_metadata(path, "message_count: 20", f"message_count: {said}")
    with open_bag(path) as bag:
        (topic,) = bag.topics
        assert len(list(bag.messages(["/joints"]))) == topic.count == 20
    assert topic.lost is lost
    assert topic.difference == f"metadata.yaml says {said} messages, the files hold 20"


def test_a_topic_that_only_the_metadata_know_is_one_without_messages(tmp_path):
    """Of a file that was exchanged for another."""
    path = write_bag(tmp_path / "bag", MESSAGES)
    edit_metadata(path, "name: /joints", "name: /arms")
    with open_bag(path) as bag:
        arms, joints = bag.topics
    assert (arms.name, arms.count, arms.lost) == ("/arms", 0, True)
    assert (joints.name, joints.count, joints.lost) == ("/joints", 20, False)


@pytest.mark.parametrize("mcap", [False, True])
@pytest.mark.parametrize("packed", ["", ".zstd", ".zst"])
def test_a_folder_without_metadata_is_read_from_its_files(tmp_path, mcap, packed):
    """As a killed recorder leaves it, in parts and packed; what was unpacked counts once."""
    folder = tmp_path / "bag"
    folder.mkdir()
    suffix = "mcap" if mcap else "db3"
    for part in range(11):
        written = write_bag(tmp_path / f"part_{part}", MESSAGES[part : part + 1], mcap)
        (file,) = written.glob(f"*.{suffix}")
        shutil.copy(file, folder / f"bag_{part}.{suffix}")
        if packed:
            name = f"bag_{part}.{suffix}{packed}"
            (folder / name).write_bytes(zstd.compress(file.read_bytes()))
            if part:  # the first was unpacked by hand
                (folder / f"bag_{part}.{suffix}").unlink()
    with open_bag(folder) as bag:
        assert [one.count for one in bag.topics] == [11]
        assert (bag.start_ns, bag.end_ns) == (MESSAGES[0][1], MESSAGES[10][1])
        assert [m.time_ns for m in bag.messages(["/joints"])] == [ns for _, ns, _ in MESSAGES[:11]]


@pytest.mark.parametrize("mcap", [False, True])
@pytest.mark.parametrize("mode", [mode for mode in CompressionMode if mode.name != "STORAGE"])
def test_bags_that_their_recorder_packed_are_read_as_folder_and_as_file(tmp_path, mcap, mode):
    """Whatever compression_mode it was told, under the names that it gives."""
    path = tmp_path / "bag"
    plugin = StoragePlugin.MCAP if mcap else StoragePlugin.SQLITE3
    writer = Writer(path, version=VERSION, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        add_messages(writer, MESSAGES)
    (file,) = (one for one in path.iterdir() if one.name != "metadata.yaml")
    assert (file.suffix == ".zstd") is (mode is CompressionMode.FILE)
    (path / "metadata.yaml").rename(tmp_path / "metadata.yaml")
    for one in (file, path):
        with open_bag(one) as bag:
            assert [m.time_ns for m in bag.messages(["/joints"])] == [ns for _, ns, _ in MESSAGES]
    (tmp_path / "metadata.yaml").rename(path / "metadata.yaml")
    with open_bag(path) as bag:
        data = [m.data for m in bag.messages(["/joints"])]
    kind = type(MESSAGES[0][2])
    assert [deserialize_message(one, kind) for one in data] == [m for *_, m in MESSAGES]


@pytest.mark.parametrize("mcap", [False, True])
def test_a_bag_whose_files_were_packed_by_hand_is_read_as_folder_and_as_file(tmp_path, mcap):
    """By the program zstd, which appends .zst; a packed copy beside another counts once."""
    path = write_bag(tmp_path / "bag", MESSAGES, mcap)
    (file,) = (one for one in path.iterdir() if one.name != "metadata.yaml")
    packed = file.with_name(file.name + ".zst")
    packed.write_bytes(zstd.compress(file.read_bytes()))
    file.unlink()
    edit_metadata(path, f"- {file.name}", f"- {packed.name}")
    for one in (path, packed):
        with open_bag(one) as bag:
            assert len(list(bag.messages(["/joints"]))) == 20
    (path / "metadata.yaml").unlink()
    shutil.copy(packed, packed.with_suffix(".zstd"))
    with open_bag(path) as bag:
        assert len(list(bag.messages(["/joints"]))) == 20


@pytest.mark.parametrize("with_metadata", [False, True])
def test_messages_that_were_packed_one_by_one_are_unpacked(tmp_path, with_metadata):
    """compression_mode message; without metadata each message says it itself."""
    path = write_bag(tmp_path / "bag", MESSAGES)
    (file,) = path.glob("*.db3")
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.create_function("pack", 1, zstd.compress)
        database.execute("UPDATE messages SET data = pack(data)")
    with open_bag(path if with_metadata else file) as bag:
        data = [m.data for m in bag.messages(["/joints"])]
    kind = type(MESSAGES[0][2])
    assert [deserialize_message(one, kind) for one in data] == [m for *_, m in MESSAGES]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\x04\x22", r"begins with b'\x04"),
        (zstd.compress(b"\x01"), r"begins with b'\x01'"),
        (zstd.compress(b"\0" * 99)[:-4], "cannot be unpacked"),
    ],
)
def test_a_message_that_is_no_cdr_is_never_left_out_in_silence(tmp_path, data, says):
    """Readers would get nothing of it: it ends in an error, or is told to who goes on without."""
    channel = ("sensor_msgs/msg/JointState", "ros2msg", b"", "cdr")
    rows = [("/joints", 1, b"\0\1\0\0"), ("/joints", 2, data), ("/joints", 3, b"\0\1\0\0")]
    told = f"/joints: the message of bag time 2 ns {says}"
    file = write_mcap(tmp_path / "a.mcap", {"/joints": channel}, rows)
    with open_bag(file) as bag:
        with pytest.raises(BagError) as caught:
            list(bag.messages(["/joints"]))
        assert str(caught.value).startswith(f"{file}: cannot be read on: {told}")
        left_out = []
        found = [one.time_ns for one in bag.messages(["/joints"], 0, left_out.append)]
    assert found == [1, 3]
    (text,) = left_out
    assert text.startswith(told)


@pytest.mark.parametrize("profile", ["ros2", "", "x-mixed"])
def test_channels_of_another_encoding_stand_beside_those_that_can_be_read(tmp_path, profile):
    """JSON, protobuf with a schema that is no text, one topic of two types; any profile."""
    cdr = ("sensor_msgs/msg/JointState", "ros2msg", b"float64 x", "cdr")
    channels = {
        "/joints": cdr,
        "/json": ("Notes", "jsonschema", b"{}", "json"),
        "/proto": ("foxglove.Log", "protobuf", b"\x0a\xff\xfe\x80", "protobuf"),
        "/bare": ("Raw", "", b"", "json"),
    }
    joints = [("/joints", ns, serialize_message(m)) for _, ns, m in MESSAGES]
    data = joints + [(topic, 10**9, b"{}") for topic in channels if topic != "/joints"]
    file = write_mcap(tmp_path / "a.mcap", channels, sorted(data, key=lambda one: one[1]), profile)
    with open_bag(file) as bag:
        topics = {topic.name: topic for topic in bag.topics}
        messages = list(bag.messages(channels))
    assert [(m.topic, m.time_ns, m.data) for m in messages] == joints
    assert topics["/joints"].problem == ""
    for name in ("/json", "/proto", "/bare"):
        encoding = channels[name][3]
        assert topics[name].problem == f"its messages are encoded as ['{encoding}'], expected 'cdr'"
    choice = choose(bag.topics, (), False)
    assert choice.names == ("/joints",)
    assert [line.split(":")[0] for line in choice.left_out] == ["/bare", "/json", "/proto"]


def test_a_foreign_topic_in_the_metadata_does_not_refuse_the_bag(tmp_path):
    """Rosbags' own reader of folders refuses all of it."""
    path = write_bag(tmp_path / "bag", [*MESSAGES, ("/text", 10**9, String(data="a"))])
    (file,) = path.glob("*.db3")
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE topics SET serialization_format = 'json' WHERE name = '/text'")
    edit_metadata(path, "serialization_format: cdr", "serialization_format: json")
    with open_bag(path) as bag:
        joints, text = bag.topics
        assert len(list(bag.messages(["/joints", "/text"]))) == 20
    assert (joints.problem, text.problem) == (
        "",
        "its messages are encoded as ['json'], expected 'cdr'",
    )


def test_a_topic_of_two_types_is_named_and_the_others_are_read(tmp_path):
    """Parts of two recordings in one folder."""
    folder = tmp_path / "bag"
    folder.mkdir()
    other = [("/joints", 10**9, String(data="a")), ("/text", 10**9, String(data="b"))]
    for name, messages in (("a", MESSAGES), ("b", other)):
        (file,) = write_bag(tmp_path / name, messages).glob("*.db3")
        shutil.copy(file, folder)
    with open_bag(folder) as bag:
        joints, text = bag.topics
    assert "has the types ['sensor_msgs/msg/JointState', 'std_msgs/msg/String']" in joints.problem
    assert (text.problem, text.count) == ("", 1)


def test_what_cannot_be_read_says_how_to_go_on(tmp_path):
    """A file that is named and gone, one that was not finished, one that is packed badly."""
    gone, killed = tmp_path / "gone", tmp_path / "killed.mcap"
    write_bag(gone, MESSAGES)
    (file,) = gone.glob("*.db3")
    shutil.copy(file, tmp_path / "late.db3")
    file.unlink()
    (tmp_path / "late.db3-wal").write_bytes(b"pages")
    written = write_mcap(tmp_path / "a.mcap", {"/a": ("a/msg/A", "ros2msg", b"", "cdr")}, [])
    killed.write_bytes(written.read_bytes()[:-20])
    (tmp_path / "bad.db3.zst").write_bytes(b"no zstd")
    (tmp_path / "notes.txt").write_text("no bag")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name in ("a.db3", "b.mcap"):
        (mixed / name).write_bytes(b"")
    for path, remedy in (
        (gone, "ros2 bag reindex"),
        (killed, f"mcap recover {killed}"),
        (tmp_path / "late.db3", "PRAGMA wal_checkpoint"),
        (tmp_path / "bad.db3.zst", f"zstd -d {tmp_path}/bad.db3.zst"),
        (tmp_path / "notes.txt", "expected a file"),
        (mixed, "give one file"),
    ):
        with pytest.raises(BagError) as caught, open_bag(path):
            pass
        assert str(caught.value).startswith(f"{path}: cannot be read as a rosbag2 bag: ")
        assert remedy in str(caught.value)


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
