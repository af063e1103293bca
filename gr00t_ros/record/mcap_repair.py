"""Repairs an MCAP file that record/mcap_file wrote: its writer was killed, or the power failed.

A file whose chunks are all whole only gets its end. Where anything else is to be left out, a new
file is made of what is whole, before and behind the damage, and the old one is kept beside it.
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from gr00t_ros.errors import BagError
from gr00t_ros.folder import hold, to_disk
from gr00t_ros.record.mcap_file import (
    BEGIN,
    CHANNEL,
    CHUNK,
    CHUNK_HEAD,
    END,
    FOOTER,
    INDEX,
    MAGIC,
    MESSAGE,
    RECORD,
    SCHEMA,
    Channel,
    McapFile,
    WholeChunk,
    message_index,
)

_HEAD: Final = re.compile(rb"\x06.{24}(.{8})\0{8}\1[\3\4\5]", re.DOTALL)
"""The head of a chunk that is not compressed, and the opcode of its first record."""
_MESSAGE = struct.Struct("<HIQQ")
_ENTRY = struct.Struct("<QQ")
_SECTOR: Final = 512
"""A disk loses no less; what it has lost reads as zeros from a multiple of it on."""
_TAIL: Final = RECORD.size + 20 + len(MAGIC)
"""Bytes of the footer and the magic at the end of a file."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """A file after its repair. changed: whether it had to be.

    kept: the old file, where a new one was made. left_out: bytes of it that are in no message of
    the new one.
    """

    file: McapFile
    changed: bool
    left_out: int = 0
    kept: Path | None = None


def repair(path: Path) -> Repaired | None:
    """Make a file whole with all messages that are whole in it; None if none can be found.

    Raises BagError for a file that record/mcap_file did not write, and while it is written, and
    OSError where there is no room for a new one, or it needs a repair and may not be written;
    nothing is changed then.
    """
    number = _opened(path)
    try:
        if holder := hold(number):
            raise BagError(f"{path}: is still recorded by {holder}: stop its recorder first")
        if os.fstat(number).st_size <= len(BEGIN):
            return None
        with mmap.mmap(number, 0, access=mmap.ACCESS_READ) as data:
            header = data[: len(BEGIN)]
            if header != BEGIN and any(header):
                raise BagError(f"{path}: was not written by gr00t record: see mcap recover")
            found = _Scan(data)
            if not any(part.holds_messages for part in found.parts):
                return None
            if found.is_whole and header == BEGIN:
                return _ended(path, number, data, found)
            return _made_anew(path, data, found)
    finally:
        os.close(number)


def is_closed(path: Path) -> bool:
    """Whether a file ends as a writer leaves it: a footer with the place of its summary.

    Raises OSError.
    """
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) < _TAIL:
            return False
        file.seek(-_TAIL, os.SEEK_END)
        tail = file.read()
    opcode, length, start = struct.unpack_from("<BQQ", tail)
    return tail.endswith(MAGIC) and (opcode, length) == (FOOTER, 20) and start > 0


def is_without_chunks(path: Path) -> bool:
    """Whether a file is as a writer leaves it that has written no chunk: killed or closed by then.

    So nothing of it is lost. Raises OSError.
    """
    closed = BEGIN + McapFile.reopened(path, -1, [], []).ending
    with path.open("rb") as file:
        return file.read(len(closed) + 1) in (BEGIN + END, closed)


def _opened(path: Path) -> int:
    """The file, to be written if that is allowed: NFS locks none that is open for reading alone."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _refuse_read_only(path: Path) -> None:
    """Raise OSError for a file that may not be written, before anything of it is changed."""
    os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))


def _ended(path: Path, number: int, data: mmap.mmap, found: _Scan) -> Repaired:
    """The file with its end behind its chunks, which is written unless it stands there."""
    channels = [found.channels[number] for number in sorted(found.channels)]
    chunks = (part.chunk for part in found.parts if part.chunk is not None)
    file = McapFile.reopened(path, number, channels, chunks)
    changed = data[file.size :] != file.ending
    if changed:
        _refuse_read_only(path)
        file.write_end()
    return Repaired(file, changed)


def _made_anew(path: Path, data: mmap.mmap, found: _Scan) -> Repaired:
    """A new file of all messages, in place of the old one, which gets another name."""
    _refuse_read_only(path)
    made = path.with_name(f"{path.name}.repaired")
    made.unlink(missing_ok=True)
    file = McapFile(made)
    try:
        for part in found.parts:
            for one in found.messages(part):
                file.write(found.channels[one.number], one.time_ns, data[one.begin : one.end])
        file.close()
        kept = _second_name(path)
        made.replace(path)
        to_disk(path.parent)
    except BaseException:
        file.abandon()  # an open file takes its room on the disk also without a name
        made.unlink(missing_ok=True)
        raise
    file.path = path
    return Repaired(file, True, found.left_out, kept)


