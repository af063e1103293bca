"""Messages to bytes and back, in both array codecs of the GR00T policy servers (wire.md 4).

Pure: it knows no socket, endpoint or generation. Bytes are never trusted: no pickle, no
evaluated header, numeric dtypes only, every size checked before it is used, and whatever is
wrong with them is a `WireError`.

Two codecs write arrays; `decode` reads both, always:

- ``npy``: ``{"__ndarray_class__": true, "as_npy": bin}``, the bin a version 1 ``.npy`` file.
- ``msgpack_numpy``: ``{b"nd": true, b"type": str, b"kind": b"", b"shape": [..], b"data": bin}``
  and ``{b"nd": false, b"type": str, b"data": bin}`` for a numpy scalar.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Collection, Iterable
from typing import Any, Final, Literal, cast

import msgpack
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.core.errors import TooLargeError, WireError

ArrayCodec = Literal["npy", "msgpack_numpy"]
Form = Literal["text", "map"]

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_CONTAINER: Final = 4096  # entries of one map or list: msgpack allocates them up front
MAX_ITEMS: Final = 65536  # entries of all maps and lists: a byte on the wire can cost 64 here
MAX_DEPTH: Final = 32
MAX_NPY_HEADER: Final = 1024
MAX_AXES: Final = 16

NPY_KEY: Final = "__ndarray_class__"
MODALITY_MARKERS: Final = ("__ModalityConfig_class__", "__ModalityConfig__")

_DTYPES: Final = {
    order + code: np.dtype(order + code)
    for orders, codes in (("|", ("b1", "i1", "u1")), ("<>", ("i2", "i4", "i8", "u2", "u4", "u8")))
    for order in orders
    for code in codes
} | {order + code: np.dtype(order + code) for order in "<>" for code in ("f2", "f4", "f8")}

_NPY_MAGIC: Final = b"\x93NUMPY\x01\x00"
_NPY_HEADER: Final = re.compile(
    rb"\{'descr': '([<>|][a-z][0-9])', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,10}, ?)*(?:[0-9]{1,10})?)\), \} *\n"
)
_LEAVES: Final = (str, bytes, int, float, type(None), np.ndarray, np.generic)


class ModalityConfigMap(dict[str, Any]):
    """The ``as_json`` fields of one ModalityConfig, with how it was marked on the wire.

    `marker` is one of `MODALITY_MARKERS`; `form` is ``"text"`` where ``as_json`` was a JSON
    text (N1.5) and ``"map"`` where it was a map. The two tell the server's generation.
    """

    def __init__(self, fields: dict[str, Any], marker: str, form: Form) -> None:
        super().__init__(fields)
        self.marker = marker
        self.form = form

    def on_wire(self) -> dict[str, Any]:
        """Return the plain map that `encode` turns into the bytes this was read from."""
        if self.form == "text":
            return {self.marker: True, "as_json": json.dumps(self, separators=(",", ":"))}
        return {self.marker: True, "as_json": dict(self)}


def encode(message: object, array_codec: ArrayCodec) -> bytes:
    """Return `message` as one msgpack value, byte-identical to upstream's `array_codec`.

    Maps, lists, tuples, str, bytes, int, float, bool, None and numeric ndarrays; numpy
    scalars only in ``msgpack_numpy``, as upstream. `ModalityConfigMap.on_wire` is for configs.
    Raises `WireError` for anything else.
    """
    if array_codec not in ("npy", "msgpack_numpy"):
        raise WireError(f"encode: array codec {array_codec!r}, expected npy or msgpack_numpy")
    hook = _npy_map if array_codec == "npy" else _msgpack_numpy_map
    try:
        return bytes(msgpack.packb(message, default=hook))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"encode: {error}") from error


def array_prefix(dtype: np.dtype[Any], shape: tuple[int, ...], array_codec: ArrayCodec) -> bytes:
    """Return the bytes that `encode` writes before the C-ordered data of such an array."""
    size = math.prod(shape) * dtype.itemsize
    packer = msgpack.Packer(autoreset=False)
    if array_codec == "npy":
        header = _npy_header(dtype, shape, fortran=False)
        packer.pack_map_header(2)
        for name in (NPY_KEY, True, "as_npy"):
            packer.pack(name)
        return bytes(packer.bytes()) + _bin_header(len(header) + size) + header
    packer.pack_map_header(5)
    for value in (b"nd", True, b"type", dtype.str, b"kind", b"", b"shape", shape, b"data"):
        packer.pack(value)
    return bytes(packer.bytes()) + _bin_header(size)


def decode(
    data: bytes | bytearray | memoryview,
    max_bytes: int = MAX_BYTES,
    reads: Collection[ArrayCodec] = ("npy", "msgpack_numpy"),
) -> Any:
    """Return the one message in `data`, arrays of both codecs and ModalityConfigs resolved.

    Arrays are **read-only** and in native byte order; they share the memory of the message's
    own byte strings where that is possible, never that of `data`. Tuples come back as lists.
    An array of a codec that is not in `reads` stays the map it is on the wire, as in servers
    that know one codec only.
    Raises `TooLargeError` above `max_bytes`, `WireError` for all else; nothing else is raised.
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


