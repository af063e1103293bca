"""A recorded bag: its topics, its span of time and its serialised messages, in order.

The only reader of bags, through rosbags, which is imported where it is needed: nothing else of
the package needs it. Messages stay bytes; refuses to know what they hold and what ROS is.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gr00t_ros.bags.storage import METADATA, PromisedTopic, find_files, open_files
from gr00t_ros.core.errors import BagError

READABLE = "cdr"
_ZSTD = b"\x28\xb5\x2f\xfd"
"""Begins a message that was packed alone; a CDR message begins with a zero."""


@dataclass(frozen=True, slots=True)
class BagTopic:
    """One topic of a bag; `type_name` such as sensor_msgs/msg/Image.

    `latched`: every publisher offered it transient local, as with /tf_static. `problem`: why its
    messages cannot be read, else empty. `promised`: metadata.yaml's count where it is another.
    """

    name: str
    type_name: str
    count: int
    latched: bool
    problem: str = ""
    promised: int | None = None

    @property
    def difference(self) -> str:
        """What metadata.yaml says otherwise, in words; empty where it says the same."""
        if self.promised is None:
            return ""
        return f"{METADATA} says {self.promised} messages, the files hold {self.count}"

    @property
    def lost(self) -> bool:
        """Metadata promise more than the files hold."""
        return self.promised is not None and self.promised > self.count


@dataclass(frozen=True, slots=True)
class BagMessage:
    """One serialised message and the bag's own time of it: when it was recorded, ns."""

    topic: str
    time_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Bag:
    """An open bag; `start_ns` and `end_ns` are the bag times of its first and last message."""

    topics: tuple[BagTopic, ...]
    start_ns: int
    end_ns: int
    _path: Path
    _storages: list[Any]

    def messages(self, topics: Collection[str], from_ns: int = 0) -> Iterator[BagMessage]:
        """Messages of these topics from a bag time on, in the order of bag time.

        Raises BagError where a file is damaged, or a message cannot be read.
        """
        readable = {topic.name for topic in self.topics if not topic.problem} & set(topics)
        parts = []
        for storage in self._storages:
            wanted = [one for one in storage.connections if one.topic in readable]
            if wanted:
                parts.append(storage.messages(wanted, from_ns))
        try:
            for connection, time_ns, data in heapq.merge(*parts, key=lambda one: one[1]):
                yield BagMessage(connection.topic, time_ns, _unpacked(bytes(data)))
        except Exception as error:  # of sqlite, MCAP, zstd and rosbags: any means damage
            raise BagError(f"{self._path}: cannot be read on: {error}") from error


@contextmanager
def open_bag(path: Path | str) -> Iterator[Bag]:
    """The rosbag2 bag of that folder, or of that single .db3 or .mcap file, packed by zstd or not.

    A folder needs no metadata.yaml. Topics that cannot be read stand in the bag with their problem.
    Raises BagError: nothing there, no bag, an empty one, a damaged file, or no rosbags.
    """
    path = Path(path)
    files = find_files(path)
    with open_files(files.paths) as storages:
        filled = [one.metadata for one in storages if one.metadata.message_count]
        if not filled:
            raise BagError(f"{path}: the bag holds no message")
        start_ns = min(one.start_time for one in filled)
        # rosbags says the end as the first ns after the last message
        end_ns = max(one.end_time for one in filled) - 1
        yield Bag(_topics(storages, files.promised), start_ns, end_ns, path, storages)


def _topics(storages: list[Any], promised: dict[str, PromisedTopic]) -> tuple[BagTopic, ...]:
    by_name: dict[str, list[Any]] = {name: [] for name in promised}
    for storage in storages:
        for connection in storage.connections:
            by_name.setdefault(connection.topic, []).append(connection)
    return tuple(_topic(name, by_name[name], promised.get(name)) for name in sorted(by_name))


def _topic(name: str, connections: list[Any], promise: PromisedTopic | None) -> BagTopic:
    """One topic of all files; what metadata.yaml says of its QoS wins, as in `ros2 bag play`."""
    count = sum(one.msgcount for one in connections)
    types = sorted({one.msgtype for one in connections})
    profiles = [qos for one in connections for qos in one.ext.offered_qos_profiles]
    promised = None
    if promise is not None:
        types, profiles = types or [promise.type_name], promise.profiles or profiles
        promised = promise.count if promise.count != count else None
    latched = bool(profiles) and all(one.durability.name == "TRANSIENT_LOCAL" for one in profiles)
    problem = _problem(connections, types)
    return BagTopic(name, types[0], count, latched, problem, promised)


def _problem(connections: list[Any], types: list[str]) -> str:
    formats = sorted({one.ext.serialization_format for one in connections} - {READABLE})
    if formats:
        return f"its messages are encoded as {formats}, expected {READABLE!r}"
    return f"it has the types {types}, expected one" if len(types) > 1 else ""


def _unpacked(data: bytes) -> bytes:
    """A message as it was published: recorders may pack each by itself."""
    if data.startswith(_ZSTD):
        from rosbags.rosbag2.reader import zstd

        data = zstd.decompress(data)
    if data[:1] != b"\0":
        raise BagError(f"a message begins with {data[:4]!r}, which is no CDR header")
    return data
