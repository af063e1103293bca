"""What is taken, when an episode cannot go on, and that no message of an episode is forgotten."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags.rosbag2", reason="rosbags is not installed")

from gr00t_ros.bags.bag import open_bag  # noqa: E402
from gr00t_ros.errors import BagError  # noqa: E402
from gr00t_ros.record.facts import read_facts  # noqa: E402
from gr00t_ros.record.info import main as info  # noqa: E402
from gr00t_ros.record.mcap_file import Channel  # noqa: E402
from gr00t_ros.record.preroll import Preroll, RecordedMessage  # noqa: E402
from gr00t_ros.record.recorder import Recorder  # noqa: E402
from gr00t_ros.record.recording import RESERVE_BYTES, Recording, unfinished  # noqa: E402
from gr00t_ros.record.session import STOP, PolicyNodeState, RecordingSession, RecordingSettings  # noqa: E402
from gr00t_ros.record.writer import EpisodeWriter  # noqa: E402

MS = 1_000_000
EVENTS = Channel("/gr00t_record/events", "std_msgs/msg/String", "string data\n", "RIHS01_e", "[]")


class Queue:
    """A topic whose messages the test puts there."""

    def __init__(self, topic, latched=False):
        self.topic, self.latched, self.lost, self.looks = topic, latched, 0, 0
        self.channel = Channel(topic, "std_msgs/msg/String", "string data\n", "RIHS01_s", "[]")
        self.waiting: list[tuple[int, bytes, int]] = []

    def take(self):
        """The next message; what was lost before it is known from then on."""
        if not self.waiting:
            return None
        time_ns, data, lost = self.waiting.pop(0)
        self.lost += lost
        return time_ns, data

    def look(self):
        """Count."""
        self.looks += 1


class Rig:
    """A recorder with two topics and a clock."""

    def __init__(self, folder, min_free=0, by_policy=False):
        self.now_ns = 1000 * MS
        self.set_ns = 0  # by how much somebody has set the clock
        self.a, self.b = Queue("/a"), Queue("/b")
        self.status = Queue("/gr00t_policy/status")
        self.recording = Recording(folder, "franka_droid", min_free)
        self.recording.claim()
        settings = RecordingSettings("panda", "/gr00t_policy", by_policy=by_policy)
        self.session = RecordingSession(settings, "task", self.recording.next_index)
        writer = EpisodeWriter(10**6, give_room=self.recording.give_reserve)
        topics = [self.a, self.b, self.status]
        self.recorder = Recorder(
            *(self.recording, self.session, Preroll(100 * MS), writer, topics),
            lambda: self.now_ns,
            lambda event: RecordedMessage(EVENTS, event.time_ns, bytes(4) + event.name.encode()),
            lambda: self.now_ns - self.set_ns,
        )
        self.recorder.status_topic = self.status.topic
        self.recorder.read_status = lambda data: PolicyNodeState(
            data[4:].decode(), 1, "policy's task"
        )

    def send(self, topic, at_ms, lost=0, text="text"):
        """A message that is received at that time, after so many that were lost."""
        topic.waiting.append((at_ms * MS, bytes(4) + text.encode(), lost))

    def at(self, ms):
        """Set the clock and take what waits."""
        self.now_ns = ms * MS
        self.recorder.pull()

    def start(self, ms):
        """Begin an episode."""
        self.now_ns = ms * MS
        self.recorder.change(self.session.start)

    def stop(self, ms):
        """End it."""
        self.now_ns = ms * MS
        self.recorder.change(lambda now_ns: self.session.end(now_ns, STOP))

    def read(self, index=0):
        """(topic, bag time in ms) of an episode that is finished."""
        assert self.recorder.writer.wait(30.0)
        with open_bag(self.recording.episode(index)) as bag:
            found = list(bag.messages([topic.name for topic in bag.topics]))
        return [(one.topic, one.time_ns // MS) for one in found]


@pytest.fixture
def rig(tmp_path):
    """A recorder that is closed when the test ends."""
    one = Rig(tmp_path / "recording")
    yield one
    one.recorder.close()


def test_messages_are_in_the_order_of_their_receipt(rig):
    """Of all topics; pre-roll, episode, and what was received before the stop but not yet taken."""
    for ms in (880, 920, 960):
        rig.send(rig.a, ms)
    rig.send(rig.b, 940)
    rig.at(1000)
    rig.start(1010)
    rig.send(rig.b, 1030)
    rig.send(rig.a, 1020)
    rig.at(1040)
    rig.send(rig.a, 1050)
    rig.stop(1060)
    rig.send(rig.a, 1070)
    rig.at(1080)
    events = EVENTS.topic
    assert rig.read() == [
        *(("/a", 920), ("/b", 940), ("/a", 960), (events, 1010)),
        *(("/a", 1020), ("/b", 1030), ("/a", 1050), (events, 1060)),
    ]


def test_a_message_is_never_later_than_now_nor_earlier_than_the_one_before(rig):
    """A stamp of receipt that contradicts the order of taking is moved to it."""
    rig.start(1000)
    rig.send(rig.a, 1020)
    rig.at(1020)
    rig.send(rig.b, 1015)
    rig.send(rig.a, 5000)
    rig.at(1030)
    rig.stop(1040)
    assert [ms for _, ms in rig.read()] == [1000, 1020, 1020, 1030, 1040]


def test_losses_on_the_way_are_counted_while_an_episode_is_open(rig):
    """Those before it are not its own."""
    rig.send(rig.a, 1000, lost=3)
    rig.at(1000)
    rig.start(1010)
    rig.send(rig.a, 1020, lost=2)
    rig.send(rig.b, 1020, lost=1)
    rig.at(1020)
    rig.send(rig.a, 1030, lost=4)
    rig.stop(1030)
    rig.send(rig.a, 1040, lost=8)
    rig.at(1040)
    assert rig.recorder.writer.wait(30.0)
    facts = read_facts(rig.recording.episode(0))
    assert facts is not None and facts.dropped == {"/a": 6, "/b": 1}


def test_a_clock_that_is_set_back_ends_the_episode(rig):
    """Its times would be wrong; the next one has the new time."""
    rig.at(9000)
    rig.start(9010)
    rig.send(rig.a, 9020)
    rig.at(9020)
    rig.send(rig.a, 5010)
    rig.at(5010)
    facts = rig.session.last
    assert rig.session.episode is None and facts is not None
    assert facts.problem == "the clock was set back by 4.0 s" and facts.stop_ns == 9020 * MS
    rig.start(5020)
    rig.stop(5030)
    assert rig.read(1)[0] == ("/a", 5010)


@pytest.mark.parametrize("by_s", [2, 3600, 1_795_000_000])
def test_a_clock_that_is_set_forward_ends_the_episode(rig, by_s):
    """It ends where it was, with the reason; a clock that only runs on ends none, however late."""
    rig.at(9000)
    rig.start(9010)
    rig.send(rig.a, 9020)
    rig.at(9020)
    rig.send(rig.a, 60_000)
    rig.at(60_000)
    rig.set_ns = by_s * 1000 * MS
    later = 60_010 + by_s * 1000
    rig.send(rig.a, later - 5)
    rig.at(later)
    facts = rig.session.last
    assert rig.session.episode is None and facts is not None
    assert facts.problem == f"the clock was set forward by {by_s:.1f} s"
    assert facts.stop_ns == 60_000 * MS
    rig.start(later + 10)
    rig.stop(later + 20)
    assert rig.read(1)[0] == ("/a", later - 5)


@pytest.mark.parametrize("when", ["before it", "after it"])
def test_a_stall_beside_a_look_at_the_clock_is_no_clock_that_was_set(rig, when):
    """A stopped process, a machine that swaps; a clock that was set meanwhile is found at once."""
    rig.at(9000)
    rig.start(9010)
    stalls = [1500 * MS]

    def clock():
        late = stalls.pop() if stalls else 0
        rig.now_ns += late if when == "before it" else 0
        read = rig.now_ns
        rig.now_ns += late if when == "after it" else 0
        return read

    rig.recorder._now_ns = clock
    rig.at(9020)
    rig.recorder.pull()
    assert rig.session.episode is not None
    stalls.append(1500 * MS)
    rig.set_ns = 3000 * MS
    rig.now_ns += 3000 * MS
    rig.recorder.pull()
    rig.recorder.pull()
    facts = rig.session.last
    assert facts is not None and facts.problem == "the clock was set forward by 3.0 s"


def test_the_policys_status_begins_and_ends_episodes(tmp_path):
    """With the pre-roll before it; silence ends one too."""
    rig = Rig(tmp_path / "recording", by_policy=True)
    rig.send(rig.a, 990)
    rig.send(rig.status, 1000, text="replaying")
    rig.at(1001)
    assert rig.session.episode is not None
    assert rig.session.episode.instruction == "policy's task"
    rig.recorder.check()
    assert rig.session.episode is not None, "a status came just now"
    rig.recorder._status_s -= 3.0
    rig.now_ns = 4000 * MS
    rig.recorder.check()
    assert rig.session.episode is None
    topics = [topic for topic, _ in rig.read()]
    assert topics == ["/a", "/gr00t_policy/status", EVENTS.topic, EVENTS.topic, EVENTS.topic]
    rig.recorder.close()


def test_a_stall_of_the_recorder_is_no_silence_of_the_policy(tmp_path):
    """The status waits in the middleware, and the look at the policy node comes first."""
    rig = Rig(tmp_path / "recording", by_policy=True)
    rig.send(rig.status, 1000, text="replaying")
    rig.at(1001)
    rig.recorder._status_s -= 3.0
    rig.send(rig.status, 3900, text="replaying")
    rig.now_ns = 4000 * MS
    rig.recorder.check()
    assert rig.session.episode is not None and rig.session.last is None
    rig.recorder.close()


def test_a_simulation_that_begins_again_is_recorded(rig):
    """Its time is nearer to 0 than the pre-roll is long, and a latched message was before it."""
    rig.a.latched, rig.recorder.by_receipt = True, False
    rig.send(rig.a, 0)
    rig.at(60_000)
    rig.send(rig.b, 0)
    rig.at(40)
    rig.start(50)
    rig.stop(60)
    assert rig.read() == [("/a", 0), ("/b", 40), (EVENTS.topic, 50), (EVENTS.topic, 60)]


def test_an_episode_ends_before_the_disk_is_full(rig, monkeypatch):
    """It is kept, with the reason; no other one begins until there is room."""
    rig.start(1000)
    monkeypatch.setattr(Recording, "full", "the disk is nearly full")
    rig.now_ns = 1100 * MS
    rig.recorder.check()
    facts = rig.session.last
    assert facts is not None and facts.outcome == "kept"
    assert facts.problem == "the disk is nearly full"
    with pytest.raises(BagError, match="nearly full"):
        rig.start(1200)
    monkeypatch.setattr(Recording, "full", "")
    rig.recorder.check()
    rig.start(1300)
    rig.stop(1400)
    assert rig.read(1)


def test_closing_ends_the_open_episode_and_frees_the_reserve(tmp_path, capsys):
    """Episodes go on counting in the same folder; info lists them."""
    folder = tmp_path / "recording"
    rig = Rig(folder)
    assert sum(path.stat().st_size for path in folder.glob(".reserve")) == RESERVE_BYTES
    rig.start(1000)
    rig.recorder.close()
    assert not list(folder.glob(".reserve")) and unfinished(folder) == []
    facts = read_facts(folder / "episode_000000")
    assert facts is not None and facts.outcome == "kept"
    other = Rig(folder)
    assert other.recording.next_index == 1
    other.start(2000)
    other.recorder.close()
    (folder / "episode_000002").mkdir()
    assert info([str(folder)]) == 1
    text = capsys.readouterr().out
    assert "franka_droid: 2 of 3 episodes kept, 0.0 s" in text
    assert "NOT FINISHED" in text and f"gr00t record recover {folder}" in text


def test_a_folder_has_one_recorder_at_a_time(tmp_path):
    """The second is refused with the first one's process; when that ends, it goes on counting."""
    folder = tmp_path / "recording"
    one = Rig(folder)
    one.start(1000)
    with pytest.raises(BagError, match=f"{folder}: process {os.getpid()} records to it: stop"):
        Rig(folder)
    one.recorder.close()
    other = Rig(folder)
    assert other.recording.next_index == 1
    other.recorder.close()


CLAIMS = """
import sys
from pathlib import Path
from gr00t_ros.record.recording import Recording
recording = Recording(Path(sys.argv[1]), "franka_droid", 0)
recording.claim()
print("claimed", flush=True)
sys.stdin.read()
"""


def test_a_folder_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    """The episodes that are in it cannot be seen."""
    recording = Recording(tmp_path, "franka_droid", 0)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gr00t_ros.record.recording.Hold", refuse)
    with pytest.raises(BagError, match="cannot be recorded to: .*Permission denied"):
        recording.claim()


def test_a_killed_recorder_holds_nothing(tmp_path):
    """The kernel lets its folder go."""
    folder = tmp_path / "recording"
    command = [sys.executable, "-c", CLAIMS, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True) as child:
        assert child.stdout.readline() == "claimed\n"
        with pytest.raises(BagError, match=f"process {child.pid} records to it"):
            Rig(folder)
        child.kill()
    Rig(folder).recorder.close()
