"""The writing thread: nothing is lost silently, and what was finished stays readable."""

import errno
import math
import os
import threading
from collections import Counter

import pytest
import yaml

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags.rosbag2", reason="rosbags is not installed")

from ros_fixtures import wait_until  # noqa: E402
from watched_disk import watched_disk  # noqa: E402

from gr00t_ros.bags.bag import open_bag  # noqa: E402
from gr00t_ros.record import episode_bag  # noqa: E402
from gr00t_ros.record import facts as facts_module  # noqa: E402
from gr00t_ros.record.episode_bag import EpisodeBag  # noqa: E402
from gr00t_ros.record.facts import EpisodeFacts, read_facts  # noqa: E402
from gr00t_ros.record.mcap_file import Channel  # noqa: E402
from gr00t_ros.record.preroll import RecordedMessage  # noqa: E402
from gr00t_ros.record.writer import EpisodeWriter  # noqa: E402

A = Channel("/a", "std_msgs/msg/String", "string data\n", "RIHS01_a", "[]")
B = Channel("/b", "std_msgs/msg/Bool", "bool data\n", "RIHS01_b", "[]")


def message(number, channel=A, size=100):
    """A message of that bag time."""
    return RecordedMessage(channel, number, bytes(size))


def facts(index=0):
    """Facts of an episode."""
    return EpisodeFacts(index, "task", "panda", "/gr00t_policy", 1, 9)


@pytest.fixture
def writers():
    """Makes writers that have ended when the test ends."""
    made = []

    def make(*args, **settings):
        made.append(EpisodeWriter(*args, **settings))
        return made[-1]

    yield make
    for writer in made:
        writer.close()


def times(folder):
    """Bag times of a finished episode's messages, by topic."""
    with open_bag(folder) as bag:
        found = list(bag.messages(("/a", "/b")))
    return {topic: [o.time_ns for o in found if o.topic == topic] for topic in ("/a", "/b")}


def test_an_episode_is_a_bag_with_its_facts(writers, tmp_path):
    """Pre-roll first; metadata.yaml, then episode.json; nothing temporary is left."""
    writer, folder = writers(10**6), tmp_path / "episode_000000"
    writer.open(folder, [message(1), message(2, B)])
    writer.write(message(3))
    writer.finish(folder, facts())
    assert writer.wait(30.0)
    assert times(folder) == {"/a": [1, 3], "/b": [2]}
    names = {"episode.json", "episode_000000_0.mcap", "metadata.yaml"}
    assert {path.name for path in folder.iterdir()} == names
    assert read_facts(folder) == facts()


def test_what_facts_speak_of_is_on_the_disk_before_them(writers, tmp_path, monkeypatch):
    """The bag's bytes and the names in its folder: a power failure never leaves facts alone."""
    folder = tmp_path / "episode_000000"
    order, disk = watched_disk(monkeypatch, "episode.json")
    writer = writers(10**6)
    writer.open(folder, [message(n) for n in range(5)])
    writer.finish(folder, facts())
    assert writer.wait(30.0)
    bag = "episode_000000_0.mcap"
    assert disk[bag] == (folder / bag).read_bytes()
    before = order[: order.index("facts")]
    assert (
        before.index(tmp_path.name)
        < before.index(bag)
        < len(before) - 1 - before[::-1].index(folder.name)
    )


@pytest.mark.parametrize("distro", ["", "kilted"])
def test_a_bag_names_the_distribution_that_wrote_it(monkeypatch, tmp_path, distro):
    """As rosbag2 does: what ROS_DISTRO says, and nothing where it is not set."""
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    if distro:
        monkeypatch.setenv("ROS_DISTRO", distro)
    EpisodeBag(tmp_path / "episode").close()
    about = yaml.safe_load((tmp_path / "episode" / "metadata.yaml").read_text())
    assert about["rosbag2_bagfile_information"]["ros_distro"] == distro


