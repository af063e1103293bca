"""A bag played twice to the policy node in shadow gives the same observations and equal chunks.

In lockstep: the clock moves only after the node has taken all messages before, in steps of 10 ms as
fast as real time, and new messages come two statuses later, when no request waits for its answer.
So the frames of an observation depend on the bag alone. The age of arrival is steady time: after a
late step the node pauses, and the play ends there. What it gave until then counts, and the bag is
played once more.
"""

import os
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from bag_files import EMBODIMENT, KINDS, MS, SETTINGS, STREAMS, lanes, reading, recorded
from ros_fixtures import collect, wait_until

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("mujoco", reason="the simulator is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from digest_policy import digest, seen  # noqa: E402
from fault_matrix.lateness import waits_ns  # noqa: E402
from node_robot import NODE, Rig  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402

from gr00t_ros.bags.bag import open_bag  # noqa: E402
from gr00t_ros.bags.play import Publishers, choose  # noqa: E402
from gr00t_ros.inputs.images import decode_video  # noqa: E402
from gr00t_ros.msg import ActionChunk  # noqa: E402
from gr00t_ros.observe.buffer import Sample, StampedBuffer  # noqa: E402
from gr00t_ros.observe.observation import Observation, assemble  # noqa: E402
from gr00t_ros.robot.files import load_embodiment  # noqa: E402
from gr00t_ros.ros import qos  # noqa: E402

STEP_NS = 100 * MS
CLOCK_NS = 10 * MS
"""The clock's own step: after a longer one the replay's next window would be late."""
STEPS = 22
"""A second of history, and then a query every second step or so."""
SLOW_S = 0.8
"""After a longer step the state that was sent before it may count as too old: 1 s at most."""
OVERSLEPT_S = 0.04
"""Within one step: a replay thread that waits so long misses its tick by 60 ms, three ticks."""

PROMPT = """
import sys
from gr00t_ros.node import node, status
status._UNCHANGED_S = 0.1
sys.exit(node.main())
"""
"""The node with a status at each tick of its timer, 0.1 s: each step of a play waits for one."""

PLAYS = 6
"""So many plays at most until COMMON chunks were given by two of them."""
COMMON = 5

# Bag time moves by the test's command, so that only bag time may judge.
PATIENT = {
    **{"use_sim_time": "true", "shadow": "true", "execute_steps": 1, "clock_silence_s": 10.0},
    **{"max_camera_age_s": 2.0, "max_joint_age_s": 1.0, "controller_silence_s": 60.0},
}


@pytest.fixture
def rig(processes, ros_node):
    """The node and a server that tells what it has seen."""
    rig = Rig(processes, ros_node)
    rig.node_command = ("-c", PROMPT)
    yield rig
    rig.close()


def steps(bag):
    """(bag time, {topic: message}) on a grid of 0.1 s: what is the newest there and was not before.

    The first has a message of every topic.
    """
    newest, edge_ns, complete = {}, bag.start_ns + STEP_NS, False
    for message in bag.messages(STREAMS):
        while message.time_ns > edge_ns:
            complete = complete or len(newest) == len(STREAMS)
            if complete:
                yield edge_ns, newest
                newest = {}
            edge_ns += STEP_NS
        newest[message.topic] = message


class Player:
    """Plays the steps of a bag to one node, and remembers what the file alone makes of them."""

    def __init__(self, rig, bag):
        self.rig, self.embodiment = rig, load_embodiment(EMBODIMENT)
        self.publishers = Publishers(rig.node, choose(bag.topics, STREAMS, True), with_clock=True)
        self.buffers = {topic: StampedBuffer(30_000_000_000, 10_000) for topic in STREAMS}
        self.expected = {}
        self.clock_ns = 0
        self.sent_s, self.longest_s, self.overslept_s = 0.0, 0.0, 0.0
        self.waits = {}
        self.in_lockstep = 0  # chunks until the last step without a pause

    def advance(self, time_ns):
        """Move the clock to `time_ns`, as fast as real time; the first time at once."""
        self.clock_ns = self.clock_ns or time_ns
        while True:
            self.publishers.publish(self.clock_ns, None)
            if self.clock_ns >= time_ns:
                return
            before_s = time.monotonic()
            time.sleep(CLOCK_NS * 1e-9)
            overslept_s = time.monotonic() - before_s - CLOCK_NS * 1e-9
            self.overslept_s = max(self.overslept_s, overslept_s, self.node_waited_s())
            self.clock_ns = min(self.clock_ns + CLOCK_NS, time_ns)

    def node_waited_s(self):
        """The longest wait of a thread of the node for its processor since the last call, s."""
        before, self.waits = self.waits, waiting_s(self.rig.policy.pid)
        return max(s - before.get(thread, s) for thread, s in self.waits.items())

    def taken(self):
        """How many messages of each topic the node has taken, as its newest status says."""
        streams = self.rig.statuses[-1].streams if self.rig.statuses else ()
        return {stream.topic: stream.received for stream in streams}

    def wait_for_answers(self):
        """Until the node has the answer of each request that it could send at this time."""
        seen = len(self.rig.statuses)

        def answered():
            statuses = self.rig.statuses[seen + 1 :]  # the first one may have been under way
            return any(s.queries == s.chunks_accepted + s.chunks_dropped for s in statuses)

        wait_until(lambda: answered() or paused(self.rig), "the chunk of what is there")

    def play(self, time_ns, messages, first=False):
        """One message of each topic; returns when all of them were taken."""
        before = self.taken()
        self.measure()
        self.sent_s = time.monotonic()
        for message in messages.values():
            self.publishers.publish(time_ns, message)
            self.remember(message)

        def all_taken():
            if first:  # the node may not yet hear us, although we hear of it
                self.publishers.publish(time_ns, None)
                for message in messages.values():
                    self.publishers.publish(time_ns, message)
            now = self.taken()
            return all(now.get(topic, 0) > before.get(topic, 0) for topic in messages)

        wait_until(all_taken, "a status that has taken all messages")
        buffers = lanes(self.embodiment, self.buffers)
        observation = assemble(self.embodiment, buffers, time_ns, 0, SETTINGS)
        if isinstance(observation, Observation):
            self.expected[observation.stamp_ns] = self.digest(observation)

    def measure(self):
        """Remember how long the longest step has been, and the longest wait in it."""
        self.overslept_s = max(self.overslept_s, self.node_waited_s())
        if self.sent_s:
            self.longest_s = max(self.longest_s, time.monotonic() - self.sent_s)

    def remember(self, message):
        """The message as the node's own buffers would hold it."""
        content = deserialize_message(message.data, KINDS[message.topic])
        stamp = content.header.stamp
        sample = Sample(stamp.sec * 10**9 + stamp.nanosec, 0, reading(content, message.data))
        assert self.buffers[message.topic].push(sample)

    def digest(self, observation):
        """What the policy has to see."""
        slots = {
            s.key: np.zeros((1, len(s.delta_indices), s.height_px, s.width_px, 3), np.uint8)
            for s in self.embodiment.video
        }
        decode_video(self.embodiment, observation, slots)
        return digest({**slots, **observation.state})


def played(rig, bag, chunks):
    """Stamp -> (digest told by the chunk, by the file); stamp -> the chunk's bytes; why it paused.

    Only of chunks before a pause: a node that paused asks at moments of its own.
    """
    rig.statuses.clear()
    chunks.clear()
    player = Player(rig, bag)
    rig.start_policy(embodiment=EMBODIMENT, **PATIENT)
    assert rig.change("configure")
    wait_until(lambda: not player.publishers.without_subscriber(), "subscribers of all topics")
    activated = False
    for number, (time_ns, messages) in enumerate(islice(steps(bag), STEPS)):
        player.advance(time_ns)
        if activated:
            player.wait_for_answers()
        player.play(time_ns, messages, first=not number)
        if not activated and rig.statuses[-1].ready:
            assert rig.change("activate")
            activated = True
        count = len(chunks)  # before the question: a chunk after a pause does not count
        if paused(rig):
            break
        player.in_lockstep = count
    player.measure()
    why = paused(rig)
    assert rig.policy.stop() == 0
    for publisher in list(rig.node.publishers):
        if publisher.topic_name in (*STREAMS, "/clock"):
            rig.node.destroy_publisher(publisher)
    starved = "check the CPU's load" in why and player.overslept_s > OVERSLEPT_S
    late = player.longest_s > SLOW_S or starved
    assert not why or late, f"paused without a late step: {why}"
    kept = chunks[: player.in_lockstep]
    return dict(compared(player, kept)), {stamp_of(c): bytes_of(c) for c in kept}, why


def waiting_s(pid):
    """How long each thread of a process could have run and did not, and what the host took, s."""
    stolen = int(Path("/proc/stat").read_text().split()[8]) / os.sysconf("SC_CLK_TCK")
    return {"host": stolen, **{thread: ns * 1e-9 for thread, ns in waits_ns(pid)}}


def paused(rig):
    """Why a watch stopped the plan in this play; empty if none did."""
    stops = (s for s in list(rig.statuses) if s.mode in ("stopping", "paused", "fault"))
    return next((f"{s.mode}: {s.reason}" for s in stops), "")


def compared(player, chunks):
    """Stamp -> what the node saw, what it should have seen."""
    for chunk in chunks:
        (group,) = (g for g in chunk.groups if g.action_key == "joint_position")
        rows = np.array(group.data, np.float32).reshape(group.rows, -1)
        yield stamp_of(chunk), (seen(rows), player.expected[stamp_of(chunk)])


def stamp_of(chunk):
    """A chunk's observation stamp, ns."""
    return chunk.header.stamp.sec * 10**9 + chunk.header.stamp.nanosec


def bytes_of(chunk):
    """All numbers of a chunk."""
    return b"".join(np.array(g.data, np.float32).tobytes() for g in chunk.groups)


@pytest.mark.shared_memory
def test_two_plays_to_the_node_give_the_files_observations_and_the_same_chunks(
    rig, processes, ros_node, tmp_path_factory
):
    """Byte for byte: each chunk carries a digest of all that its observation had."""
    path = recorded(processes, ros_node, tmp_path_factory.mktemp("bags"))["sqlite3"]
    chunks = collect(ros_node, ActionChunk, f"{NODE}/action_chunk", qos.CHUNK)
    rig.start_server("digest_policy:make_policy")
    plays, pauses = [], []
    with open_bag(path) as bag:
        while len(common := given_twice(plays)) < COMMON:
            if len(plays) == PLAYS and sum(map(bool, pauses)) > PLAYS - 2:
                pytest.skip(f"this machine is too late to play a bag without a pause: {pauses}")
            assert len(plays) < PLAYS, [len(play) for play in plays]
            told, content, pause = played(rig, bag, chunks)
            assert all(saw == expected for saw, expected in told.values())
            assert len(set(content.values())) == len(content), "every observation was another one"
            plays.append(content)
            pauses.append(pause)
    for stamp in common:
        assert len({play[stamp] for play in plays if stamp in play}) == 1


def given_twice(plays):
    """Stamps of the chunks that more than one play gave."""
    counts = Counter(stamp for play in plays for stamp in play)
    return {stamp for stamp, count in counts.items() if count > 1}
