"""One episode as a rosbag2 bag: the folder with one MCAP file and metadata.yaml."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import yaml
from rclpy.qos import QoSProfile

from gr00t_ros.bags.bag import METADATA
from gr00t_ros.bags.message_types import typestore
from gr00t_ros.bags.record import VERSION, offered
from gr00t_ros.errors import BagError
from gr00t_ros.folder import to_disk, write_whole
from gr00t_ros.record.mcap_file import Channel, McapFile


def channel_of(topic: str, type_name: str, profile: QoSProfile) -> Channel:
    """The channel of a topic with that offered QoS; raises BagError for an unknown type."""
    from rosbags.rosbag2.metadata import dump_qos_v9

    store = typestore([type_name])
    definition, _ = store.generate_msgdef(type_name, ros_version=2)
    qos = yaml.safe_dump(dump_qos_v9([offered(profile)]), sort_keys=False)
    return Channel(topic, type_name, definition, store.hash_rihs01(type_name), qos.strip())


class WritableBag(Protocol):
    """What the writing thread does with an episode's bag; every method may raise OSError."""

    def write(self, channel: Channel, time_ns: int, data: bytes) -> None:
        """Add a message."""

    def flush_if_due(self) -> None:
        """Write what has waited long enough."""

    def drop_chunk(self) -> Counter[str]:
        """Give up what could not be written; returns the messages lost, by topic."""

    def close(self) -> None:
        """Finish the bag."""


class EpisodeBag:
    """The bag of one episode while it is written."""

    def __init__(self, folder: Path) -> None:
        """Create the folder, which must not exist, and its file; OSError leaves neither."""
        folder.mkdir()
        try:
            to_disk(folder.parent)
            self._file = McapFile(mcap_path(folder))
        except BaseException:
            with suppress(OSError):
                folder.rmdir()
            raise
        self.folder = folder
        self._closed = False

    def write(self, channel: Channel, time_ns: int, data: bytes) -> None:
        """Add a message; raises OSError if what waits to be written cannot be."""
        self._file.write(channel, time_ns, data)

    def flush_if_due(self) -> None:
        """Write what has waited long enough; raises OSError."""
        self._file.flush_if_due()

    def drop_chunk(self) -> Counter[str]:
        """Give up what could not be written; returns the messages lost, by topic.

        No message is lost once the file is closed: it is whole, and only metadata.yaml is missing.
        """
        return Counter() if self._closed else self._file.drop_chunk()

    def close(self) -> None:
        """Write index and metadata.yaml, all to the disk; raises OSError. May be called again."""
        if not self._closed:
            self._file.close()
            self._closed = True
        write_metadata(self.folder, self._file)


def mcap_path(folder: Path) -> Path:
    """The file of an episode's bag, named as rosbag2 names it."""
    return folder / f"{folder.name}_0.mcap"


def bag_file(folder: Path) -> Path | None:
    """The file of an episode's bag as it lies there, also in a folder that was renamed.

    None without one; BagError if there are several.
    """
    path = mcap_path(folder)
    if path.exists():
        return path
    others = sorted(folder.glob("*.mcap"))
    if len(others) > 1:
        names = [one.name for one in others]
        raise BagError(f"{folder}: got {names}, expected {path.name}")
    return others[0] if others else None


def write_metadata(folder: Path, file: McapFile) -> None:
    """Write metadata.yaml as rosbag2 of Jazzy and Kilted does, with what the file holds."""
    totals = file.totals
    start = {"nanoseconds_since_epoch": totals.start_ns}
    duration = {"nanoseconds": totals.end_ns - totals.start_ns}
    count = totals.counts.total()
    about = {
        "version": VERSION,
        "storage_identifier": "mcap",
        "relative_file_paths": [file.path.name],
        "duration": duration,
        "starting_time": start,
        "message_count": count,
        "topics_with_message_count": [
            {"topic_metadata": _topic(one), "message_count": totals.counts[one.topic]}
            for one in file.channels
        ],
        "compression_format": "",
        "compression_mode": "",
        "files": [
            {
                "path": file.path.name,
                "starting_time": dict(start),
                "duration": dict(duration),
                "message_count": count,
            }
        ],
        "custom_data": None,
        "ros_distro": os.environ.get("ROS_DISTRO", ""),  # as rosbag2: empty is unknown
    }
    text = yaml.safe_dump({"rosbag2_bagfile_information": about}, sort_keys=False)
    write_whole(folder / METADATA, text)


def _topic(channel: Channel) -> dict[str, Any]:
    return {
        "name": channel.topic,
        "type": channel.type_name,
        "serialization_format": "cdr",
        "offered_qos_profiles": yaml.safe_load(channel.qos),
        "type_description_hash": channel.type_hash,
    }
