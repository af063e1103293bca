"""The files of a bag: found with or without metadata.yaml, unpacked, opened through rosbags.

A file is opened for what it says itself; metadata.yaml adds what it says of topics, no more. The
reader of whole folders in rosbags refuses all of a bag for one topic, and drops what the two say
differently. Refuses to know what messages hold.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from gr00t_ros.core.errors import BagError
from gr00t_ros.sidecar.yaml_file import read_yaml

INSTALL_COMMAND = "python3 -m pip install rosbags==0.11.9"
"""ROS 2 users of Ubuntu 24.04 add --break-system-packages. rosdep has python3-rosbags-pip, which
takes the newest: what is used here beneath rosbags' public reader may have changed there."""

METADATA = "metadata.yaml"
SUFFIXES = (".db3", ".mcap")
PACKED = ".zst"
REINDEX = "or write it anew: ros2 bag reindex {folder}"
WITHOUT = f"move {METADATA} away to read the files as they are, {REINDEX}"


@dataclass(frozen=True, slots=True)
class PromisedTopic:
    """What metadata.yaml says of a topic; `profiles` are rosbags' Qos."""

    type_name: str
    count: int
    profiles: list[Any]


@dataclass(frozen=True, slots=True)
class BagFiles:
    """The storage files of a bag in their order, and what its metadata.yaml promises by topic."""

    paths: tuple[Path, ...]
    promised: dict[str, PromisedTopic] = field(default_factory=dict)


def find_files(path: Path) -> BagFiles:
    """The files of a folder, or the one file.

    Raises BagError: none, not all, or doubtful ones, or no rosbags to read them.
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
    # of a file and its packed twin the messages are the same
    paths = [one for one in found if one.suffix != PACKED or one.with_suffix("") not in found]
    if not paths:
        raise _no_bag(path, f"there is no {METADATA} and no file *.db3 or *.mcap")
    if len({_kind(one) for one in paths}) > 1:
        names = [one.name for one in paths]
        raise _no_bag(path, f"no {METADATA} says which of {names} belong to it; give one file")
    return BagFiles(tuple(paths))


def missing_rosbags(error: Exception) -> BagError:
    """What to raise where rosbags, or what is used of it, cannot be imported."""
    return BagError(f"bags need the Python package rosbags ({error}); run: {INSTALL_COMMAND}")


@contextmanager
def open_files(paths: tuple[Path, ...]) -> Iterator[list[Any]]:
    """The files as storages of rosbags, packed ones from copies in the system's temporary folder.

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
    except Exception as error:  # of maps, numbers and rosbags' own: any means no metadata
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
    except Exception as error:  # of sqlite, MCAP, zstd and rosbags: any means no usable file
        new = named.with_name(f"whole{path.suffix}")
        program = f"mcap recover {named} -o {new}" if mcap else f"sqlite3 {named} .recover"
        raise _no_bag(named, f"{error}; what is left of it may come with: {program}") from error
    return storage


@contextmanager
def _any_schema() -> Iterator[None]:
    """While it lasts, rosbags opens an MCAP file of any profile, with schemas of any encoding.

    It refuses a file whose profile is not 'ros2', and fails at a schema that is no ROS text (JSON,
    protobuf). Each channel's own encoding says what can be read, and definitions are not used.
    """
    from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
    from rosbags.rosbag2 import storage_mcap

    own = storage_mcap.get_msgdef, storage_mcap.read_string
    texts = 0

    def read_string(stream: Any) -> str:
        nonlocal texts
        texts += 1
        text: str = storage_mcap.read_bytes(stream).decode(errors="replace")
        return "ros2" if texts == 1 else text  # the first text of a file is its profile

    def get_msgdef(_schema: Any) -> MessageDefinition:
        return MessageDefinition(MessageDefinitionFormat.NONE, "")

    storage_mcap.get_msgdef, storage_mcap.read_string = get_msgdef, read_string
    try:
        yield
    finally:
        storage_mcap.get_msgdef, storage_mcap.read_string = own


def _unpacked(path: Path, stack: ExitStack) -> Path:
    """A copy of a packed file, removed at the end; any other file itself."""
    if path.suffix != PACKED:
        return path
    from rosbags.rosbag2.reader import zstd

    copy = Path(stack.enter_context(TemporaryDirectory()), path.stem)
    try:
        with path.open("rb") as packed, zstd.open(packed, "rb") as source, copy.open("wb") as out:
            shutil.copyfileobj(source, out)
    except Exception as error:  # of zstd and the disk
        remedy = f"unpack it where there is room: zstd -d {path}"
        raise _no_bag(path, f"cannot be unpacked to {copy.parent}: {error}; {remedy}") from error
    return copy


def _check_journal(path: Path) -> None:
    """Refuse an sqlite file whose last messages still stand beside it: they are not read there."""
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists() and journal.stat().st_size:
        remedy = f"sqlite3 {path} 'PRAGMA wal_checkpoint(TRUNCATE)'"
        raise _no_bag(path, f"its last messages are still in {journal.name}; run: {remedy}")


def _check_suffix(path: Path) -> None:
    if _kind(path) not in SUFFIXES:
        raise _no_bag(path, f"expected a file *.db3 or *.mcap, or one of them packed as *{PACKED}")


def _kind(path: Path) -> str:
    """The suffix, below that of the packing."""
    return path.with_suffix("").suffix if path.suffix == PACKED else path.suffix


def _natural(path: Path) -> tuple[tuple[int, str], ...]:
    """Sorts bag_10 behind bag_9."""
    parts = re.split(r"(\d+)", path.name)
    return tuple((int(one), "") if one.isdecimal() else (-1, one) for one in parts)


def _no_bag(path: Path, why: str) -> BagError:
    return BagError(f"{path}: cannot be read as a rosbag2 bag: {why}")
