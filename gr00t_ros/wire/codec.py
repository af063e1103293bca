"""Messages to bytes and back, in both array codecs of the GR00T policy servers (wire.md 4).

Pure: no sockets, endpoints or generations. Received bytes are never trusted: no pickle, no
evaluated header, numeric dtypes only, and every size is checked before it is used. Anything
invalid raises `WireError`.

Two codecs write arrays; `decode` reads both by default:

- ``npy``: ``{"__ndarray_class__": true, "as_npy": bin}``, the bin a version 1 ``.npy`` file.
- ``msgpack_numpy``: ``{b"nd": true, b"type": str, b"kind": b"", b"shape": [..], b"data": bin}``
  and ``{b"nd": false, b"type": str, b"data": bin}`` for a numpy scalar.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Sequence
from typing import Any, Final, Literal

import msgpack
import numpy as np

from gr00t_ros.errors import TooLargeError, WireError
from gr00t_ros.wire.arrays import (
    NPY_KEY,
    ArrayCodec,
    msgpack_numpy_map,
    npy_map,
    read_msgpack_numpy,
    read_npy,
)

__all__ = [
    *("MAX_BYTES", "MODALITY_MARKERS", "ArrayCodec", "ModalityConfigMap"),
    *("decode", "decode_action", "encode"),
]

Form = Literal["text", "map"]

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_CONTAINER: Final = 4096  # entries of one map or list: msgpack allocates them up front
MAX_ITEMS: Final = 65536  # entries of all maps and lists: one wire byte can cost 64 in memory
MAX_DEPTH: Final = 32
MAX_INFO_BYTES: Final = 4096  # of one entry of info, where entries are read one by one
MAX_NESTED_TEXT: Final = 65536  # characters of all JSON texts in a message; real ones have 400

MODALITY_MARKERS: Final = ("__ModalityConfig_class__", "__ModalityConfig__")

_JSON_PARTS: Final = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*"?', re.DOTALL)

_LEAVES: Final = (np.ndarray, str, bytes, int, float, type(None), np.generic)


class ModalityConfigMap(dict[str, Any]):
    """The ``as_json`` fields of one ModalityConfig, and how it was marked on the wire.

    `marker` is one of `MODALITY_MARKERS`; `form` is ``"text"`` if ``as_json`` was a JSON text
    (N1.5) and ``"map"`` if it was a map. Together they show the server's generation.
    """

    def __init__(self, fields: dict[str, Any], marker: str, form: Form) -> None:
        super().__init__(fields)
        self.marker = marker
        self.form = form


def encode(message: object, array_codec: ArrayCodec) -> bytes:
    """Return `message` as one msgpack value, byte-identical to upstream's `array_codec`.

    Takes maps, lists, tuples, str, bytes, int, float, bool, None and numeric ndarrays; numpy
    scalars only in ``msgpack_numpy``, as upstream.
    Raises `WireError` for anything else.
    """
    if array_codec not in ("npy", "msgpack_numpy"):
        raise WireError(f"encode: array codec {array_codec!r}, expected npy or msgpack_numpy")
    hook = npy_map if array_codec == "npy" else msgpack_numpy_map
    try:
        return bytes(msgpack.packb(message, default=hook))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"encode: {error}") from error


def decode(
    data: bytes | bytearray | memoryview,
    max_bytes: int = MAX_BYTES,
    reads: Collection[ArrayCodec] = ("npy", "msgpack_numpy"),
) -> Any:
    """Return the one message in `data`, with arrays and ModalityConfigs resolved.

    Arrays are **read-only** and in native byte order. They share the memory of the message's own
    byte strings where possible, never that of `data`. Tuples come back as lists. An array in a
    codec that is not in `reads` stays a map, as in servers that read one codec only.
    Raises `TooLargeError` above `max_bytes`, `WireError` for everything else, and no other error.
    """
    size = memoryview(data).nbytes
    if size > max_bytes:
        raise TooLargeError(f"decode: message of {size} bytes, expected at most {max_bytes}")
    reader = _Reader(reads)
    try:
        message = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=reader.map,
            list_hook=reader.list,
            max_array_len=MAX_CONTAINER,
            max_map_len=MAX_CONTAINER,
            max_ext_len=0,
        )
    except WireError:
        raise
    except msgpack.ExtraData as error:
        raise WireError("decode: bytes after the message's end, expected one value") from error
    except (ValueError, TypeError, OverflowError, MemoryError, RecursionError) as error:
        raise WireError(f"decode: no valid msgpack message of {size} bytes: {error}") from error
    except msgpack.UnpackException as error:
        raise WireError(f"decode: no valid msgpack message of {size} bytes: {error}") from error
    _check_tree(message, MAX_DEPTH)
    return message


def decode_action(data: bytes | bytearray | memoryview, max_bytes: int = MAX_BYTES) -> Any:
    """Return the reply to a get_action, as `decode` does.

    Where the whole cannot be decoded, entries of info are not the reason that the action is lost:
    in ``[action, info]`` those that cannot be decoded alone, or are long, are left out.
    """
    try:
        return decode(data, max_bytes)
    except TooLargeError:
        raise
    except WireError:
        parts = _action_and_entries(memoryview(data))
        if parts is None:
            raise
    action, info = decode(parts[0], max_bytes), dict[Any, Any]()
    for entry in parts[1]:
        with contextlib.suppress(WireError):
            info |= decode(b"\x81" + entry, MAX_INFO_BYTES)  # a map of one entry
    return [action, info]


def _action_and_entries(data: memoryview) -> tuple[memoryview, list[bytes]] | None:
    """Return the bytes of the action and of each entry of info; None if there are no such two."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    try:
        if unpacker.read_array_header() != 2:
            return None
        start = unpacker.tell()
        unpacker.skip()
        action, entries = data[start : unpacker.tell()], list[bytes]()
        if not _begins_map(data[unpacker.tell()]):
            unpacker.skip()
            return (action, []) if unpacker.tell() == len(data) else None
        for _ in range(unpacker.read_map_header()):
            start = unpacker.tell()
            unpacker.skip()
            unpacker.skip()
            if unpacker.tell() - start < MAX_INFO_BYTES and len(entries) < MAX_CONTAINER:
                entries.append(bytes(data[start : unpacker.tell()]))
    except (ValueError, IndexError, msgpack.UnpackException):
        return None
    return (action, entries) if unpacker.tell() == len(data) else None


