"""A recorded bag: its files, topics, span of time and serialised messages, in order.

The only module that reads bags, through rosbags, which is imported where it is needed. A bag is
found with or without metadata.yaml, and unpacked. The content comes from the storage files;
metadata.yaml only adds its QoS profiles and message counts. Messages stay bytes.
"""

from __future__ import annotations

import heapq
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from gr00t_ros.errors import BagError
from gr00t_ros.robot.files import read_yaml

INSTALL_COMMAND = "python3 -m pip install rosbags==0.11.9"
"""ROS 2 users of Ubuntu 24.04 add --break-system-packages. rosdep has python3-rosbags-pip, which
installs the newest version: the internal parts of rosbags that are used here may differ there."""

METADATA = "metadata.yaml"
SUFFIXES = (".db3", ".mcap")
PACKED = (".zstd", ".zst")
"""Of a packed file: rosbag2 and rosbags append .zstd, the program zstd appends .zst."""
REINDEX = "or rebuild it: ros2 bag reindex {folder}"
WITHOUT = f"move {METADATA} away to read the files as they are, {REINDEX}"
READABLE = "cdr"
_ZSTD = b"\x28\xb5\x2f\xfd"
"""First bytes of a message that was compressed by itself; a CDR message begins with a zero."""


@dataclass(frozen=True, slots=True)
class PromisedTopic:
    """The entry of a topic in metadata.yaml; `profiles` are rosbags' Qos."""

    type_name: str
    count: int
    profiles: list[Any]


@dataclass(frozen=True, slots=True)
class BagFiles:
    """The storage files of a bag in their order, and the topics that its metadata.yaml lists."""

    paths: tuple[Path, ...]
    promised: dict[str, PromisedTopic] = field(default_factory=dict)


def find_files(path: Path) -> BagFiles:
    """The storage files of a folder, or the single file.

    Raises BagError if there is none, if some are missing, if it is unclear which files belong to
    the bag, or if rosbags is not installed.
    """
    try:
        from rosbags.rosbag2 import metadata, reader, storage_mcap, storage_sqlite3

        _ = metadata.parse_qos, reader.zstd, storage_mcap.get_msgdef, storage_sqlite3.Sqlite3Reader
    except (ImportError, AttributeError) as error:
        raise missing_rosbags(error) from error
    if not path.exists():
        raise BagError(f"{path}: no such bag, expected the folder that a recorder wrote")
    if not path.is_dir():
        _check_suffix(path)
        return BagFiles((path,))
    if (path / METADATA).exists():
        return _promised_files(path)
    found = [one for one in sorted(path.iterdir(), key=_natural) if _kind(one) in SUFFIXES]
    by_name: dict[Path, Path] = {}
    for one in found:  # a file and its packed copies have the same messages: the first is unpacked
        by_name.setdefault(_unpacked_name(one), one)
    paths = list(by_name.values())
    if not paths:
        raise _no_bag(path, f"there is no {METADATA} and no file *.db3 or *.mcap")
    if len({_kind(one) for one in paths}) > 1:
        names = [one.name for one in paths]
        raise _no_bag(path, f"no {METADATA} says which of {names} belong to it; give one file")
    return BagFiles(tuple(paths))


def missing_rosbags(error: Exception) -> BagError:
    """The error to raise where rosbags, or a part of it that is used here, cannot be imported."""
    return BagError(f"bags need the Python package rosbags ({error}); run: {INSTALL_COMMAND}")


@contextmanager
def open_files(paths: tuple[Path, ...]) -> Iterator[list[Any]]:
    """Open the files as storages of rosbags; packed files are unpacked to a temporary folder.

    Raises BagError for a file that is damaged or was not finished.
    """
    with ExitStack() as stack:
        storages = []
        for path in paths:
            storage = _open(_unpacked(path, stack), path)
            stack.callback(storage.close)
            storages.append(storage)
        yield storages


def _promised_files(folder: Path) -> BagFiles:
    remedy = WITHOUT.format(folder=folder)
    try:
        content = read_yaml(folder / METADATA, "a bag's metadata", BagError)
    except BagError as error:
        raise _no_bag(folder, f"{error}; {remedy}") from error
    try:
        promise: Any = content["rosbag2_bagfile_information"]
        names = [PurePath(name).name for name in promise["relative_file_paths"]]
        promised = {
            one["topic_metadata"]["name"]: _promised_topic(one)
            for one in promise["topics_with_message_count"]
        }
        packing = (promise.get("compression_mode") or "none").lower()
        method = promise.get("compression_format")
    except Exception as error:  # KeyError, TypeError, ValueError, rosbags': no usable metadata
        raise _no_bag(folder, f"{METADATA}: {type(error).__name__} {error}; {remedy}") from error
    if packing != "none" and method != "zstd":
        raise _no_bag(folder, f"its messages are packed with {method!r}, expected zstd")
    paths = tuple(folder / name for name in names)
    if missing := [one.name for one in paths if not one.is_file()]:
        raise _no_bag(folder, f"{METADATA} names {missing}, which are not there; {remedy}")
    for path in paths:
        _check_suffix(path)
    return BagFiles(paths, promised)


