"""Numeric arrays to the maps of the two array codecs, and back (wire.md 4).

Pure. Whole messages are codec.py's part, endpoints and generations messages.py's. Received data
is never trusted: no pickle, no evaluated header, a fixed table of dtypes, and every size is
checked before memory is read. Anything invalid raises `WireError`.
"""

from __future__ import annotations

import io
import math
import re
import reprlib
from functools import lru_cache
from typing import Any, Final, Literal, cast

import msgpack
import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import WireError

ArrayCodec = Literal["npy", "msgpack_numpy"]
_Layout = tuple[np.dtype[Any], tuple[int, ...], int]  # dtype, shape, size of the data in bytes

NPY_KEY: Final = "__ndarray_class__"
MAX_NPY_HEADER: Final = 1024
MAX_AXES: Final = 16

_DTYPES: Final = {
    order + code: np.dtype(order + code)
    for orders, codes in (("|", ("b1", "i1", "u1")), ("<>", ("i2", "i4", "i8", "u2", "u4", "u8")))
    for order in orders
    for code in codes
} | {order + code: np.dtype(order + code) for order in "<>" for code in ("f2", "f4", "f8")}

_NPY_MAGIC: Final = b"\x93NUMPY\x01\x00"
_NPY_START: Final = len(_NPY_MAGIC) + 2
_NPY_HEADER: Final = re.compile(
    rb"\{'descr': '([<>|][a-z][0-9])', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,10}, ?)*(?:[0-9]{1,10})?)\), \} *\n"
)


def array_prefix(dtype: np.dtype[Any], shape: tuple[int, ...], array_codec: ArrayCodec) -> bytes:
    """Return the bytes that `codec.encode` writes before the C-ordered data of an array."""
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


def npy_map(value: object) -> dict[str, Any]:
    """Return an ndarray as the npy codec's map; raise `WireError` for anything else."""
    if not isinstance(value, np.ndarray):
        raise WireError(f"encode: {type(value).__name__} cannot be written in the npy codec")
    _check_dtype(value.dtype)
    fortran = value.flags.f_contiguous and not value.flags.c_contiguous
    data = value.tobytes("F" if fortran else "C")
    return {NPY_KEY: True, "as_npy": _npy_header(value.dtype, value.shape, fortran) + data}


def msgpack_numpy_map(value: object) -> dict[bytes, Any]:
    """Return an ndarray or numpy scalar as its map; raise `WireError` for anything else."""
    if not isinstance(value, np.ndarray | np.generic):
        name = type(value).__name__
        raise WireError(f"encode: {name} cannot be written in the msgpack_numpy codec")
    _check_dtype(value.dtype)
    if isinstance(value, np.generic):
        return {b"nd": False, b"type": value.dtype.str, b"data": value.tobytes()}
    return {
        b"nd": True,
        b"type": value.dtype.str,
        b"kind": b"",
        b"shape": value.shape,
        # One dimension of bytes: msgpack's pure Python packer may take rows for bytes.
        b"data": value.reshape(-1).view(np.uint8).data
        if value.flags.c_contiguous and value.size
        else value.tobytes(),
    }


def read_npy(data: object) -> NDArray[Any]:
    """Return the array in the bytes of a version 1 .npy file, read-only."""
    if not isinstance(data, bytes):
        raise WireError(f"decode: as_npy is {type(data).__name__}, expected bytes")
    end = _NPY_START + int.from_bytes(data[_NPY_START - 2 : _NPY_START], "little")
    if end - _NPY_START > MAX_NPY_HEADER:
        raise WireError(f"decode: npy header of {end} bytes, expected {MAX_NPY_HEADER} at most")
    layout, order = _npy_layout(data[:end])
    return _array(layout, data, end, order)


def read_msgpack_numpy(value: dict[Any, Any]) -> NDArray[Any] | np.generic:
    """Return the read-only array or the scalar in a map with ``nd``; keys are str or bytes."""

    def field(name: str) -> Any:
        return value.get(name.encode("ascii"), value.get(name))

    kind, data = field("kind"), field("data")
    if kind not in (None, b"", ""):
        raise WireError(f"decode: array kind {reprlib.repr(kind)}, expected a plain numeric array")
    if not isinstance(data, bytes):
        raise WireError(f"decode: array data is {type(data).__name__}, expected bytes")
    if field("nd") is False:
        return cast("np.generic", _array(_checked_layout(field("type"), ()), data, 0, "C")[()])
    shape = field("shape")
    if field("nd") is not True or not isinstance(shape, list):
        raise WireError("decode: array map without nd true or false and a shape list")
    return _array(_checked_layout(field("type"), tuple(shape)), data, 0, "C")


@lru_cache(maxsize=64)
def _npy_layout(head: bytes) -> tuple[_Layout, Literal["C", "F"]]:
    """Return the layout and order in a .npy header; cached, as a server repeats its headers."""
    header = _NPY_HEADER.fullmatch(head, _NPY_START) if head.startswith(_NPY_MAGIC) else None
    if header is None:
        raise WireError(f"decode: no version 1 .npy file of plain numbers: {head[:200]!r}")
    shape = tuple(int(axis) for axis in header[3].replace(b" ", b"").split(b",") if axis)
    layout = _checked_layout(header[1].decode("ascii"), shape)
    return layout, "F" if header[2] == b"True" else "C"


def _checked_layout(type_text: object, shape: tuple[Any, ...]) -> _Layout:
    dtype = _DTYPES.get(type_text) if isinstance(type_text, str) else None
    if dtype is None:
        raise WireError(
            f"decode: dtype {reprlib.repr(type_text)}, expected bool, integer or float16/32/64"
        )
    if len(shape) > MAX_AXES or any(type(n) is not int or not 0 <= n < 1 << 31 for n in shape):
        raise WireError(
            f"decode: shape {reprlib.repr(shape)}, expected at most {MAX_AXES} axes below 2^31"
        )
    return dtype, shape, math.prod(shape) * dtype.itemsize


def _array(layout: _Layout, data: bytes, offset: int, order: Literal["C", "F"]) -> NDArray[Any]:
    """Return a read-only array over `data` from `offset`; its size must match the layout."""
    dtype, shape, size = layout
    if len(data) - offset != size:
        raise WireError(f"decode: {len(data) - offset} bytes of {dtype}{shape}, expected {size}")
    try:
        array = np.ndarray(shape, dtype, data, offset, order=order)
    except (ValueError, TypeError) as error:
        raise WireError(f"decode: shape {shape} of {dtype}: {error}") from error
    return _native(array)


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` in native byte order and with bools that are 0 or 1, read-only."""
    dtype = array.dtype
    if dtype.kind == "b":
        array = np.asarray(array.view(np.uint8) != 0)  # asarray: 0-d would become a scalar
    elif not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
    else:
        return array  # a view of bytes, which is read-only already
    array.flags.writeable = False
    return array
