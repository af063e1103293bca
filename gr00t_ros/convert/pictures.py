"""The pictures of one camera of an episode, decoded lazily out of its bag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.bags.bag import open_bag
from gr00t_ros.convert.observations import LAG_NS, RecordedPicture
from gr00t_ros.errors import BagError, ObservationError
from gr00t_ros.inputs import images
from gr00t_ros.robot.streams import VideoStream


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    frame: images.Frame


class BagPictures:
    """One picture a row, as the observation sends it; cheapest in ascending order of rows."""

    def __init__(
        self,
        path: Path,
        stream: VideoStream,
        taken: Sequence[RecordedPicture],
        keep_size: bool = False,
    ) -> None:
        """`taken` has the picture of each row. keep_size: framed, but not resized."""
        self._path, self._taken = path, tuple(taken)
        self._stream = own_size(stream, taken[0].size_px) if keep_size else stream
        self._rows: Iterator[_Row] | None = None
        self._last: tuple[int, NDArray[np.uint8]] | None = None  # index of the next row

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3) of each picture."""
        return self._stream.height_px, self._stream.width_px, 3

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._taken)

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        """The (H, W, 3) uint8 RGB picture of a row; raises BagError if it cannot be decoded."""
        number = range(len(self))[row]
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        if self._rows is None or (self._last is not None and number < self._last[0]):
            self._rows = self._read(number)
        found = next(one for one in self._rows if one.number == number)
        picture = self._decoded(found)
        self._last = number, picture
        return picture

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """All pictures in the order of rows."""
        before: tuple[images.Frame, NDArray[np.uint8]] | None = None
        for row in self._read(0):
            if before is None or before[0] is not row.frame:
                before = row.frame, self._decoded(row)
            yield before[1]

    def _read(self, first: int) -> Iterator[_Row]:
        """The rows from number `first` on with their frames."""
        frames = [one.frame for one in self._taken]
        kept = [_Row(i, one) for i, one in enumerate(frames) if one is not None]
        return iter(kept[first:]) if len(kept) == len(frames) else self._read_bag(first)

    def _read_bag(self, first: int) -> Iterator[_Row]:
        """The same, in one pass over the bag. A message is not later in it than it was taken."""
        number, from_ns = first, self._taken[first].time_ns - LAG_NS
        with open_bag(self._path) as bag:
            for message in bag.messages([self._stream.topic], from_ns):
                frame = images.read(message.data, self._stream.transport)
                while frame.stamp_ns == self._taken[number].stamp_ns:
                    yield _Row(number, frame)
                    number += 1
                    if number == len(self._taken):
                        return
        raise BagError(
            f"{self._path}: {self._stream.topic}: the picture of row {number} is no longer there: "
            "was the bag changed while it was read?"
        )

    def _decoded(self, row: _Row) -> NDArray[np.uint8]:
        picture = np.empty(self.shape, np.uint8)
        try:
            images.decode_into(row.frame, self._stream, picture)
        except ObservationError as error:
            raise BagError(f"{self._path}: row {row.number}: {error}") from error
        return picture


def own_size(stream: VideoStream, size_px: tuple[int, int]) -> VideoStream:
    """The stream at its camera's own size: cropped and turned as the file says, not resized."""
    height, width = size_px
    if stream.framing is not None:
        height, width = stream.framing.size(height, width)
    return replace(stream, height_px=height, width_px=width, fit="stretch")
