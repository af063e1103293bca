"""What goes to the server: the camera and state streams, as the embodiment's file has them.

Knows topics as names only; no ROS type, no message content, no buffer. The state streams of a
file are read by core/state_sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gr00t_ros.core.framing import FIELDS, Framing, read_framing
from gr00t_ros.core.scale import Scale
from gr00t_ros.core.schema import Place

RATE_HZ = (0.1, 10_000.0)
"""Rates that a file may declare."""


@dataclass(frozen=True, slots=True)
class VideoStream:
    """One camera: modality key, topic, the size it is sent at and its history.

    `delta_indices` count steps of the embodiment's rate, at most 0 and increasing (oldest first).
    `rate_hz` is the rate at which frames are to be expected, the measure of late and of skew.
    """

    key: str
    topic: str
    height_px: int
    width_px: int
    fit: str  # "pad" | "stretch"
    delta_indices: tuple[int, ...] = (0,)
    transport: str = "raw"  # "raw" | "compressed"
    rate_hz: float = 15.0
    framing: Framing | None = None  # None: whole and upright

    @property
    def topics(self) -> tuple[str, ...]:
        """All that it is read from: one."""
        return (self.topic,)

    @property
    def period_ns(self) -> int:
        """Expected time between two frames."""
        return round(1e9 / self.rate_hz)


ENCODINGS = {
    "xyz_axis_angle": 6,  # x, y, z, rotation vector (rad, of length 0 to pi)
    "xyz_quaternion": 7,  # x, y, z, then x, y, z, w with w >= 0
    "xyz_rot6d_rows": 9,  # x, y, z, the first two rows of the matrix, row-major
}
"""How a pose becomes numbers: the encoding's name and how many."""

GRAVITY = "projected_gravity"
"""What is sent of an Imu: the unit vector of gravity in the sensor's frame."""


@dataclass(frozen=True, slots=True)
class StateStream:
    """One state key: from named joints, a pose, an Imu, or constant.

    joints: positions of `names` out of one JointState topic or several (`more_topics`), in the
    topic's unit, or as `scale` has it.
    pose, tf: `encode` says how position and orientation become numbers, `columns` which of these
    are sent (all where empty); `rotate` is the 3x3 matrix that multiplies the orientation from
    the right first; of an orientation's two axis-angles or quaternions the one nearest to `near`
    is sent, if there is one. pose: `frame` is the frame_id it must have, if any. tf: the pose of
    `link` in `frame`.
    imu: the unit vector of gravity in the sensor's frame; `frame` as a pose's.
    constant: `values`, from no topic at all.
    """

    key: str
    source: str  # "joints" | "pose" | "tf" | "imu" | "constant"
    topic: str = ""
    names: tuple[str, ...] = ()
    scale: Scale | None = None
    encode: str | None = None  # None | one of ENCODINGS | GRAVITY
    rotate: tuple[tuple[float, ...], ...] | None = None
    delta_indices: tuple[int, ...] = (0,)
    rate_hz: float = 15.0
    frame: str | None = None
    more_topics: tuple[str, ...] = ()
    columns: tuple[int, ...] = ()
    link: str = ""
    values: tuple[float, ...] = ()
    near: tuple[float, ...] = ()

    @property
    def topics(self) -> tuple[str, ...]:
        """All that it is read from, none where it is constant."""
        return (self.topic, *self.more_topics) if self.topic else ()

    @property
    def width(self) -> int:
        """D of the sent (T, D) array."""
        if self.encode is None:
            return len(self.names or self.values)
        return len(self.columns) or ENCODINGS.get(self.encode, 3)

    @property
    def period_ns(self) -> int:
        """Expected time between two messages."""
        return round(1e9 / self.rate_hz)


Stream = VideoStream | StateStream


def read_video(
    places: Mapping[str, Place], default_rate_hz: float, any_size: bool = False
) -> tuple[VideoStream, ...]:
    """The cameras of the file's `video` map, all sent at one size unless `any_size`."""
    streams = tuple(_video(key, place, default_rate_hz) for key, place in places.items())
    first = streams[0]
    for stream in () if any_size else streams:
        if (stream.height_px, stream.width_px) != (first.height_px, first.width_px):
            raise places[stream.key].problem(
                f"size [{stream.height_px}, {stream.width_px}], {first.key} has "
                f"[{first.height_px}, {first.width_px}], expected one size: servers stack the "
                "views (view_sizes: any at the top of the file for one that does not)"
            )
    return streams


def _video(key: str, place: Place, default_rate_hz: float) -> VideoStream:
    at = place.fields(("topic", "size", "fit", "delta_indices"), ("transport", "rate_hz", *FIELDS))
    height_px, width_px = _size(at["size"])
    return VideoStream(
        key=key,
        topic=at["topic"].topic(),
        height_px=height_px,
        width_px=width_px,
        fit=at["fit"].choice("pad", "stretch"),
        delta_indices=read_delta_indices(at["delta_indices"]),
        transport=at["transport"].choice("raw", "compressed") if "transport" in at else "raw",
        rate_hz=read_rate(at, default_rate_hz),
        framing=read_framing(at),
    )


def read_rate(at: Mapping[str, Place], default_hz: float) -> float:
    """The `rate_hz` of a stream, or the default."""
    return at["rate_hz"].number(*RATE_HZ) if "rate_hz" in at else default_hz


def _size(place: Place) -> tuple[int, int]:
    items = tuple(place.items())
    if len(items) != 2:
        raise place.error("[height, width] in pixels")
    return items[0].integer(1, 8192), items[1].integer(1, 8192)


def read_delta_indices(place: Place) -> tuple[int, ...]:
    """Steps of the embodiment's rate, at most 0 and increasing."""
    deltas = tuple(item.integer(-10_000, 0) for item in place.items())
    if any(later <= earlier for earlier, later in zip(deltas, deltas[1:], strict=False)):
        raise place.error("steps that increase up to 0 at most, such as [-15, 0]")
    return deltas