def _promised_topic(one: Any) -> PromisedTopic:
    from rosbags.rosbag2.metadata import parse_qos

    topic = one["topic_metadata"]
    profiles = parse_qos(topic.get("offered_qos_profiles", []))
    return PromisedTopic(str(topic["type"]), int(one["message_count"]), profiles)


def _open(path: Path, named: Path) -> Any:
    from rosbags.rosbag2.storage_mcap import McapReader
    from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader

    mcap = path.suffix == ".mcap"
    if not mcap:
        _check_journal(path)
    storage = McapReader(path) if mcap else Sqlite3Reader(path)
    try:
        if mcap:
            with _any_schema():
                storage.open()
        else:
            storage.open()
    except Exception as error:  # any of sqlite, MCAP, zstd or rosbags means an unusable file
        new = named.with_name(f"whole{path.suffix}")
        program = f"mcap recover {named} -o {new}" if mcap else f"sqlite3 {named} .recover"
        raise _no_bag(named, f"{error}; what is left of it may come with: {program}") from error
    return storage


@contextmanager
def _any_schema() -> Iterator[None]:
    """Inside this context rosbags opens MCAP files of any profile, with schemas of any encoding.

    rosbags itself refuses a profile other than 'ros2', and fails on a schema that is not ROS text
    (JSON, protobuf). Both checks are unnecessary here: each channel's encoding shows whether it can
    be read, and message definitions are not used.
    """
    from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
    from rosbags.rosbag2 import storage_mcap

    own = storage_mcap.get_msgdef, storage_mcap.read_string
    texts = 0

    def read_string(bio: BinaryIO) -> str:
        nonlocal texts
        texts += 1
        text: str = storage_mcap.read_bytes(bio).decode(errors="replace")
        return "ros2" if texts == 1 else text  # the first text of a file is its profile

    def get_msgdef(schema: storage_mcap.Schema | None) -> MessageDefinition:
        return MessageDefinition(MessageDefinitionFormat.NONE, "")

    storage_mcap.get_msgdef, storage_mcap.read_string = get_msgdef, read_string
    try:
        yield
    finally:
        storage_mcap.get_msgdef, storage_mcap.read_string = own


def _unpacked(path: Path, stack: ExitStack) -> Path:
    """The path of an unpacked copy, which is removed at the end; `path` if it is not packed."""
    name = _unpacked_name(path)
    if name == path:
        return path
    from rosbags.rosbag2.reader import zstd

    copy = Path(stack.enter_context(TemporaryDirectory()), name.name)
    try:
        with path.open("rb") as packed, zstd.open(packed, "rb") as source, copy.open("wb") as out:
            shutil.copyfileobj(source, out)
    except Exception as error:  # of zstd or the disk
        remedy = f"unpack it where there is room: zstd -d {path} -o {name}"
        raise _no_bag(path, f"cannot be unpacked to {copy.parent}: {error}; {remedy}") from error
    return copy


def _check_journal(path: Path) -> None:
    """Refuse an sqlite file whose last messages are still in its journal: they would be lost."""
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists() and journal.stat().st_size:
        remedy = f"sqlite3 {path} 'PRAGMA wal_checkpoint(TRUNCATE)'"
        raise _no_bag(path, f"its last messages are still in {journal.name}; run: {remedy}")


def _check_suffix(path: Path) -> None:
    if _kind(path) not in SUFFIXES:
        raise _no_bag(
            path,
            f"expected a file *.db3 or *.mcap, or one of them packed as *{' or *'.join(PACKED)}",
        )


def _kind(path: Path) -> str:
    """The suffix without that of the packing."""
    return _unpacked_name(path).suffix


def _unpacked_name(path: Path) -> Path:
    """The path without the suffix of the packing."""
    return path.with_suffix("") if path.suffix in PACKED else path


def _natural(path: Path) -> tuple[tuple[int, str], ...]:
    """A sort key that puts bag_10 behind bag_9."""
    parts = re.split(r"(\d+)", path.name)
    return tuple((int(one), "") if one.isdecimal() else (-1, one) for one in parts)


def _no_bag(path: Path, why: str) -> BagError:
    return BagError(f"{path}: cannot be read as a rosbag2 bag: {why}")