def _second_name(path: Path) -> Path:
    """Give the file a second name, or a copy where the file system has no second names."""
    names = (path.with_name(f"{path.name}.damaged{number or ''}") for number in count())
    kept = next(one for one in names if not one.exists())
    try:
        os.link(path, kept)
    except OSError:
        try:
            shutil.copyfile(path, kept)
        except BaseException:
            kept.unlink(missing_ok=True)
            raise
    return kept


@dataclass(frozen=True, slots=True)
class _Message:
    """Where a message's data is in the file."""

    number: int
    time_ns: int
    begin: int
    end: int


@dataclass(slots=True)
class _Part:
    """What was found in one chunk. end: of the records in order.

    chunk: if it is whole, and `messages` is empty then. Most files are whole and nobody needs their
    messages: they would take 190 bytes each, and an episode of some hours has millions.
    """

    place: int = 0
    messages: list[_Message] = field(default_factory=list)
    taken: int = 0
    end: int = 0
    chunk: WholeChunk | None = None

    @property
    def holds_messages(self) -> bool:
        return bool(self.messages or (self.chunk is not None and self.chunk.indices))

    def add(self, message: _Message) -> None:
        self.messages.append(message)
        self.taken += message.end - message.begin + RECORD.size + _MESSAGE.size


class _Scan:
    """All that is whole in a file. left_out: bytes that are neither that nor an end of the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.channels: dict[int, Channel] = {}
        self.parts: list[_Part] = []
        self.left_out = 0
        self._know_summary()
        place = len(BEGIN)
        while place < len(data):
            whole = self._whole(place)
            if whole is not None:
                self.parts.append(whole)
                place = whole.end
                continue
            next_place = self._next(place + 1)
            if next_place == len(data) and self._is_end(place):
                break
            part = self._rest(place, next_place)
            self.parts.append(part)
            head = CHUNK_HEAD.size if part.messages else 0
            self.left_out += next_place - place - part.taken - head
            place = next_place

    @property
    def is_whole(self) -> bool:
        """Whether all chunks are there and whole, so that their channels are numbered from 1 on."""
        numbered = sorted(self.channels) == list(range(1, len(self.channels) + 1))
        return numbered and all(part.chunk is not None for part in self.parts)

    def messages(self, part: _Part) -> list[_Message]:
        """Where the messages of a part are; of a whole chunk they are walked again."""
        if part.chunk is None:
            return part.messages
        begin = part.place + CHUNK_HEAD.size
        return self._walk(part.place, begin + part.chunk.size).messages

    def _is_end(self, place: int) -> bool:
        """Whether no chunk was there, only an end of the file, of which a part may be missing."""
        rest = self._data[place : place + len(END)]
        return END.startswith(rest) or rest[: RECORD.size] == END[: RECORD.size]

    def _next(self, place: int) -> int:
        """Where the next chunk begins; the end of the file if there is none."""
        for found in _HEAD.finditer(self._data, place):
            if self._size(found.start()) is not None:
                return found.start()
        return len(self._data)

    def _size(self, place: int) -> int | None:
        """Bytes of the records of the chunk at a place; None if no chunk begins there."""
        if place + CHUNK_HEAD.size > len(self._data):
            return None
        opcode, length, *_, size, crc, text, stored = CHUNK_HEAD.unpack_from(self._data, place)
        fits = opcode == CHUNK and length == 40 + size and stored == size
        return size if fits and crc == text == 0 else None

    def _whole(self, place: int) -> _Part | None:
        """The chunk at a place with its index; None if it is not whole."""
        size, data = self._size(place), self._data
        begin = place + CHUNK_HEAD.size
        if size is None or begin + size > len(data):
            return None
        found = self._walk(place, begin + size)
        if found.end != begin + size:
            return None
        offset = begin + RECORD.size + _MESSAGE.size
        entries: dict[int, list[tuple[int, int]]] = {}
        for one in found.messages:
            entries.setdefault(one.number, []).append((one.time_ns, one.begin - offset))
        indices = {number: message_index(number, rows) for number, rows in entries.items()}
        index = b"".join(indices.values())
        if data[found.end : found.end + len(index)] != index:
            return None
        _, _, start_ns, end_ns, *_ = CHUNK_HEAD.unpack_from(data, place)
        whole = WholeChunk(size, (start_ns, end_ns), indices)
        return _Part(place, end=found.end + len(index), chunk=whole)

    def _walk(self, place: int, end: int) -> _Part:
        """The records of the chunk at a place, in order, up to the first one that is not whole."""
        begin = place + CHUNK_HEAD.size
        found = _Part(end=begin)
        for opcode, at, length in _records(self._data, begin, end):
            if opcode == MESSAGE:
                message = self._message(place, at, length)
                if message is None:
                    break
                found.add(message)
            elif opcode == CHANNEL:
                number, channel = _channel(self._data, begin, at, at + RECORD.size + length)
                if channel is None:
                    break
                self.channels[number] = channel
                found.taken += RECORD.size + length
            elif opcode == SCHEMA:
                found.taken += RECORD.size + length
            else:
                break
            found.end = at + RECORD.size + length
        return found

    def _message(self, place: int, at: int, length: int) -> _Message | None:
        """The message whose record is at `at`; None for one that the chunk at `place` has not."""
        if length < _MESSAGE.size:
            return None
        _, _, start_ns, end_ns, *_ = CHUNK_HEAD.unpack_from(self._data, place)
        number, _, time_ns, again_ns = _MESSAGE.unpack_from(self._data, at + RECORD.size)
        if number not in self.channels or not start_ns <= time_ns == again_ns <= end_ns:
            return None
        begin = at + RECORD.size
        return _Message(number, time_ns, begin + _MESSAGE.size, begin + length)

    def _rest(self, place: int, next_place: int) -> _Part:
        """What is whole of a damaged chunk: from its begin on, and what its index tells of."""
        size = self._size(place)
        if size is None:
            return _Part()
        end = min(place + CHUNK_HEAD.size + size, next_place)
        found = self._walk(place, end)
        messages = sorted(
            {*found.messages, *self._indexed(place, size, found.end, next_place)},
            key=lambda one: one.begin,
        )
        records = found.taken - sum(one.end - one.begin for one in found.messages)
        records -= len(found.messages) * (RECORD.size + _MESSAGE.size)
        part = _Part(taken=records, end=found.end)
        for one in messages:
            if not self._lost_its_end(one):
                part.add(one)
        return part

    def _indexed(self, place: int, size: int, broken: int, next_place: int) -> Iterator[_Message]:
        """The messages behind the place where the records are broken that the index tells of."""
        begin = place + CHUNK_HEAD.size
        for opcode, at, length in _records(self._data, begin + size, next_place):
            if opcode != INDEX or length < 6:
                return
            (number,) = struct.unpack_from("<H", self._data, at + RECORD.size)
            rows = self._data[at + RECORD.size + 6 : at + RECORD.size + length]
            for time_ns, offset in _ENTRY.iter_unpack(rows[: len(rows) // 16 * 16]):
                record = next(_records(self._data, begin + offset, begin + size), None)
                if begin + offset < broken or record is None or record[0] != MESSAGE:
                    continue
                message = self._message(place, *record[1:])
                if message is not None and (message.number, message.time_ns) == (number, time_ns):
                    yield message

    def _lost_its_end(self, message: _Message) -> bool:
        """Whether zeros reach from a sector inside the message to what should follow it."""
        if self._data[message.end : message.end + 1] != b"\0":
            return False
        begin = message.begin - RECORD.size - _MESSAGE.size
        zeros = begin + len(self._data[begin : message.end].rstrip(b"\0"))
        return -(-zeros // _SECTOR) * _SECTOR < message.end

    def _know_summary(self) -> None:
        """Know the channels that the summary of a closed file has."""
        data = self._data
        if len(data) < _TAIL or data[-len(MAGIC) :] != MAGIC:
            return
        _, _, start = struct.unpack_from("<BQQ", data, len(data) - _TAIL)
        for opcode, at, length in _records(data, start, len(data)) if start else ():
            if opcode == CHANNEL:
                number, channel = _channel(data, start, at, at + RECORD.size + length)
                if channel is not None:
                    self.channels[number] = channel


def _records(data: mmap.mmap, place: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(opcode, place, length of the content) of each record that is whole before `end`."""
    end = min(end, len(data))
    while place + RECORD.size <= end:
        opcode, length = RECORD.unpack_from(data, place)
        if place + RECORD.size + length > end:
            return
        yield opcode, place, length
        place += RECORD.size + length


