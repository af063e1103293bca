"""Reads and rewrites the envelope of a request without decoding the observation in it.

Pure. Walks the msgpack bytes and reads the outermost map only, so that a proxy can check a request
with camera images without copying it. Stricter than upstream's reader (three known keys, each at
most once), so that both always read the same request from one frame.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgpack

from gr00t_ros.errors import WireError
from gr00t_ros.wire.codec import MAX_DEPTH
from gr00t_ros.wire.messages import GET_ACTION

Bytes = bytes | memoryview
ByteSpan = tuple[int, int]  # start and end of bytes in a frame

ENDPOINT: Final = "endpoint"
DATA: Final = "data"
API_TOKEN: Final = "api_token"
_KEYS: Final = (ENDPOINT, DATA, API_TOKEN)
_FURTHER: Final = 16  # keys besides these that `read_token` ignores

MAX_TEXT_BYTES: Final = 16_384  # of a key, an endpoint or a token: four times the longest token
# Values in one request: each costs a step here before the token is checked. An observation of
# eight cameras and forty states has 700, a chunk of 50 x 43 numbers as plain lists has 2,200.
MAX_VALUES: Final = 4096


def _form(first: int) -> tuple[int, int, int] | None:
    """Return the form of the value that begins with this byte, None for an unknown one.

    The form: the number of bytes that hold its count; the count itself where that is 0; the values
    per entry, as `_head` returns them.
    """
    if first < 0x80 or first >= 0xE0:
        return 0, 0, 0
    if first < 0xC0:  # short map, array or text: the byte contains the count
        each = 2 if first < 0x90 else 1 if first < 0xA0 else 0
        return 0, first & (0x1F if first >= 0xA0 else 0x0F), each
    return _LONG_FORMS.get(first)


# The formats of the msgpack specification from 0xc0 on, as `_form` returns them. Extension types
# are left out: no valid message has one.
_LONG_FORMS: Final = (
    {first: (0, 0, 0) for first in (0xC0, 0xC2, 0xC3)}
    | {0xCA: (0, 4, 0), 0xCB: (0, 8, 0)}
    | {first + i: (0, 1 << i, 0) for first in (0xCC, 0xD0) for i in range(4)}
    | {0xC4: (1, 0, 0), 0xC5: (2, 0, 0), 0xC6: (4, 0, 0)}
    | {0xD9: (1, 0, 0), 0xDA: (2, 0, 0), 0xDB: (4, 0, 0)}
    | {0xDC: (2, 0, 1), 0xDD: (4, 0, 1), 0xDE: (2, 0, 2), 0xDF: (4, 0, 2)}
)
_COUNTS: Final = {
    size: struct.Struct(code).unpack_from for size, code in ((1, ">B"), (2, ">H"), (4, ">I"))
}
_FORMS: Final = tuple(_form(first) for first in range(256))


@dataclass(frozen=True, slots=True)
class Envelope:
    """One request: its endpoint, its token, and the position of each field in `frame`."""

    frame: Bytes
    endpoint: str
    token: str | None = field(repr=False)
    fields: Mapping[str, slice]

    def with_token(self, token: str | None) -> Bytes:
        """Return the request with `token` instead of its own; the same frame if they are equal."""
        if token == self.token and (token is not None or API_TOKEN not in self.fields):
            return self.frame
        parts = [self.frame[place] for key, place in self.fields.items() if key != API_TOKEN]
        if token is not None:
            parts.append(msgpack.packb(API_TOKEN) + msgpack.packb(token))
        return b"".join([bytes([0x80 | len(parts)]), *parts])

    def with_endpoint(self, endpoint: str, others: Mapping[ByteSpan, Bytes]) -> bytes:
        """Return the request with this endpoint, and with `others` in place of these bytes of it.

        `others` are parts of the data, where `maps_that_begin` finds them.
        """
        text = msgpack.packb(ENDPOINT) + msgpack.packb(endpoint)
        field = self.fields.get(ENDPOINT)
        if field is None:  # a new head of the map, with one entry more
            first = min((one.start for one in self.fields.values()), default=len(self.frame))
            field, text = slice(0, first), bytes([0x81 + len(self.fields)]) + text
        parts, at = list[Bytes](), 0
        for (start, end), new in sorted([*others.items(), ((field.start, field.stop), text)]):
            parts += [self.frame[at:start], new]
            at = end
        return b"".join([*parts, self.frame[at:]])


def maps_that_begin(
    envelope: Envelope, keys: Collection[bytes]
) -> Iterator[tuple[ByteSpan, bytes]]:
    """Where maps are in the data whose first key is one of `keys`, packed; with that key.

    Such a map is not searched itself. The frame must have passed `read_envelope`.
    """
    place = envelope.fields.get(DATA)
    if place is None:
        return
    data, at, left = memoryview(envelope.frame), place.start, 2  # the key of the data, and these
    longest = max(map(len, keys))
    while left:
        start = at
        count, each, at = _head(data, at)
        left += count * each - 1
        head = bytes(data[at : at + longest]) if each == 2 and count else b""
        found = next((key for key in keys if head.startswith(key)), None)
        if found is not None:
            at, _ = _skip(data, start, MAX_VALUES)
            left -= count * each
            yield (start, at), found
        elif not each:
            at += count


def read_envelope(frame: Bytes) -> Envelope:
    """Return the envelope of one request frame; raise `WireError` for anything else.

    The whole frame is checked: it must be one msgpack value without extension types.
    """
    data = memoryview(frame)
    fields = _fields(data)
    endpoint = _text(data, fields, ENDPOINT)
    if ENDPOINT in fields and endpoint is None:
        raise WireError("request: endpoint is nil, expected a text")
    token = _text(data, fields, API_TOKEN)
    places = {key: slice(start, end) for key, (start, _, end) in fields.items()}
    return Envelope(data, GET_ACTION if endpoint is None else endpoint, token, places)


def read_token(frame: Bytes) -> str | None:
    """Return the token of a request, which may have keys that servers ignore (wire.md 3).

    Raises `WireError` as `read_envelope` does for everything else.
    """
    data = memoryview(frame)
    return _text(data, _fields(data, _FURTHER), API_TOKEN)


def _fields(data: memoryview, further: int = 0) -> dict[str, tuple[int, int, int]]:
    """Return key -> (start of the key, start of the value, end of the value).

    further: how many unknown keys are left out; with one more it is no request.
    """
    count, each, at = _head(data, 0)
    if each != 2 or count > len(_KEYS) + further:
        raise WireError(f"request: no map of {', '.join(_KEYS)}, expected one")
    fields: dict[str, tuple[int, int, int]] = {}
    walked = 0
    for _ in range(count):
        start = at
        at, _ = _skip(data, start, len(_KEYS))
        key = _unpack(data[start:at])
        if not isinstance(key, str) or key in fields or not (key in _KEYS or further):
            raise WireError(f"request: key {key!r:.80}, expected each of {', '.join(_KEYS)} once")
        value = at
        at, values = _skip(data, value, MAX_VALUES - walked)
        walked += values
        if key in _KEYS:
            fields[key] = (start, value, at)
    if at != len(data):
        raise WireError("request: bytes after the message's end, expected one value")
    return fields


def _text(data: memoryview, fields: Mapping[str, tuple[int, int, int]], key: str) -> str | None:
    if key not in fields:
        return None
    _, start, end = fields[key]
    value = _unpack(data[start:end])
    if value is not None and not isinstance(value, str):
        raise WireError(f"request: {key} is {type(value).__name__}, expected a text")
    return value


def _unpack(data: memoryview) -> object:
    if len(data) > MAX_TEXT_BYTES:
        raise WireError(f"request: {len(data)} bytes where a short text is expected")
    try:
        value: object = msgpack.unpackb(data, raw=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"request: {error}") from error
    return value


def _skip(data: memoryview, at: int, max_values: int) -> tuple[int, int]:
    """Return the end of the value at `at`, and how many values it consists of."""
    values, left = 1, 1
    outer: list[int] = []  # how many values are left in each enclosing container
    while True:
        while not left:
            if not outer:
                return at, values
            left = outer.pop()
        left -= 1
        count, each, at = _head(data, at)
        if each:
            outer.append(left)
            left = count * each
            values += left
            if values > max_values or len(outer) > MAX_DEPTH:
                raise WireError(
                    f"request: more than {MAX_VALUES} values, or nested deeper than {MAX_DEPTH}"
                )
        else:
            at += count
            if at > len(data):
                raise WireError("request: ends early")


def _head(data: memoryview, at: int) -> tuple[int, int, int]:
    """Return the count of the value at `at`, its values per entry, and where its content begins.

    Values per entry: 0 for bytes, texts and numbers, 1 for an array, 2 for a map.
    """
    try:
        form = _FORMS[data[at]]
        if form is None:
            raise WireError(f"request: msgpack type 0x{data[at]:02x}, expected none of these")
        size, count, each = form
        at += 1
        if size:
            (count,) = _COUNTS[size](data, at)
    except (IndexError, struct.error):
        raise WireError("request: ends early") from None
    return count, each, at + size
