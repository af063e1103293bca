"""A recorded bag: its topics, its span of time and its serialised messages, in order.

The only reader of bags, through rosbags, which is imported where it is needed: nothing else of
the package needs it. Messages stay bytes; refuses to know what they hold and what ROS is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gr00t_ros.core.errors import BagError

INSTALL_COMMAND = "python3 -m pip install rosbags==0.11.9"
"""rosbags is no rosdep key; ROS 2 users of Ubuntu 24.04 add --break-system-packages."""


@dataclass(frozen=True, slots=True)
class BagTopic:
    """One topic of a bag; `type_name` such as sensor_msgs/msg/Image.

    `latched`: every publisher offered it transient local, as with /tf_static.
    """

    name: str
    type_name: str
    count: int
    latched: bool


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
    _reader: Any

    def messages(self, topics: Collection[str], from_ns: int = 0) -> Iterator[BagMessage]:
        """Messages of these topics from a bag time on, in the order of bag time.

        Raises BagError where the file is damaged.
        """
        wanted = [one for one in self._reader.connections if one.topic in topics]
        try:
            for connection, time_ns, data in self._reader.messages(wanted, start=from_ns):
                yield BagMessage(connection.topic, time_ns, bytes(data))
        except Exception as error:  # of sqlite, MCAP, zstd and rosbags: any means damage
            raise BagError(f"{self._reader.path}: cannot be read on: {error}") from error


@contextmanager
def open_bag(path: Path | str) -> Iterator[Bag]:
    """The rosbag2 bag of that folder, or of that single .db3 or .mcap file.

    Raises BagError: nothing there, no bag, an empty one, one topic of two types, or no rosbags.
    """
    try:
        from rosbags.rosbag2 import Reader
    except ImportError as error:
        raise missing_rosbags(error) from error
    if not Path(path).exists():
        raise BagError(f"{path}: no such bag, expected the folder that a recorder wrote")
    try:
        reader = Reader(path)
        reader.open()
    except Exception as error:  # of YAML, sqlite, MCAP and rosbags: any means no usable bag
        raise BagError(f"{path}: cannot be read as a rosbag2 bag: {error}") from error
    try:
        yield _bag(path, reader)
    finally:
        reader.close()


def missing_rosbags(error: ImportError) -> BagError:
    """What to raise where rosbags cannot be imported."""
    return BagError(f"bags need the Python package rosbags ({error}); run: {INSTALL_COMMAND}")


def _bag(path: Path | str, reader: Any) -> Bag:
    if not reader.message_count:
        raise BagError(f"{path}: the bag holds no message")
    names = sorted({connection.topic for connection in reader.connections})
    topics = tuple(_topic(path, name, reader.connections) for name in names)
    # rosbags says the end as the first ns after the last message
    return Bag(topics, reader.start_time, reader.end_time - 1, reader)


def _topic(path: Path | str, name: str, connections: list[Any]) -> BagTopic:
    same = [connection for connection in connections if connection.topic == name]
    types = {connection.msgtype for connection in same}
    if len(types) > 1:
        raise BagError(f"{path}: {name} has the types {sorted(types)}, expected one")
    profiles = [profile for one in same for profile in one.ext.offered_qos_profiles]
    latched = bool(profiles) and all(p.durability.name == "TRANSIENT_LOCAL" for p in profiles)
    return BagTopic(name, types.pop(), sum(one.msgcount for one in same), latched)