def _channel(data: mmap.mmap, begin: int, place: int, end: int) -> tuple[int, Channel | None]:
    """Number and channel of the record at `place`, whose schema stands between `begin` and it.

    None for a channel whose record, or whose schema, is not whole.
    """
    try:
        (number,) = struct.unpack_from("<H", data, place + RECORD.size)
        topic, _, metadata = _texts(data[place + RECORD.size + 4 : end], 3)
        pairs = _texts(metadata, 4)
        schema = next(
            data[at + RECORD.size : at + RECORD.size + length]
            for opcode, at, length in _records(data, begin, place)
            if opcode == SCHEMA and struct.unpack_from("<H", data, at + RECORD.size)[0] == number
        )
        name, _, definition = _texts(schema[2:], 3)
        known = (topic, name, definition, pairs[3], pairs[1])
        return number, Channel(*(part.decode() for part in known))
    except (struct.error, StopIteration, IndexError, UnicodeDecodeError):
        return 0, None


def _texts(data: bytes, number: int) -> list[bytes]:
    """So many texts, each behind its length; struct.error if they are not whole."""
    found, place = [], 0
    for _ in range(number):
        (length,) = struct.unpack_from("<I", data, place)
        (text,) = struct.unpack_from(f"{length}s", data, place + 4)
        found.append(text)
        place += 4 + length
    return found
