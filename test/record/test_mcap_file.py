"""An MCAP file is readable after each chunk, and after a repair wherever its writer was killed."""

import errno
import os
import random
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

pytest.importorskip("rosbags.rosbag2", reason="rosbags is not installed")

from gr00t_ros.bags.bag import open_bag
from gr00t_ros.errors import BagError
from gr00t_ros.record.mcap_file import BEGIN, Channel, McapFile
from gr00t_ros.record.mcap_repair import is_without_chunks, repair

A = Channel("/a", "std_msgs/msg/String", "string data\n", "RIHS01_a", "[]")
B = Channel("/b", "std_msgs/msg/Bool", "bool data\n", "RIHS01_b", "[]")


def message(number):
    """One message as it is written: channel, bag time, bytes that begin as CDR does."""
    return (A, B)[number % 2], 1000 + number, bytes(4) + number.to_bytes(4, "little") * 5


def write(path, count, chunk=10):
    """An open file with `count` messages, a chunk every `chunk`."""
    file = McapFile(path)
    for number in range(count):
        file.write(*message(number))
        if number % chunk == chunk - 1:
            file.flush()
    return file


def read(path):
    """The numbers of all messages in a file, which must be as they were written."""
    with open_bag(path) as bag:
        found = list(bag.messages(("/a", "/b")))
    numbers = [int.from_bytes(one.data[4:8], "little") for one in found]
    wanted = [message(number) for number in numbers]
    assert [(one.topic, one.time_ns, one.data) for one in found] == [
        (channel.topic, time_ns, data) for channel, time_ns, data in wanted
    ]
    return numbers


def test_a_closed_file_has_an_index_with_all_messages(tmp_path):
    """Counted by topic, with the times of the first and the last message."""
    path = tmp_path / "bag.mcap"
    file = write(path, 25)
    file.close()
    assert read(path) == list(range(25))
    with open_bag(path) as bag:
        assert {one.name: (one.type_name, one.count) for one in bag.topics} == {
            "/a": (A.type_name, 13),
            "/b": (B.type_name, 12),
        }
        assert (bag.start_ns, bag.end_ns) == (1000, 1024)
        assert [one.time_ns for one in bag.messages(("/b",), 1015)] == list(range(1015, 1025, 2))
    assert file.totals.counts == {"/a": 13, "/b": 12}


def test_a_file_that_nobody_closed_can_be_read_as_it_is(tmp_path):
    """Up to its last chunk: what waits for the next one is not in it."""
    path = tmp_path / "bag.mcap"
    write(path, 25)
    assert read(path) == list(range(20))


def test_a_file_cut_at_any_place_is_repaired(tmp_path):
    """Every whole message is kept, also of a chunk that was cut; then the file is indexed."""
    whole = tmp_path / "whole.mcap"
    file = write(whole, 30)
    data, path = whole.read_bytes(), tmp_path / "cut.mcap"
    begun = file.size
    for length in [*random.Random(1).sample(range(600, len(data)), 150), begun, len(data)]:
        path.write_bytes(data[:length])
        repair(path)
        kept = read(path)
        assert kept == list(range(len(kept)))
        # each message is there whose last byte is before the cut
        last = data[:length].rfind(message(len(kept))[2]) if len(kept) < 30 else -1
        assert last == -1
        # and a second repair changes nothing
        repaired = path.read_bytes()
        repair(path)
        assert path.read_bytes() == repaired


PAGE = 4096


def places(path, count):
    """(begin, end) of each message's record in a file that `write` has written."""
    data, found, place = path.read_bytes(), [], 0
    for number in range(count):
        place = data.index(message(number)[2], place)
        found.append((place - 31, place + 24))
        place += 24
    return found