@dataclass(frozen=True, slots=True)
class BagTopic:
    """One topic of a bag; `type_name` such as sensor_msgs/msg/Image.

    `latched`: every publisher offered transient local durability, as for /tf_static. `problem`: why
    its messages cannot be read, else empty. `promised`: metadata.yaml's count if it differs.
    """

    name: str
    type_name: str
    count: int
    latched: bool
    problem: str = ""
    promised: int | None = None

    @property
    def difference(self) -> str:
        """How metadata.yaml's count differs from the files', as text; empty if it does not."""
        if self.promised is None:
            return ""
        return f"{METADATA} says {self.promised} messages, the files hold {self.count}"

    @property
    def lost(self) -> bool:
        """Whether metadata.yaml counts more messages than the files hold."""
        return self.promised is not None and self.promised > self.count


@dataclass(frozen=True, slots=True)
class BagMessage:
    """One serialised message and its bag time: when it was recorded, ns."""

    topic: str
    time_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Bag:
    """An open bag; `start_ns` and `end_ns` are the bag times of its first and last message.

    files: its storage files, packed or not.
    """

    topics: tuple[BagTopic, ...]
    start_ns: int
    end_ns: int
    files: tuple[Path, ...]
    _path: Path
    _storages: list[Any]

    def messages(
        self,
        topics: Collection[str],
        from_ns: int = 0,
        left_out: Callable[[str], None] | None = None,
    ) -> Iterator[BagMessage]:
        """The messages of these topics from a bag time on, in the order of bag time.

        Raises BagError if a file is damaged. A message that cannot be read is left out, and
        `left_out` gets a sentence about it; without `left_out` it raises BagError too.
        """
        readable = {topic.name for topic in self.topics if not topic.problem} & set(topics)
        parts = []
        for storage in self._storages:
            wanted = [one for one in storage.connections if one.topic in readable]
            if wanted:
                parts.append(storage.messages(wanted, from_ns))
        merged = parts[0] if len(parts) == 1 else heapq.merge(*parts, key=lambda one: one[1])
        try:
            for connection, time_ns, data in merged:
                message, problem = _unpacked_row(bytes(data))
                if not problem:
                    yield BagMessage(connection.topic, time_ns, message)
                    continue
                text = f"{connection.topic}: the message of bag time {time_ns} ns {problem}"
                if left_out is None:
                    raise BagError(text)
                left_out(text)
        except Exception as error:  # any of sqlite, MCAP, zstd or rosbags means a damaged file
            raise BagError(f"{self._path}: cannot be read on: {error}") from error


@contextmanager
def open_bag(path: Path | str) -> Iterator[Bag]:
    """Open the rosbag2 bag of a folder or of a single .db3 or .mcap file, packed by zstd or not.

    A folder needs no metadata.yaml. Topics that cannot be read are listed with their problem.
    Raises BagError: no such path, not a bag, an empty bag, a damaged file, or no rosbags.
    """
    path = Path(path)
    files = find_files(path)
    with open_files(files.paths) as storages:
        filled = [one.metadata for one in storages if one.metadata.message_count]
        if not filled:
            raise BagError(f"{path}: the bag holds no message")
        start_ns = min(one.start_time for one in filled)
        # rosbags gives the end as the first ns after the last message
        end_ns = max(one.end_time for one in filled) - 1
        topics = _topics(storages, files.promised)
        yield Bag(topics, start_ns, end_ns, files.paths, path, storages)


def _topics(storages: list[Any], promised: dict[str, PromisedTopic]) -> tuple[BagTopic, ...]:
    by_name: dict[str, list[Any]] = {name: [] for name in promised}
    for storage in storages:
        for connection in storage.connections:
            by_name.setdefault(connection.topic, []).append(connection)
    return tuple(_topic(name, by_name[name], promised.get(name)) for name in sorted(by_name))


def _topic(name: str, connections: list[Any], promise: PromisedTopic | None) -> BagTopic:
    """One topic of all files; QoS profiles of metadata.yaml come first, as in `ros2 bag play`."""
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


def _unpacked_row(data: bytes) -> tuple[bytes, str]:
    """The message as it was published, and what is wrong with it, or empty.

    A recorder may have compressed each message by itself.
    """
    if data.startswith(_ZSTD):
        from rosbags.rosbag2.reader import zstd

        try:
            data = zstd.decompress(data)
        except Exception as error:  # of zstd: the row was cut or overwritten
            return data, f"cannot be unpacked ({error}), expected zstd"
    if not data:
        return data, "is empty, expected a CDR header"
    return data, "" if data[0] == 0 else f"begins with {data[:4]!r}, expected a CDR header"
