"""A robot's bag played through the inputs gives the same observations and chunks, byte for byte.

Each message is taken before the next is published. So the frames and joint states of an observation
depend on the bag alone, not on this machine.
"""

import time

import numpy as np
import pytest
from bag_files import EMBODIMENT, KINDS, MS, SETTINGS, STREAMS, lanes, reading, recorded
from ros_fixtures import LIMIT_S

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("mujoco", reason="the simulator is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from rclpy.parameter import Parameter  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402

from gr00t_ros.bags.bag import open_bag  # noqa: E402
from gr00t_ros.bags.play import Publishers, choose  # noqa: E402
from gr00t_ros.inputs.images import decode_video  # noqa: E402
from gr00t_ros.inputs.inputs import Inputs  # noqa: E402
from gr00t_ros.observe.buffer import Sample, StampedBuffer  # noqa: E402
from gr00t_ros.observe.observation import Observation, assemble  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.wire.client import PolicyServerClient  # noqa: E402
from gr00t_ros.wire.link import PolicyLink  # noqa: E402

EVERY = 5  # joint states: 20 observations a second


def until(condition, what):
    """As wait_until, but for what takes a fraction of a millisecond, a thousand times."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.0002)


def played(node, bag, embodiment):
    """The observations at every EVERY-th joint state, taken from topics with /clock."""
    publishers = Publishers(node, choose(bag.topics, STREAMS, True), with_clock=True)
    inputs = Inputs(node, embodiment, SETTINGS)
    try:
        until(lambda: not publishers.without_subscriber(), "subscribers of all topics")
        taken = dict.fromkeys(STREAMS, 0)

        def received(topic):
            observed = inputs.observe()
            reports = inputs.streams(bag.end_ns)
            counts = {report.topic: report.received for report in reports}
            return observed if counts[topic] > taken[topic] else None

        for message in bag.messages(STREAMS):
            publishers.publish(message.time_ns, None)
            until(lambda m=message: clock_ns(node) == m.time_ns, "the clock")
            publishers.publish(message.time_ns, message)
            until(lambda m=message: received(m.topic) is not None, f"{message.topic}")
            taken[message.topic] += 1
            if message.topic == "/joint_states" and taken[message.topic] % EVERY == 0:
                yield inputs.observe()
    finally:
        inputs.destroy()
        for publisher in list(node.publishers):
            if publisher.topic_name in (*STREAMS, "/clock"):
                node.destroy_publisher(publisher)


def clock_ns(node):
    """The node's time."""
    return node.get_clock().now().nanoseconds


def assembled(bag, embodiment):
    """The same from the file alone, read by rclpy's own deserialisation."""
    buffers = {topic: StampedBuffer(30_000 * MS, 10_000) for topic in STREAMS}
    joints = 0
    for message in bag.messages(STREAMS):
        content = deserialize_message(message.data, KINDS[message.topic])
        stamp = content.header.stamp
        value = reading(content, message.data)
        sample = Sample(stamp.sec * 10**9 + stamp.nanosec, 0, value)
        assert buffers[message.topic].push(sample)
        joints += message.topic == "/joint_states"
        if message.topic == "/joint_states" and joints % EVERY == 0:
            yield assemble(embodiment, lanes(embodiment, buffers), message.time_ns, 0, SETTINGS)


def as_bytes(embodiment, observation):
    """All of an observation: stamps, frames as sent to the server, states."""
    slots = {
        s.key: np.zeros((1, len(s.delta_indices), s.height_px, s.width_px, 3), np.uint8)
        for s in embodiment.video
    }
    decode_video(embodiment, observation, slots)
    stamps = [sample.stamp_ns for samples in observation.video.values() for sample in samples]
    arrays = {**slots, **observation.state}
    return observation.stamp_ns, stamps, {key: a.tobytes() for key, a in arrays.items()}


def whole(observations):
    """Those that are no gaps."""
    return [one for one in observations if isinstance(one, Observation)]


class Chunks:
    """Asks one policy server about observations."""

    def __init__(self, embodiment, port):
        self._embodiment = embodiment
        self._link = PolicyLink(PolicyServerClient("127.0.0.1", port, 10_000), embodiment, None)

    def ask(self, observations):
        """The action of each, as bytes by key."""
        self._link.check()
        replies = [self._link.query(self._filler(one), 1)[1] for one in observations]
        return [{key: rows.tobytes() for key, rows in reply.items()} for reply in replies]

    def close(self):
        self._link.close()

    def _filler(self, observation):
        def fill(template):
            template.set_instruction("put the red cube on the blue plate")
            decode_video(self._embodiment, observation, template.video)
            for key, rows in observation.state.items():
                template.state[key][0] = rows

        return fill


def test_two_plays_and_the_file_give_the_same_observations_and_chunks(
    processes, ros_node, tmp_path_factory
):
    """With use_sim_time, over real topics."""
    folder = tmp_path_factory.mktemp("bags")
    bags = recorded(processes, ros_node, folder)
    embodiment = load_embodiment(EMBODIMENT)
    ros_node.set_parameters([Parameter("use_sim_time", value=True)])
    with open_bag(bags["sqlite3"]) as bag:
        first, second = (whole(played(ros_node, bag, embodiment)) for _ in range(2))
        direct = whole(assembled(bag, embodiment))
    assert len(direct) >= 20
    assert len({one.stamp_ns for one in direct}) >= 10
    expected = [as_bytes(embodiment, one) for one in direct]
    assert [as_bytes(embodiment, one) for one in first] == expected
    assert [as_bytes(embodiment, one) for one in second] == expected

    server = processes.start(
        "-m", "gr00t_ros.sidecar", "hold", "--port", "0", "--embodiment", EMBODIMENT, name="hold"
    )
    port = int(server.wait_for_line(r"READY tcp://.*:(\d+)")[1])
    chunks = Chunks(embodiment, port)
    try:
        replies = chunks.ask(direct)
        assert chunks.ask(first) == replies
        assert chunks.ask(second) == replies
    finally:
        chunks.close()
    assert len({reply["joint_position"] for reply in replies}) > 1


def test_mcap_holds_what_sqlite3_holds(processes, ros_node, tmp_path_factory):
    """Two recorders of one robot have the same messages where their spans overlap."""
    bags = recorded(processes, ros_node, tmp_path_factory.mktemp("bags"))
    contents = []
    for path in bags.values():
        with open_bag(path) as bag:
            contents.append([(m.topic, m.data) for m in bag.messages(STREAMS)])
    for topic in STREAMS:
        one, other = ([data for name, data in c if name == topic] for c in contents)
        common = set(one) & set(other)
        assert len(common) >= 0.8 * min(len(one), len(other)), topic
        assert [data for data in one if data in common] == [d for d in other if d in common]
