"""An MCAP file that grows by whole chunks, and can be read after each of them.

rosbags' writer writes the end of the file only when it is closed, so no reader opens the file of a
killed recorder. This one writes each chunk and an end of the file behind it in one call, and the
next chunk over that end. Chunks are not compressed, so that the whole messages of a chunk that was
cut off can be found (record/mcap_repair). Layout: https://mcap.dev/spec.
"""

from __future__ import annotations

import os
import struct
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gr00t_ros.folder import hold

CHUNK_BYTES: Final = 4 * 2**20
"""A chunk is written when it has this many bytes."""
CHUNK_S: Final = 0.5
"""A chunk is written when its first message is this old: what a killed recorder loses at most."""

# What record/mcap_repair reads as well.
MAGIC: Final = b"\x89MCAP0\r\n"
_HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 1, 2, 3, 4, 5, 6
INDEX, _CHUNK_INDEX, _STATISTICS, _OFFSET, DATA_END = 7, 8, 11, 14, 15
RECORD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<BQHIQQ")
CHUNK_HEAD = struct.Struct("<BQQQQIIQ")
_LIBRARY: Final = "gr00t_ros"


def _record(opcode: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return RECORD.pack(opcode, len(content)) + content


def _text(text: str) -> bytes:
    return _sized(text.encode())


def _sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


BEGIN: Final = MAGIC + _record(_HEADER, _text("ros2"), _text(_LIBRARY))
END: Final = _record(DATA_END, bytes(4)) + _record(FOOTER, bytes(20)) + MAGIC
"""The end of a file without a summary."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic of a file: its type with definition and hash, and the offered QoS as YAML."""

    topic: str
    type_name: str
    definition: str
    type_hash: str
    qos: str

    def schema_record(self, number: int) -> bytes:
        """The record of its type; schema and channel have the same number."""
        texts = (_text(self.type_name), _text("ros2msg"), _text(self.definition))
        return _record(SCHEMA, struct.pack("<H", number), *texts)

    def channel_record(self, number: int) -> bytes:
        """The record of its topic, with rosbag2's names of the metadata."""
        metadata = (
            *(_text("offered_qos_profiles"), _text(self.qos)),
            *(_text("topic_type_hash"), _text(self.type_hash)),
        )
        parts = (_text(self.topic), _text("cdr"), _sized(b"".join(metadata)))
        return _record(CHANNEL, struct.pack("<HH", number, number), *parts)


@dataclass(slots=True)
class _Chunk:
    """A chunk while it is filled: records, and the (time, offset) of its messages by channel."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    index: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    begun_s: float = 0.0

    def add(self, record: bytes) -> None:
        """Add the record of a type or a topic."""
        self.parts.append(record)
        self.size += len(record)

    def add_message(self, number: int, time_ns: int, data: bytes) -> None:
        """Add a message of the channel with that number."""
        if not self.index:
            self.begun_s = time.monotonic()
        self.index.setdefault(number, []).append((time_ns, self.size))
        self.add(_MESSAGE_HEAD.pack(MESSAGE, 22 + len(data), number, 0, time_ns, time_ns))
        self.add(data)

    @property
    def due(self) -> bool:
        """Whether it should be written."""
        late = bool(self.index) and time.monotonic() - self.begun_s >= CHUNK_S
        return self.size >= CHUNK_BYTES or late

    @property
    def span(self) -> tuple[int, int]:
        """The times of its first and last message; 0 without messages."""
        times = [entry[0] for entries in self.index.values() for entry in entries]
        return (min(times), max(times)) if times else (0, 0)


@dataclass(slots=True)
class Totals:
    """What a file holds: messages by topic, and the times of the first and the last one, ns."""

    counts: Counter[str] = field(default_factory=Counter)
    start_ns: int = 0
    end_ns: int = 0

    def add(self, span: tuple[int, int], counts: dict[str, int]) -> None:
        """Add the messages of one chunk."""
        if not counts:
            return
        self.start_ns = min(self.start_ns, span[0]) if self.counts else span[0]
        self.end_ns = max(self.end_ns, span[1])
        self.counts.update(counts)


@dataclass(frozen=True, slots=True)
class WholeChunk:
    """A chunk as it is in a file: bytes of its records, its times, and its index records."""

    size: int
    span: tuple[int, int]
    indices: dict[int, bytes]


class McapFile:
    """One file; a single thread writes it."""

    def __init__(self, path: Path) -> None:
        """Create the file; raises OSError if it exists or cannot be written."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._start(path)
        hold(self._file)
        try:
            self._put(BEGIN + END)
        except BaseException:
            self.abandon()
            path.unlink(missing_ok=True)
            raise
        self._end = len(BEGIN)

    @classmethod
    def reopened(
        cls, path: Path, number: int, channels: Sequence[Channel], chunks: Iterable[WholeChunk]
    ) -> McapFile:
        """An open file whose chunks are whole and begin behind its header."""
        self = cls.__new__(cls)
        self._start(path)
        self._file, self._end = number, len(BEGIN)
        self.channels = list(channels)
        for one in chunks:
            self._keep(CHUNK_HEAD.size + one.size, one.span, one.size, one.indices)
        return self

    def _start(self, path: Path) -> None:
        self.path = path
        self.totals = Totals()
        self.channels: list[Channel] = []
        self._numbers: dict[str, int] = {}
        self._chunk = _Chunk()
        self._chunk_indices: list[bytes] = []
        self._end = 0

    @property
    def size(self) -> int:
        """Bytes written so far, without the end of the file."""
        return self._end

    @property
    def ending(self) -> bytes:
        """What stands behind the last chunk of a closed file: the summary with the index."""
        return self._summary(self._end + len(_record(DATA_END, bytes(4))))

    def write(self, channel: Channel, time_ns: int, data: bytes) -> None:
        """Add a message; raises OSError if the chunk that it completes cannot be written."""
        number = self._numbers.get(channel.topic)
        if number is None:
            number = self._add(channel)
        self._chunk.add_message(number, time_ns, data)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write the chunk if it is large or old enough."""
        if self._chunk.due:
            self.flush()

    def flush(self) -> None:
        """Write the chunk, its index and an end of the file."""
        chunk = self._chunk
        if not chunk.parts:
            return
        start_ns, end_ns = chunk.span
        size = chunk.size
        head = CHUNK_HEAD.pack(CHUNK, 40 + size, start_ns, end_ns, size, 0, 0, size)
        indices = {n: message_index(n, entries) for n, entries in chunk.index.items()}
        self._put(b"".join([head, *chunk.parts, *indices.values(), END]))
        self._keep(len(head) + size, (start_ns, end_ns), size, indices)
        self._chunk = _Chunk()

    def drop_chunk(self) -> Counter[str]:
        """Give up the chunk that could not be written; returns the messages lost, by topic.

        The file ends behind the last whole chunk.
        """
        lost = Counter(
            {self.channels[n - 1].topic: len(rows) for n, rows in self._chunk.index.items()}
        )
        self._chunk = _Chunk()
        self.channels = [one for one in self.channels if self.totals.counts[one.topic]]
        self._numbers = {one.topic: number for number, one in enumerate(self.channels, 1)}
        os.ftruncate(self._file, self._end)
        return lost

    def write_end(self) -> None:
        """Write the chunk and the summary with the index, and wait until all is on the disk."""
        self.flush()
        os.ftruncate(self._file, self._put(self.ending))
        os.fsync(self._file)

    def close(self) -> None:
        """Write the end, and close the file."""
        self.write_end()
        self.abandon()

    def abandon(self) -> None:
        """Close the file as it is; may be called again."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _add(self, channel: Channel) -> int:
        self.channels.append(channel)
        number = self._numbers[channel.topic] = len(self.channels)
        self._chunk.add(channel.schema_record(number))
        self._chunk.add(channel.channel_record(number))
        return number

    def _keep(
        self, length: int, span: tuple[int, int], size: int, indices: dict[int, bytes]
    ) -> None:
        """Count a chunk that is in the file at `_end`, and go behind it and its indices."""
        offsets, place = [], self._end + length
        for number, record in indices.items():
            offsets.append(struct.pack("<HQ", number, place))
            place += len(record)
        parts = (
            struct.pack("<QQQQ", *span, self._end, length),
            _sized(b"".join(offsets)),
            struct.pack("<Q", place - self._end - length),
            _text(""),
            struct.pack("<QQ", size, size),
        )
        self._chunk_indices.append(_record(_CHUNK_INDEX, *parts))
        counts = {self.channels[n - 1].topic: (len(r) - 15) // 16 for n, r in indices.items()}
        self.totals.add(span, counts)
        self._end = place

    def _summary(self, start: int) -> bytes:
        """The end of the file with a summary, which begins at `start`."""
        numbered = list(enumerate(self.channels, 1))
        counts = [struct.pack("<HQ", n, self.totals.counts[one.topic]) for n, one in numbered]
        chunks = len(self._chunk_indices)
        total = (self.totals.counts.total(), len(numbered), len(numbered), 0, 0, chunks)
        statistics = struct.pack("<QHIIIIQQ", *total, self.totals.start_ns, self.totals.end_ns)
        groups = {
            SCHEMA: b"".join(one.schema_record(n) for n, one in numbered),
            CHANNEL: b"".join(one.channel_record(n) for n, one in numbered),
            _CHUNK_INDEX: b"".join(self._chunk_indices),
            _STATISTICS: _record(_STATISTICS, statistics, _sized(b"".join(counts))),
        }
        place, offsets = start, []
        for opcode, records in groups.items():
            offsets.append(_record(_OFFSET, struct.pack("<BQQ", opcode, place, len(records))))
            place += len(records)
        footer = _record(FOOTER, struct.pack("<QQI", start, place, 0))
        data_end = _record(DATA_END, bytes(4))
        return b"".join([data_end, *groups.values(), *offsets, footer, MAGIC])

    def _put(self, data: bytes) -> int:
        """Write at `_end`, also where a call writes less than all; returns the end of the data."""
        left, place = memoryview(data), self._end
        while left:
            written = os.pwrite(self._file, left, place)
            left, place = left[written:], place + written
        return place


def message_index(number: int, entries: list[tuple[int, int]]) -> bytes:
    """The index record of one channel in a chunk: (time, offset) of each of its messages."""
    rows = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    return _record(INDEX, struct.pack("<H", number), _sized(rows))