def test_episodes_follow_each_other_without_a_wait(writers, tmp_path):
    """The next one begins while the last one is still written; a label comes later."""
    writer = writers(10**6)
    known = [facts(n) for n in range(3)]
    for n in range(3):
        folder = tmp_path / f"episode_{n:06d}"
        writer.open(folder, [message(n)])
        writer.write(message(10 + n))
        writer.finish(folder, known[n])
    known[0].success = True
    writer.label(tmp_path / "episode_000000", known[0])
    assert writer.wait(30.0)
    for n in range(3):
        folder = tmp_path / f"episode_{n:06d}"
        assert times(folder)["/a"] == [n, 10 + n]
        found = read_facts(folder)
        assert found is not None and found.success == (True if n == 0 else None)


class StalledBag(EpisodeBag):
    """A bag on a disk that takes nothing until it is let."""

    go = threading.Event()

    def write(self, channel, time_ns, data):
        """Wait."""
        self.go.wait()
        super().write(channel, time_ns, data)


def test_what_a_stalled_disk_does_not_take_is_counted_by_topic(writers, tmp_path):
    """The queue has its size; each message is in the bag or in the count."""
    StalledBag.go.clear()
    writer, folder = writers(1000, make_bag=StalledBag), tmp_path / "episode_000000"
    writer.open(folder, [])
    for number in range(40):
        writer.write(message(number, B if number % 4 == 3 else A))
    assert writer.counts.queued_bytes <= 1000
    lost = writer.counts.lost
    assert sum(lost.values()) in (29, 30), "10 fit, and one may be in the hands of the thread"
    writer.count_lost("/a", 5)
    about = facts()
    writer.finish(folder, about)
    StalledBag.go.set()
    assert writer.wait(30.0)
    found = times(folder)
    written = {topic: len(found[topic]) for topic in found}
    saved = read_facts(folder)
    assert saved is not None and saved.dropped == about.dropped
    sent = {"/a": 30 + 5, "/b": 10}
    assert {t: written[t] + saved.dropped.get(t, 0) for t in sent} == sent


def full_disk(monkeypatch, after):
    """From now on the disk takes `after` bytes; the returned list can be cleared to make room."""
    real, left = os.pwrite, [after]

    def pwrite(handle, data, place):
        if not left:
            return real(handle, data, place)
        if len(data) > left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= len(data)
        return real(handle, data, place)

    monkeypatch.setattr(os, "pwrite", pwrite)
    return left


def test_a_full_disk_ends_the_episode_and_loses_nothing_finished(writers, tmp_path, monkeypatch):
    """What was written can be read, what was not is counted, and the reason is said."""
    said: list[str] = []
    left = full_disk(monkeypatch, 9 * 2**20)
    monkeypatch.setattr("gr00t_ros.record.mcap_file.CHUNK_S", math.inf)  # chunks end by their size
    # the reserve makes room for index and facts
    writer = writers(10**9, give_room=left.clear, log=said.append)
    first, second = tmp_path / "episode_000000", tmp_path / "episode_000001"
    writer.open(first, [message(n) for n in range(3)])
    writer.finish(first, facts())
    writer.open(second, [])
    for number in range(16):
        writer.write(message(number, size=2**20))
    wait_until(lambda: writer.problem, "a problem")
    assert writer.problem.startswith(f"{second}: cannot be written: ")
    writer.write(message(99))
    writer.finish(second, facts(1))
    assert writer.wait(30.0)
    assert "No space left on device" in said[0] and "free the disk" in said[0]
    assert times(first)["/a"] == [0, 1, 2]
    kept, saved = times(second)["/a"], read_facts(second)
    assert kept == list(range(len(kept))) and len(kept) == 8
    assert saved is not None and saved.dropped == {"/a": 16 - 8 + 1}
    third = tmp_path / "episode_000002"
    writer.open(third, [message(1)])
    writer.finish(third, facts(2))
    assert writer.wait(30.0)
    assert (writer.problem, times(third)["/a"]) == ("", [1])


def test_an_episode_that_cannot_begin_is_a_problem(writers, tmp_path):
    """Its folder is there already: nothing is written to it, neither facts nor a later label."""
    folder = tmp_path / "episode_000000"
    folder.mkdir()
    (folder / "episode.json").write_text("another recorder's")
    said: list[str] = []
    writer = writers(10**6, log=said.append)
    writer.open(folder, [message(1)])
    assert writer.wait(30.0)
    assert "episode_000000: cannot be written" in writer.problem
    assert "File exists" in said[0] and "free the disk" not in said[0]
    assert writer.counts.lost == Counter({"/a": 1})
    writer.finish(folder, facts())
    writer.label(folder, facts())
    assert writer.wait(30.0)
    assert [path.name for path in folder.iterdir()] == ["episode.json"]
    assert (folder / "episode.json").read_text() == "another recorder's"


