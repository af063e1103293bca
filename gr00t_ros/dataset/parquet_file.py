"""Columns of a parquet file as numpy arrays and texts, within bounds.

pyarrow is imported when a file is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import SettingsError

MAX_COLUMNS: Final = 4096
"""Numbers in a row of one column; a humanoid's state has a hundred."""

MAX_ROWS: Final = 10_000_000
"""In one file: a day at 100 Hz."""

_MAX_BYTES: Final = 2**31  # of one file when it is unpacked; LeRobot begins a new one at 100 MB

Array = NDArray[Any]
Only = list[tuple[str, str, int]]


def read_schema(path: Path, purpose: str = "a dataset") -> dict[str, str]:
    """Return the name of each column and its Arrow type as text."""
    with _File(path, purpose, "its columns") as file:
        return {field.name: str(field.type) for field in file.open().schema_arrow}


def read_arrays(
    path: Path, columns: Sequence[str], purpose: str, only: Only | None = None
) -> dict[str, Array]:
    """Return columns of numbers as arrays, (N,) or (N, D) in their own dtype; a null is NaN.

    only: filters the rows. Raises SettingsError that names the file, the column and the cause.
    """
    table = _table(path, columns, purpose, only)
    return {name: _array(table.column(name), f"{path}: column {name!r}") for name in columns}


def read_lists(
    path: Path, columns: Sequence[str], purpose: str, only: Only | None = None
) -> dict[str, list[Any]]:
    """Return columns as lists of Python values. Raises SettingsError as `read_arrays`."""
    table = _table(path, columns, purpose, only)
    return {name: table.column(name).to_pylist() for name in columns}


def as_rows(values: Array) -> Array:
    """Return (N, ...) values as (N, D), also of no rows."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


class _File:
    """A parquet file that is being read: whatever goes wrong becomes a SettingsError."""

    def __init__(self, path: Path, purpose: str, what: str) -> None:
        self._path, self._what = path, what
        try:
            from pyarrow import ArrowException, parquet
        except ImportError as error:
            raise SettingsError(
                f"{purpose} of {path} needs pyarrow: pip install pyarrow"
            ) from error
        self.parquet, self._broken = parquet, ArrowException

    def __enter__(self) -> _File:
        return self

    def open(self) -> Any:
        """Open the file, unless it is too large."""
        if not self._path.is_file():
            raise FileNotFoundError("no such file")
        file = self.parquet.ParquetFile(self._path)
        about = file.metadata
        size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        if about.num_rows > MAX_ROWS or size > _MAX_BYTES:
            raise ValueError(
                f"{about.num_rows} rows and {size} bytes when unpacked, expected at most "
                f"{MAX_ROWS} and {_MAX_BYTES}"
            )
        return file

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(
            error, OSError | KeyError | ValueError | TypeError | MemoryError | self._broken
        ):
            cause = " ".join(str(error).split()) or type(error).__name__
            raise SettingsError(
                f"{self._path}: {self._what} cannot be read: {cause:.300}"
            ) from error


def _table(path: Path, columns: Sequence[str], purpose: str, only: Only | None) -> Any:
    with _File(path, purpose, f"column {', '.join(columns)}") as file:
        has = set(file.open().schema_arrow.names)
        missing = [name for name in columns if name not in has]
        if missing:
            raise KeyError(f"no {', '.join(missing)}; it has {', '.join(sorted(has)):.200}")
        return file.parquet.read_table(path, columns=list(columns), filters=only, partitioning=None)


def _array(column: Any, where: str) -> Array:
    """Return one column as an array; raises SettingsError if its rows are no numbers."""
    import pyarrow

    array = column.combine_chunks()
    if isinstance(array, pyarrow.ChunkedArray):  # of no chunk, in some versions
        array = pyarrow.concat_arrays(array.chunks) if array.num_chunks else array.chunk(0)
    shape: tuple[int, ...] = (len(array),)
    while pyarrow.types.is_list(array.type) or pyarrow.types.is_fixed_size_list(array.type):
        widths = set(array.value_lengths().to_pylist()) if len(array) else {0}
        if len(widths) > 1:
            found = ", ".join(map(str, sorted(widths, key=str)[:5]))
            raise SettingsError(f"{where}: rows of {found} numbers, expected one length")
        width = widths.pop()
        if width is None or width > MAX_COLUMNS:
            raise SettingsError(
                f"{where}: a row of {width} numbers, expected at most {MAX_COLUMNS}"
            )
        shape, array = (*shape, int(width)), array.flatten()
    kind = array.type
    if not (pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind)) and not (
        pyarrow.types.is_boolean(kind)
    ):
        raise SettingsError(f"{where}: {kind}, expected numbers")
    values = array.to_numpy(zero_copy_only=False)
    if values.dtype == object:  # booleans with a null among them
        values = values.astype(np.float64)
    return np.asarray(values.reshape(shape))