def _begins_map(first: int) -> bool:
    return 0x80 <= first < 0x90 or first in (0xDE, 0xDF)


class _Reader:
    """The msgpack hooks of one decode; they count the values built so far, JSON texts included."""

    def __init__(self, reads: Collection[ArrayCodec]) -> None:
        self._items = self._nested = 0
        self._npy = "npy" in reads
        self._msgpack_numpy = "msgpack_numpy" in reads

    def list(self, values: list[Any]) -> list[Any]:
        self._count(len(values))
        return values

    def map(self, fields: Sequence[tuple[Any, Any]]) -> Any:
        self._count(len(fields))
        value = dict(fields)
        if len(value) != len(fields):
            raise WireError("decode: a map has the same key twice, expected each key once")
        if NPY_KEY in value and self._npy:
            return read_npy(value.get("as_npy"))
        if self._msgpack_numpy and (b"nd" in value or "nd" in value):
            return read_msgpack_numpy(value)
        for marker in MODALITY_MARKERS:
            if marker in value:
                return self._modality(value.get("as_json"), marker)
        return value

    def _modality(self, as_json: object, marker: str) -> ModalityConfigMap:
        form: Form = "map"
        if isinstance(as_json, str):
            form, as_json = "text", self._json(as_json, f"as_json of {marker}")
        if not isinstance(as_json, dict):
            found = type(as_json).__name__
            raise WireError(f"decode: as_json of {marker} is {found}, expected a map")
        return ModalityConfigMap(as_json, marker, form)

    def _json(self, text: str, where: str) -> Any:
        """Parse a JSON text, after checking that its size and depth are small."""
        self._nested += len(text)
        if self._nested > MAX_NESTED_TEXT:
            raise WireError(
                f"decode: {where}: JSON texts above {MAX_NESTED_TEXT} characters in all"
            )
        if _json_depth(text) > MAX_DEPTH:
            raise WireError(f"decode: {where}: nested deeper than {MAX_DEPTH} levels")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise WireError(f"decode: {where} is no JSON: {error}") from error
        self._count_tree(value)
        return value

    def _count_tree(self, value: object) -> None:
        if isinstance(value, dict | list):
            self._count(len(value))
            for child in value.values() if isinstance(value, dict) else value:
                self._count_tree(child)

    def _count(self, items: int) -> None:
        self._items += items + 1
        if self._items > MAX_ITEMS:
            raise WireError(f"decode: more than {MAX_ITEMS} values in one message")


def _json_depth(text: str) -> int:
    """Return how deep the brackets of a JSON text are nested; brackets in strings do not count."""
    depth = deepest = 0
    for found in _JSON_PARTS.finditer(text):
        if found[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif found[0] in "]}":
            depth -= 1
    return deepest


def _check_tree(value: object, depth: int) -> None:
    if isinstance(value, (dict, list)):  # noqa: UP038  # a union would be built at each call
        if depth == 0:
            raise WireError(f"decode: nested deeper than {MAX_DEPTH} levels")
        for child in value.values() if isinstance(value, dict) else value:
            _check_tree(child, depth - 1)
    elif not isinstance(value, _LEAVES):
        raise WireError(f"decode: msgpack extension {type(value).__name__}, expected none")
