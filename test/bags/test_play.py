"""gr00t bag play publishes the bag's own bytes, in its rhythm and on its clock."""

import os
import signal
import time

import pytest
from bag_files import (
    EMBODIMENT,
    MS,
    STREAMS,
    edit_metadata,
    joint_states,
    recorded,
    write_bag,
    write_mcap,
)
from ros_fixtures import collect, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from rclpy.parameter import Parameter  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from gr00t_ros.bags.bag import open_bag  # noqa: E402
from gr00t_ros.bags.play import DEPTH  # noqa: E402
from gr00t_ros.bags.record import offered  # noqa: E402
from gr00t_ros.inputs.images import read  # noqa: E402
from gr00t_ros.inputs.inputs import Inputs  # noqa: E402
from gr00t_ros.observe.observation import Observation, ObservationSettings  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402

# The defaults, but for a machine that stands still now and then.
SETTINGS = ObservationSettings(1_000 * MS, 1_000 * MS, 50 * MS)
PLAY = ("-m", "gr00t_ros.bags", "play")


@pytest.fixture
def joints_bag(tmp_path):
    """Half a second of joint states at 100 Hz."""
    messages = [("/joints", time_ns, message) for time_ns, message in joint_states(50)]
    return write_bag(tmp_path / "bag", messages)


def raw(node, kind, topic):
    """A list of the serialised messages of a topic, none of them lost."""
    messages = []
    node.create_subscription(kind, topic, messages.append, 10 * DEPTH, raw=True)
    return messages


def test_a_robots_bag_in_real_time_becomes_observations_of_its_own_frames(
    processes, ros_node, tmp_path_factory
):
    """Fresh by the bag's clock, whatever the stamps say to this machine's; exit status 0."""
    pytest.importorskip("mujoco", reason="the simulator is not installed")
    bags = recorded(processes, ros_node, tmp_path_factory.mktemp("bags"))
    with open_bag(bags["mcap"]) as bag:
        messages = list(bag.messages(STREAMS))
        start_ns, end_ns = bag.start_ns, bag.end_ns
    joints = raw(ros_node, JointState, "/joint_states")
    clock = collect(ros_node, Clock, "/clock", 10 * DEPTH)
    ros_node.set_parameters([Parameter("use_sim_time", value=True)])
    inputs = Inputs(ros_node, load_embodiment(EMBODIMENT), SETTINGS)
    try:
        player = processes.start(
            *PLAY, str(bags["mcap"]), "--clock", "--topics", *STREAMS, name="play"
        )
        observations = {}
        while player.status is None:
            time.sleep(0.001)  # the node's thread must get its turn
            observed = inputs.observe()
            if isinstance(observed, Observation):
                observations[observed.stamp_ns] = observed
        assert player.wait() == 0
    finally:
        inputs.destroy()
    expected = [m.data for m in messages if m.topic == "/joint_states"]
    wait_until(lambda: len(joints) == len(expected), "all joint states")
    assert joints == expected
    tick_ns = lambda m: m.clock.sec * 10**9 + m.clock.nanosec  # noqa: E731
    wait_until(lambda: tick_ns(clock[-1]) > end_ns - 5 * MS, "the last tick")
    ticks_ns = list(map(tick_ns, clock))
    steps_ns = [b - a for a, b in zip(ticks_ns, ticks_ns[1:], strict=False) if a != b]
    assert all(step > 0 and step % (5 * MS) == 0 for step in steps_ns)
    assert len(steps_ns) > 100 * (end_ns - start_ns) * 1e-9
    assert ticks_ns[0] == start_ns and end_ns - 5 * MS < ticks_ns[-1] <= end_ns
    assert observations
    frames = {read(m.data, "raw").data.tobytes() for m in messages if "image" in m.topic}
    sent = [
        s.value.data.tobytes()
        for one in observations.values()
        for v in one.video.values()
        for s in v
    ]
    assert all(frame in frames for frame in sent)


