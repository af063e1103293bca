"""The envelope of a request, read and rewritten without decoding the observation in it.

Pure. Walks the msgpack bytes and looks at the outermost map alone, so that a proxy learns what
two cameras' worth of bytes asks for without a copy. Stricter than upstream's reader, so that
the two cannot take one frame for different requests: three known keys, each at most once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgpack

from gr00t_ros.core.errors import WireError
from gr00t_ros.sidecar.codec import MAX_ITEMS
from gr00t_ros.sidecar.messages import GET_ACTION

Bytes = bytes | memoryview

ENDPOINT: Final = "endpoint"
DATA: Final = "data"
API_TOKEN: Final = "api_token"
_KEYS: Final = (ENDPOINT, DATA, API_TOKEN)

MAX_TEXT_BYTES: Final = 16_384  # of a key, an endpoint or a token: four times the longest token

# The msgpack specification's formats by their first byte: scalars with their size, then what has
# a count, with the bytes of the count. Extension types are left out: no message has one.
_SCALARS: Final = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8} | {
    first + i: 1 << i for first in (0xCC, 0xD0) for i in range(4)
}
_BYTES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}


@dataclass(frozen=True, slots=True)
class Envelope:
    """One request: its endpoint, the token in it, and where its fields lie in `frame`."""

    frame: Bytes
    endpoint: str
    token: str | None = field(repr=False)
    fields: Mapping[str, slice]

    def with_token(self, token: str | None) -> Bytes:
        """Return the request with that token in place of its own; itself where that is the same."""
        if token == self.token and (token is not None or API_TOKEN not in self.fields):
            return self.frame
        parts = [self.frame[place] for key, place in self.fields.items() if key != API_TOKEN]
        if token is not None:
            parts.append(msgpack.packb(API_TOKEN) + msgpack.packb(token))
        return b"".join([bytes([0x80 | len(parts)]), *parts])


def read_envelope(frame: Bytes) -> Envelope:
    """Return the envelope of one request frame; raise `WireError` for anything else.

    The whole frame is walked: it must be one msgpack value without extension types.
    """
    data = memoryview(frame)
    fields = _fields(data)
    endpoint = _text(data, fields, ENDPOINT)
    if ENDPOINT in fields and endpoint is None:
        raise WireError("request: endpoint is nil, expected a text")
    token = _text(data, fields, API_TOKEN)
    places = {key: slice(start, end) for key, (start, _, end) in fields.items()}
    return Envelope(data, GET_ACTION if endpoint is None else endpoint, token, places)


def _fields(data: memoryview) -> dict[str, tuple[int, int, int]]:
    """Return key -> (start of the key, start of the value, end of the value)."""
    kind, count, at = _head(data, 0)
    if kind != "map" or count > len(_KEYS):
        raise WireError(f"request: {kind} of {count}, expected a map of {', '.join(_KEYS)}")
    fields: dict[str, tuple[int, int, int]] = {}
    walked = 0
    for _ in range(count):
        start = at
        at, _ = _skip(data, start, len(_KEYS))
        key = _unpack(data[start:at])
        if not isinstance(key, str) or key not in _KEYS or key in fields:
            raise WireError(f"request: key {key!r:.80}, expected each of {', '.join(_KEYS)} once")
        value = at
        at, items = _skip(data, value, MAX_ITEMS - walked)
        walked += items
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


def _skip(data: memoryview, at: int, max_items: int) -> tuple[int, int]:
    """Return the end of the value at `at`, and of how many values it is made."""
    left, items = 1, 0
    while left:
        items += 1
        kind, count, at = _head(data, at)
        left -= 1
        if kind == "bytes":
            at += count
        else:
            left += count * (2 if kind == "map" else 1)
        if at > len(data) or items + left > max_items:
            raise WireError(f"request: ends early, or holds more than {MAX_ITEMS} values")
    return at, items


def _head(data: memoryview, at: int) -> tuple[str, int, int]:
    """Return what starts at `at`: "bytes", "array" or "map", its count, and where that begins."""
    if at >= len(data):
        raise WireError("request: ends early")
    first = data[at]
    at += 1
    if first < 0x80 or first >= 0xE0:
        return "bytes", 0, at
    if first < 0x90:
        return "map", first & 0x0F, at
    if first < 0xA0:
        return "array", first & 0x0F, at
    if first < 0xC0:
        return "bytes", first & 0x1F, at
    if first in _SCALARS:
        return "bytes", _SCALARS[first], at
    for kind, sizes in (("bytes", _BYTES), ("array", _ARRAYS), ("map", _MAPS)):
        if first in sizes:
            end = at + sizes[first]
            if end > len(data):
                raise WireError("request: ends early")
            return kind, int.from_bytes(data[at:end], "big"), end
    raise WireError(f"request: msgpack type 0x{first:02x}, expected none of these")
