"""What the header of a JPEG says, read before anything is decoded.

Pure. A header of a few bytes can claim gigapixels. Source: ITU T.81, table B.1 (markers) and B.2.2
(frame header).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from gr00t_ros.errors import WireError

MAX_PIXELS: Final = 4096 * 4096
"""Larger pictures are refused (4K video has 8.3 M)."""
MAX_SCANS: Final = 64
"""More are refused: each takes ten bytes, and a pass over all pixels. Progressive ones have 10."""
START: Final = b"\xff\xd8\xff"
BASELINE: Final = 0xC0

# C4, C8 and CC are tables and extensions.
_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset(range(0xD0, 0xD8)) | {0x01}  # markers without a length
_STUFFED: Final = 0x00  # no marker: decoders skip FF 00 and what follows, up to the next marker
_FILL: Final = 0xFF
_START_OF_SCAN: Final = 0xDA
_SCAN: Final = bytes([_FILL, _START_OF_SCAN])
TAIL_BYTES: Final = 4096
"""Bytes searched for the end marker of a picture: cameras add padding behind it."""


class JpegFrame(NamedTuple):
    """The frame header: its marker (BASELINE for a sequential JPEG), pixels, and components."""

    marker: int
    height: int
    width: int
    components: int


def read_frame(data: memoryview) -> JpegFrame:
    """Return the frame header of a JPEG of 8 bits a sample and 1 or 3 components.

    Raises `WireError` for any other, for a truncated one, and for more than MAX_PIXELS or
    MAX_SCANS.
    """
    if bytes(data[: len(START)]) != START:  # OpenCV decodes by these, as BMP or whatever it is
        raise WireError(f"{len(data)} bytes that are no JPEG")
    if b"\xff\xd9" not in bytes(data[-TAIL_BYTES:]):
        raise WireError(f"JPEG of {len(data)} bytes has no end marker: truncated")
    scans = bytes(data).count(_SCAN)  # never within a scan, where FF is stuffed
    if scans > MAX_SCANS:
        raise WireError(f"JPEG of {scans} scans, expected at most {MAX_SCANS}")
    frame = bytes(data[_frame_at(data) :][:10])
    if len(frame) < 10 or frame[4] != 8 or frame[9] not in (1, 3):
        raise WireError(
            f"JPEG frame header {frame.hex()}: expected 8 bits a sample and 1 or 3 components"
        )
    height, width = int.from_bytes(frame[5:7], "big"), int.from_bytes(frame[7:9], "big")
    if not 0 < height * width <= MAX_PIXELS:
        raise WireError(f"{height}x{width} pixels, expected 1 to {MAX_PIXELS}")
    return JpegFrame(frame[1], height, width, frame[9])


def check_one_scan(data: memoryview) -> None:
    """Raise `WireError` unless the first scan of a JPEG, which `read_frame` took, has 3 components.

    Otherwise decoders expect further scans.
    """
    at = next(at for at, marker in _segments(data) if marker == _START_OF_SCAN)
    if bytes(data[at + 4 : at + 5]) != b"\3":
        raise WireError(f"JPEG of {len(data)} bytes: no scan of 3 components")


def _frame_at(data: memoryview) -> int:
    """Offset of the start-of-frame segment: FF Cx, length, bits, height, width, components."""
    return next(at for at, marker in _segments(data) if marker in _START_OF_FRAME)


def _segments(data: memoryview) -> Iterator[tuple[int, int]]:
    """Offset and marker of each segment, as decoders find them; `WireError` at anything else."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _STUFFED:
        marker = data[at + 1]
        if marker == _FILL or marker in _ALONE:
            at += 1 if marker == _FILL else 2
        else:
            yield at, marker
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise WireError(
        f"JPEG of {len(data)} bytes ends at byte {at}, expected a frame header and a scan"
    )