def test_it_waits_for_a_subscriber_of_every_topic(processes, ros_node, joints_bag):
    """Nothing is lost to a node that starts later, and the topic waited for is named."""
    player = processes.start(*PLAY, str(joints_bag), "--rate", "10")
    player.wait_for_line("waiting for a subscriber of /joints")
    received = collect(ros_node, JointState, "/joints", DEPTH)
    assert player.wait() == 0
    wait_until(lambda: received and received[-1].position[0] == 49.0, "the last message")


def test_no_wait_starts_at_once_from_an_offset(processes, joints_bag):
    """A part of the bag: from 0.395 s on, ten of fifty messages."""
    options = ("--no-wait", "--start-offset", "0.395", "--rate", "2")
    player = processes.start(*PLAY, str(joints_bag), *options)
    assert player.wait() == 0
    player.wait_for_line("played 10 messages of 1 topics")


def test_loop_starts_again_until_it_is_stopped(processes, ros_node, joints_bag):
    """The clock runs back with the bag; SIGTERM is a normal end."""
    clock = collect(ros_node, Clock, "/clock", 10 * DEPTH)
    options = ("--no-wait", "--loop", "--clock", "--rate", "5")
    player = processes.start(*PLAY, str(joints_bag), *options)

    def ran_back():
        ticks = [m.clock.sec * 10**9 + m.clock.nanosec for m in list(clock)]
        return any(a > b for a, b in zip(ticks, ticks[1:], strict=False))

    wait_until(ran_back, "the second round")
    player.signal(signal.SIGTERM)
    assert player.wait() == 0


def test_commands_are_played_only_when_named(processes, ros_node, tmp_path):
    """A robot that listens does not move because somebody looks at a bag."""
    command = JointTrajectory(joint_names=["j1"])
    joints = [("/joints", time_ns, message) for time_ns, message in joint_states(5)]
    bag = str(write_bag(tmp_path / "bag", [("/move", 10**9, command), *joints]))
    received = collect(ros_node, JointTrajectory, "/move", DEPTH)
    player = processes.start(*PLAY, bag, "--no-wait")
    assert player.wait() == 0
    player.wait_for_line("left out /move: .* commands a robot")
    player.wait_for_line("played 5 messages of 1 topics")
    player = processes.start(*PLAY, bag, "--topics", "/move")
    assert player.wait() == 0
    wait_until(lambda: len(received) == 1, "the named command, and no other")


def test_a_latched_topic_is_latched_again(processes, ros_node, tmp_path):
    """As recorded: whoever subscribes late still gets it."""
    joints = [("/joints", time_ns, message) for time_ns, message in joint_states(200)]
    joints.append(("/text", 10**9, String(data="early")))
    bag = write_bag(tmp_path / "bag", joints, profiles=[offered(qos.STATUS)])
    player = processes.start(*PLAY, str(bag), "--no-wait", "--loop")
    joints = collect(ros_node, JointState, "/joints", DEPTH)
    wait_until(lambda: joints, "a later message")
    texts = collect(ros_node, String, "/text", qos.STATUS)
    wait_until(lambda: texts and texts[0].data == "early", "the latched text")
    assert player.stop() == 0


def test_what_metadata_promise_and_no_file_holds_is_told_and_no_success(processes, joints_bag):
    """All that is there is played."""
    edit_metadata(joints_bag, "message_count: 50", "message_count: 70")
    player = processes.start(*PLAY, str(joints_bag), "--no-wait", "--rate", "10")
    assert player.wait() == 1
    player.wait_for_line("/joints: metadata.yaml says 70 messages, the files hold 50")
    player.wait_for_line("played 50 messages of 1 topics")