@pytest.mark.parametrize("closed", [False, True], ids=["killed", "closed"])
def test_a_page_that_was_lost_costs_only_what_was_in_it(tmp_path, closed):
    """What is whole behind it is kept too, and the old file; no message is other than it was."""
    whole, path = tmp_path / "whole.mcap", tmp_path / "bag.mcap"
    file = write(whole, 3000, chunk=300)
    if closed:
        file.close()
    at, data = places(whole, 3000), whole.read_bytes()
    chunks = [(at[n][0] - 57, at[n + 299][1]) for n in range(0, 3000, 300)]
    heads = [*range(0, chunks[0][0] + 57), *(b for begin, _ in chunks for b in (begin, begin + 56))]
    for begin in range(PAGE, len(data) - PAGE, PAGE):
        lost = range(begin, begin + PAGE)
        path.write_bytes(data[:begin] + bytes(PAGE) + data[lost.stop :])
        damaged = path.read_bytes()
        repaired = repair(path)
        assert repaired is not None and repaired.changed
        kept = set(read(path))
        outside = {n for n, (a, b) in enumerate(at) if b <= lost.start or a >= lost.stop}
        touched = {n for n, (a, b) in enumerate(chunks) if a < lost.stop and b + 4900 > lost.start}
        if any(place in lost for place in heads):
            assert kept >= {n for n in outside if n // 300 not in touched}
        else:
            assert kept >= {n for n in outside if n // 300 not in touched or at[n][0] < begin}
        assert kept <= outside
        if repaired.kept is not None:
            assert repaired.kept.read_bytes() == damaged and repaired.left_out > 0
            repaired.kept.unlink()
        else:
            assert kept == set(range(3000)), "only the end of the file was lost"


def test_what_a_power_failure_left_as_zeros_is_no_message(tmp_path):
    """The file has its length, and nothing from some sector on; a message may be half there."""
    whole, path = tmp_path / "whole.mcap", tmp_path / "bag.mcap"
    file = McapFile(whole)
    for number in range(20):
        file.write(A, 1000 + number, bytes(4) + bytes([1 + number]) * 3000)
    file.close()
    data = whole.read_bytes()
    for begin in range(1024, len(data) - 2000, 512):
        path.write_bytes(data[:begin] + bytes(len(data) - begin))
        repaired = repair(path)
        if repaired is None:
            continue
        with open_bag(path) as bag:
            found = [one.data for one in bag.messages(("/a",))]
        assert found == [bytes(4) + bytes([1 + n]) * 3000 for n in range(len(found))]
        assert len(found) == sum(data.index(one) + 3004 <= begin for one in found)
        assert repaired.file.totals.start_ns == 1000


def test_no_damage_is_a_traceback_and_none_destroys_the_file(tmp_path):
    """Bits that have changed: a file that is repaired can be read, all else is one error."""
    whole, path = tmp_path / "whole.mcap", tmp_path / "bag.mcap"
    write(whole, 60).close()
    data, chance = whole.read_bytes(), random.Random(1)
    for _ in range(400):
        damaged = bytearray(data)
        damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            repaired = repair(path)
        except BagError:
            assert path.read_bytes() == damaged
            continue
        assert repaired is not None
        if repaired.kept is not None:
            assert repaired.kept.read_bytes() == damaged
            repaired.kept.unlink()
        with open_bag(path) as bag:
            assert sum(one.count for one in bag.topics) >= 40


def test_without_room_for_a_new_file_nothing_is_changed(tmp_path, monkeypatch):
    """The error is the disk's, and no half file is left."""
    path = tmp_path / "bag.mcap"
    write(path, 30).close()
    damaged = bytearray(path.read_bytes())
    damaged[700:900] = bytes(200)
    path.write_bytes(damaged)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        repair(path)
    assert path.read_bytes() == damaged and [one.name for one in tmp_path.iterdir()] == ["bag.mcap"]
    assert open_below(tmp_path) == []


def open_below(folder):
    """The files in a folder that this process has open, also removed ones: they take their room."""
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    found = [os.readlink(link) for link in links if os.path.islink(link)]
    return [name for name in found if name.startswith(str(folder))]


@pytest.mark.parametrize("at", ["a chunk", "the copy"])
def test_a_disk_that_fills_during_a_repair_gets_its_room_back(tmp_path, monkeypatch, at):
    """The next episode may be smaller. The copy: where there are no second names."""
    path, real = tmp_path / "bag.mcap", os.pwrite
    write(path, 30).close()
    damaged = bytearray(path.read_bytes())
    damaged[700:900] = bytes(200)
    path.write_bytes(damaged)

    def full(handle, data, place):
        if place:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data, place)

    def refused(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    def cut(_, target):
        Path(target).write_bytes(damaged[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    if at == "a chunk":
        monkeypatch.setattr(os, "pwrite", full)
    else:
        monkeypatch.setattr(os, "link", refused)
        monkeypatch.setattr("shutil.copyfile", cut)
    with pytest.raises(OSError, match="No space left"):
        repair(path)
    assert path.read_bytes() == damaged and [one.name for one in tmp_path.iterdir()] == ["bag.mcap"]
    assert open_below(tmp_path) == []


@pytest.mark.parametrize("lost", [len(BEGIN), 512, PAGE])
def test_a_first_page_that_was_lost_costs_only_what_was_in_it(tmp_path, lost):
    """The header and the first chunk's types with it: those are in the summary too."""
    path = tmp_path / "bag.mcap"
    write(path, 3000, chunk=300).close()
    end = places(path, 3000)[299][1] if lost > len(BEGIN) else 0
    damaged = bytes(lost) + path.read_bytes()[lost:]
    path.write_bytes(damaged)
    repaired = repair(path)
    assert repaired is not None and repaired.kept is not None
    assert repaired.kept.read_bytes() == damaged
    assert read(path) == list(range(300 if end else 0, 3000))
    again = repair(path)
    assert again is not None and not again.changed


def test_without_the_types_of_its_first_chunk_a_killed_file_stays_as_it_is(tmp_path):
    """No message can be read: none is invented, and the file is not one that held none."""
    path = tmp_path / "bag.mcap"
    write(path, 3000, chunk=300).abandon()
    damaged = path.read_bytes()[:64] + bytes(PAGE) + path.read_bytes()[64 + PAGE :]
    path.write_bytes(damaged)
    assert repair(path) is None and path.read_bytes() == damaged
    assert not is_without_chunks(path)


def test_a_file_without_a_chunk_is_known(tmp_path):
    """Of a writer that was killed or ended before its first message; nothing else is."""
    path = tmp_path / "bag.mcap"
    file = McapFile(path)
    begun = path.read_bytes()
    assert is_without_chunks(path)
    file.close()
    assert is_without_chunks(path)
    for other in (b"", begun[:-9], bytes(len(begun)), begun + bytes(5000)):
        path.write_bytes(other)
        assert not is_without_chunks(path) and repair(path) is None


def most_bytes(path, count):
    """The most memory that a look at a whole file of `count` messages takes, as Python counts."""
    write(path, count, chunk=100).close()
    tracemalloc.start()
    try:
        repaired = repair(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert repaired is not None and not repaired.changed
    return most


def test_a_whole_file_takes_no_memory_for_each_of_its_messages(tmp_path):
    """Only what its index says of them, 16 bytes each: hours have millions of messages."""
    few, many = (most_bytes(tmp_path / f"{count}.mcap", count) for count in (2000, 12000))
    assert many - few < 10000 * 40, (many - few) / 10000


@pytest.mark.parametrize("why", [errno.EACCES, errno.EROFS])
def test_a_file_that_may_not_be_written_is_whole_or_refused(tmp_path, monkeypatch, why):
    """A dataset of somebody else, or a read-only disk: to look at a whole file writes nothing."""
    path, real = tmp_path / "bag.mcap", os.open
    write(path, 30).close()
    whole = path.read_bytes()
    damaged = whole[:700] + bytes(200) + whole[900:]

    def read_only(name, flags, *args, **kwargs):
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(why, os.strerror(why))
        return real(name, flags, *args, **kwargs)

    for data in (whole, whole[:-9], damaged):
        path.write_bytes(data)
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", read_only)
            if data == whole:
                assert (found := repair(path)) is not None and not found.changed
            else:
                with pytest.raises(OSError, match=os.strerror(why)):
                    repair(path)
        assert path.read_bytes() == data
        assert [one.name for one in tmp_path.iterdir()] == ["bag.mcap"]


def test_what_was_written_over_the_end_is_repaired(tmp_path):
    """The next chunk begins where the end of the file was: half of it may be there."""
    path = tmp_path / "bag.mcap"
    file = write(path, 20)
    size = file.size
    file.flush()
    longer = tmp_path / "longer.mcap"
    write(longer, 30)
    for more in (1, 20, 49, 60, 200):
        data = path.read_bytes()
        longer_data = longer.read_bytes()
        torn = tmp_path / "torn.mcap"
        torn.write_bytes(longer_data[: size + more] + data[size + more :])
        repair(torn)
        assert read(torn)[:20] == list(range(20))


def test_a_full_disk_loses_one_chunk_and_counts_it(tmp_path, monkeypatch):
    """The file stays readable, and goes on when there is room again."""
    path = tmp_path / "bag.mcap"
    file = write(path, 20)
    for number in range(20, 24):
        file.write(*message(number))
    real = os.pwrite

    def full(handle, data, place):
        if len(data) > 100:
            return real(handle, bytes(data)[:100], place)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            file.flush()
    assert file.drop_chunk() == {"/a": 2, "/b": 2}
    file.write(*message(24))
    file.close()
    assert read(path) == [*range(20), 24]


def test_a_topic_whose_first_chunk_was_lost_is_described_again(tmp_path):
    """Its type stood in the lost chunk."""
    path = tmp_path / "bag.mcap"
    file = McapFile(path)
    file.write(*message(0))
    file.flush()
    file.write(*message(1))
    assert file.drop_chunk() == {"/b": 1}
    file.write(*message(3))
    file.close()
    assert read(path) == [0, 3]


def test_a_file_of_somebody_else_is_not_touched(tmp_path):
    """Nor one that holds nothing."""
    path = tmp_path / "bag.mcap"
    content = b"\x89MCAP0\r\n" + bytes(200)
    path.write_bytes(content)
    with pytest.raises(BagError, match="was not written by gr00t record"):
        repair(path)
    assert path.read_bytes() == content
    path.write_bytes(b"")
    assert repair(path) is None and path.read_bytes() == b""


KILLED = """
import sys
from pathlib import Path
from test_mcap_file import write
write(Path(sys.argv[1]), 10**9)
"""


@pytest.mark.parametrize("size", [30_000, 300_000, 1_000_000])
def test_a_killed_process_leaves_a_file_that_can_be_repaired(tmp_path, size):
    """SIGKILL while it writes as fast as it can."""
    path = tmp_path / "bag.mcap"
    command = [sys.executable, "-c", KILLED, str(path)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])
    }
    with subprocess.Popen(command, env=environment) as child:
        while child.poll() is None and (not path.exists() or path.stat().st_size < size):
            pass
        child.send_signal(signal.SIGKILL)
    repair(path)
    kept = read(path)
    assert kept == list(range(len(kept))) and len(kept) > size // 200