def test_an_episode_whose_file_cannot_be_made_leaves_no_folder(writers, tmp_path, monkeypatch):
    """The disk had room for the folder alone: it would be an episode that is not finished."""
    folder, said = tmp_path / "episode_000000", []
    left = full_disk(monkeypatch, 0)
    writer = writers(10**6, log=said.append)
    writer.open(folder, [message(1)])
    writer.finish(folder, facts())
    assert writer.wait(30.0)
    assert "No space left on device" in said[0] and list(tmp_path.iterdir()) == []
    left.clear()
    writer.open(folder, [message(1)])
    writer.finish(folder, facts())
    assert writer.wait(30.0) and times(folder)["/a"] == [1]


def test_each_episode_has_its_own_losses(writers, tmp_path):
    """Also where the next one begins before the disk has taken it."""
    StalledBag.go.clear()
    writer, folders = writers(1000, make_bag=StalledBag), [tmp_path / "first", tmp_path / "second"]
    writer.open(folders[0], [])
    for number in range(40):
        writer.write(message(number))
    lost = writer.counts.lost["/a"]
    writer.finish(folders[0], facts(0))
    writer.open(folders[1], [])
    assert (writer.counts.written, writer.counts.lost) == (0, {})
    writer.count_lost("/b", 3)
    StalledBag.go.set()
    assert writer.wait(30.0)
    assert (writer.counts.written, writer.counts.bytes) == (0, 0)
    writer.finish(folders[1], facts(1))
    assert writer.wait(30.0)
    found = [read_facts(folder) for folder in folders]
    assert lost and [one and one.dropped for one in found] == [{"/a": lost}, {"/b": 3}]


class BrokenBag(EpisodeBag):
    """A bag that one message cannot be written to."""

    go = threading.Event()

    def write(self, channel, time_ns, data):
        """Wait, and raise for the time 5."""
        self.go.wait()
        super().write(channel, -5 if time_ns == 5 else time_ns, data)


def test_what_no_disk_has_refused_ends_its_episode_alone(writers, tmp_path):
    """The thread goes on; the next episode, which has begun meanwhile, has no problem."""
    BrokenBag.go.clear()
    said: list[str] = []
    writer = writers(10**6, make_bag=BrokenBag, log=said.append)
    folders = [tmp_path / "first", tmp_path / "second"]
    writer.open(folders[0], [message(n) for n in (5, 6)])
    writer.finish(folders[0], facts(0))
    writer.open(folders[1], [message(7)])
    BrokenBag.go.set()
    assert writer.wait(30.0), "the thread has ended"
    assert writer.problem == ""
    writer.finish(folders[1], facts(1))
    assert writer.wait(30.0)
    first, second = (read_facts(folder) for folder in folders)
    assert first is not None and second is not None
    assert f"{folders[0]}: cannot be written: error: " in first.problem
    assert said == [first.problem] and "free the disk" not in said[0]
    assert (first.dropped, second.dropped, second.problem) == ({"/a": 2}, {}, "")
    assert times(folders[1])["/a"] == [7]


@pytest.mark.parametrize("name", ["metadata.yaml", "episode.json"])
def test_a_whole_bag_is_not_called_broken(writers, tmp_path, monkeypatch, name):
    """The disk was full behind it: the reserve has the room for what is missing."""
    refused, said = [name], []

    def write_whole_of(real):
        def write_whole(path, content):
            if path.name in refused:
                refused.clear()
                raise OSError(errno.ENOSPC, "No space left on device")
            real(path, content)

        return write_whole

    for module in (episode_bag, facts_module):
        monkeypatch.setattr(module, "write_whole", write_whole_of(module.write_whole))
    writer, folder = writers(10**6, log=said.append), tmp_path / "episode_000000"
    writer.open(folder, [message(1)])
    writer.finish(folder, facts())
    assert writer.wait(30.0)
    assert (refused, said, writer.problem) == ([], [], "")
    assert times(folder)["/a"] == [1] and read_facts(folder) == facts()