class _Reader:
    """The hooks of one decode, with the count of what it has built so far."""

    def __init__(self, reads: Collection[ArrayCodec]) -> None:
        self._items = 0
        self._npy = "npy" in reads
        self._msgpack_numpy = "msgpack_numpy" in reads

    def list(self, values: list[Any]) -> list[Any]:
        self._count(len(values))
        return values

    def map(self, pairs: Iterable[tuple[Any, Any]]) -> Any:
        fields = list(pairs)
        self._count(len(fields))
        value = dict(fields)
        if len(value) != len(fields):
            raise WireError("decode: a map has the same key twice, expected each key once")
        if NPY_KEY in value and self._npy:
            return _read_npy(value.get("as_npy"))
        if self._msgpack_numpy and (b"nd" in value or "nd" in value):
            return _read_msgpack_numpy(value)
        for marker in MODALITY_MARKERS:
            if marker in value:
                return _read_modality(value.get("as_json"), marker)
        return value

    def _count(self, items: int) -> None:
        self._items += items + 1
        if self._items > MAX_ITEMS:
            raise WireError(f"decode: more than {MAX_ITEMS} values in one message")


def _npy_header(dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool) -> bytes:
    """Return the version 1 header as the installed numpy writes it (numpy.lib.format)."""
    stream = io.BytesIO()
    fields = {"descr": dtype.str, "fortran_order": fortran, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue()


def _bin_header(size: int) -> bytes:
    """Return the msgpack header of a bin of `size` bytes (msgpack spec, bin format family)."""
    if size < 1 << 8:
        return b"\xc4" + size.to_bytes(1, "big")
    if size < 1 << 16:
        return b"\xc5" + size.to_bytes(2, "big")
    return b"\xc6" + size.to_bytes(4, "big")


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.str not in _DTYPES:
        raise WireError(f"encode: array of dtype {dtype}, expected bool, integer or float16/32/64")


def _npy_map(value: object) -> dict[str, Any]:
    if not isinstance(value, np.ndarray):
        raise WireError(f"encode: {type(value).__name__} has no form in the npy codec")
    _check_dtype(value.dtype)
    fortran = value.flags.f_contiguous and not value.flags.c_contiguous
    data = value.tobytes("F" if fortran else "C")
    return {NPY_KEY: True, "as_npy": _npy_header(value.dtype, value.shape, fortran) + data}


def _msgpack_numpy_map(value: object) -> dict[bytes, Any]:
    if not isinstance(value, np.ndarray | np.generic):
        raise WireError(f"encode: {type(value).__name__} has no form in the msgpack_numpy codec")
    _check_dtype(value.dtype)
    if isinstance(value, np.generic):
        return {b"nd": False, b"type": value.dtype.str, b"data": value.tobytes()}
    return {
        b"nd": True,
        b"type": value.dtype.str,
        b"kind": b"",
        b"shape": value.shape,
        b"data": value.data if value.flags.c_contiguous and value.size else value.tobytes(),
    }


def _read_npy(data: object) -> NDArray[Any]:
    if not isinstance(data, bytes):
        raise WireError(f"decode: as_npy is {type(data).__name__}, expected bytes")
    if not data.startswith(_NPY_MAGIC):
        raise WireError(f"decode: as_npy starts {data[:8]!r}, expected a version 1 .npy file")
    start = len(_NPY_MAGIC) + 2
    end = start + int.from_bytes(data[start - 2 : start], "little")
    if end - start > MAX_NPY_HEADER:
        raise WireError(f"decode: npy header of {end - start} bytes, at most {MAX_NPY_HEADER}")
    header = _NPY_HEADER.fullmatch(data[start:end])
    if header is None:
        raise WireError(f"decode: npy header {data[start:end]!r} is not of a plain numeric array")
    shape = tuple(int(axis) for axis in header[3].replace(b" ", b"").split(b",") if axis)
    order: Literal["F", "C"] = "F" if header[2] == b"True" else "C"
    return _array(header[1].decode("ascii"), shape, data, end, order)


def _read_msgpack_numpy(value: dict[Any, Any]) -> NDArray[Any] | np.generic:
    def field(name: str) -> Any:
        return value.get(name.encode("ascii"), value.get(name))

    kind, data = field("kind"), field("data")
    if kind not in (None, b"", ""):
        raise WireError(f"decode: array kind {kind!r}, expected a plain numeric array")
    if not isinstance(data, bytes):
        raise WireError(f"decode: array data is {type(data).__name__}, expected bytes")
    if field("nd") is False:
        return cast("np.generic", _array(field("type"), (), data, 0, "C")[()])
    shape = field("shape")
    if field("nd") is not True or not isinstance(shape, list):
        raise WireError("decode: array map without nd true or false and a shape list")
    return _array(field("type"), tuple(shape), data, 0, "C")


def _array(
    type_text: object, shape: tuple[Any, ...], data: bytes, offset: int, order: Literal["C", "F"]
) -> NDArray[Any]:
    """Return a read-only array over `data` from `offset`, after checking every number."""
    dtype = _DTYPES.get(type_text) if isinstance(type_text, str) else None
    if dtype is None:
        raise WireError(f"decode: dtype {type_text!r}, expected bool, integer or float16/32/64")
    if len(shape) > MAX_AXES or any(type(n) is not int or not 0 <= n < 1 << 31 for n in shape):
        raise WireError(f"decode: shape {shape!r}, expected at most {MAX_AXES} axes below 2^31")
    if len(data) - offset != math.prod(shape) * dtype.itemsize:
        raise WireError(
            f"decode: {len(data) - offset} bytes of data, expected those of {type_text}{shape}"
        )
    try:
        array = np.ndarray(shape, dtype, data, offset, order=order)
    except (ValueError, TypeError) as error:
        raise WireError(f"decode: shape {shape} of {type_text}: {error}") from error
    return _native(array)


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` in native byte order and with bools that are 0 or 1, read-only."""
    if array.dtype.kind == "b":
        array = array.view(np.uint8) != 0
    elif not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    array.flags.writeable = False
    return array


def _read_modality(as_json: object, marker: str) -> ModalityConfigMap:
    form: Form = "map"
    if isinstance(as_json, str):
        form = "text"
        try:
            as_json = json.loads(as_json)
        except (ValueError, RecursionError) as error:
            raise WireError(f"decode: as_json of {marker} is no JSON: {error}") from error
    if not isinstance(as_json, dict):
        raise WireError(f"decode: as_json of {marker} is {type(as_json).__name__}, expected a map")
    return ModalityConfigMap(as_json, marker, form)


def _check_tree(value: object, depth: int) -> None:
    if isinstance(value, dict | list):
        if depth == 0:
            raise WireError(f"decode: nested deeper than {MAX_DEPTH} levels")
        for child in value.values() if isinstance(value, dict) else value:
            _check_tree(child, depth - 1)
    elif not isinstance(value, _LEAVES):
        raise WireError(f"decode: msgpack extension {type(value).__name__}, expected none")