def test_qos_that_differs_in_the_metadata_drops_nothing(processes, ros_node, tmp_path):
    """Played 0 of them and exit status 0 once."""
    messages = [("/joints", time_ns, message) for time_ns, message in joint_states(50)]
    bag = write_bag(tmp_path / "bag", messages, profiles=[offered(qos.STATUS)])
    edit_metadata(bag, "durability: transient_local", "durability: volatile")
    received = collect(ros_node, JointState, "/joints", DEPTH)
    player = processes.start(*PLAY, str(bag), "--rate", "10")
    assert player.wait() == 0
    player.wait_for_line("played 50 messages of 1 topics")
    wait_until(lambda: len(received) == 50, "all of them")


def test_a_topic_that_was_asked_for_and_cannot_be_read_is_no_success(processes, tmp_path):
    """Named with its reason; without --topics the others are what was asked for."""
    cdr = ("sensor_msgs/msg/JointState", "ros2msg", b"", "cdr")
    channels = {"/joints": cdr, "/notes": ("Notes", "jsonschema", b"{}", "json")}
    messages = [("/joints", ns, serialize_message(message)) for ns, message in joint_states(5)]
    messages.append(("/notes", messages[-1][1], b"{}"))
    bag = str(write_mcap(tmp_path / "a.mcap", channels, messages, profile=""))
    for topics, status in (((), 0), (("--topics", "/joints", "/notes"), 1)):
        player = processes.start(*PLAY, bag, "--no-wait", *topics)
        assert player.wait() == status
        player.wait_for_line(r"left out /notes: its messages are encoded as \['json'\]")
        player.wait_for_line("played 5 messages of 1 topics")


def test_a_message_that_cannot_be_read_is_left_out_with_a_word(processes, tmp_path):
    """The others are played; it is no success."""
    cdr = ("sensor_msgs/msg/JointState", "ros2msg", b"", "cdr")
    rows = [("/joints", ns, serialize_message(message)) for ns, message in joint_states(5)]
    rows.insert(2, ("/joints", rows[1][1], b""))
    bag = str(write_mcap(tmp_path / "a.mcap", {"/joints": cdr}, rows))
    player = processes.start(*PLAY, bag, "--no-wait")
    assert player.wait() == 1
    player.wait_for_line("played 5 messages of 1 topics")
    player.wait_for_line(
        f"left out 1 messages .* first: /joints: the message of bag time {rows[1][1]} ns is empty"
    )


def test_nothing_played_is_no_success(processes, tmp_path):
    """Of a topic that ends before the offset."""
    messages = [("/joints", time_ns, message) for time_ns, message in joint_states(50)]
    messages.append(("/text", 10**9, String(data="early")))
    bag = str(write_bag(tmp_path / "bag", messages))
    options = ("--no-wait", "--topics", "/text", "--start-offset", "0.2")
    player = processes.start(*PLAY, bag, *options)
    assert player.wait() == 1
    player.wait_for_line("nothing was played")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("/nowhere/bag",), "/nowhere/bag: no such bag"),
        (
            ("BAG", "--topics", "/other"),
            r"\['/other'\] are not in the bag, which has \['/joints'\]",
        ),
        (("BAG", "--rate", "0"), "--rate: got 0.0, expected 0.01 to 100"),
        (("BAG", "--rate", "nan"), "--rate: got nan"),
        (("BAG", "--start-offset", "1"), "--start-offset: got 1.0, expected 0 to 0.490 s"),
    ],
)
def test_what_cannot_be_played_is_said_in_one_line(processes, joints_bag, arguments, line):
    """Exit status 2, no traceback."""
    words = [str(joints_bag) if word == "BAG" else word for word in arguments]
    player = processes.start(*PLAY, *words)
    player.wait_for_line(line)
    assert player.wait() == 2
    assert "Traceback" not in player.text()


def test_without_rosbags_the_command_that_installs_it_is_named(processes, joints_bag, tmp_path):
    """Rosdep is not used in a virtual environment, so nothing else would."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['rosbags'] = None\n")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    player = processes.start(*PLAY, str(joints_bag), PYTHONPATH=path)
    player.wait_for_line(r"rosbags .*run: python3 -m pip install rosbags==")
    assert player.wait() == 2
