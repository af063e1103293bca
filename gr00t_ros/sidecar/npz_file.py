"""Reads and writes .npz files: sizes are bounded, nothing is unpickled, no file is overwritten.

The file may come from somebody else: the declared size of each array is checked against the size
of its part before memory is allocated for it.
"""

from __future__ import annotations

import io
import math
import os
import stat
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError

MAX_BYTES: Final = 512 * 1024 * 1024  # unpacked; eight cameras of 640x480 with two frames are 15 MB
MAX_ARRAYS: Final = 1024
MAX_HEADER: Final = 10_000

try:
    from lzma import LZMAError
except ImportError:  # a Python without liblzma, whose zipfile refuses such parts
    LZMAError = zlib.error  # type: ignore[misc, assignment]

_SUFFIX: Final = ".npy"
_KINDS: Final = "biufU"
_BROKEN: Final = (
    *(OSError, ValueError, EOFError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, LZMAError),
    *(RuntimeError, SyntaxError, tokenize.TokenError, MemoryError, OverflowError, TypeError),
)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return all arrays of a .npz file: numbers, booleans and texts.

    Raises SettingsError in one line for everything else, and for more than MAX_BYTES.
    """
    try:
        _refuse_special(path)
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            _refuse_large(parts)
            return {part.filename.removesuffix(_SUFFIX): _array(archive, part) for part in parts}
    except _BROKEN as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise SettingsError(f"{path}: no .npz of plain arrays: {text:.300}") from error


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a new file, whole or not at all; raise SettingsError where there is one already."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]  # the keys are no options
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.open("xb").close()  # it is ours from now on
        try:
            part.write_bytes(content.getbuffer())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; expected a new file") from error


def _refuse_special(path: Path) -> None:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise ValueError("a folder, pipe or device, expected a file")


def _refuse_large(parts: list[zipfile.ZipInfo]) -> None:
    if len(parts) > MAX_ARRAYS:
        raise ValueError(f"{len(parts)} arrays, expected at most {MAX_ARRAYS}")
    total = sum(part.file_size for part in parts)
    if total > MAX_BYTES:
        raise ValueError(f"{total} bytes unpacked, expected at most {MAX_BYTES}")
    names = [part.filename for part in parts]
    if len(set(names)) != len(names):
        raise ValueError("an array is there twice")


def _array(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> NDArray[Any]:
    if not part.filename.endswith(_SUFFIX):
        raise ValueError(f"{part.filename[:80]!r} is no array")
    with archive.open(part) as file:
        data = file.read(part.file_size + 1)
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{part.filename[:80]!r}: version {version} of .npy, expected 1 or 2")
    read = np.lib.format.read_array_header_1_0
    if version == (2, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream, max_header_size=MAX_HEADER)
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in _KINDS or dtype.hasobject or size != len(data) - stream.tell():
        raise ValueError(
            f"{part.filename[:80]!r}: {dtype} {shape} in {len(data) - stream.tell()} bytes, "
            "expected numbers or texts of that size"
        )
    stream.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(
        stream, allow_pickle=False, max_header_size=MAX_HEADER
    )
    return array
