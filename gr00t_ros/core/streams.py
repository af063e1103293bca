"""What goes to the server: the camera and state streams, as the embodiment's file has them.

Knows topics as names only; no ROS type, no message content, no buffer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

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

    @property
    def period_ns(self) -> int:
        """Expected time between two frames."""
        return round(1e9 / self.rate_hz)


@dataclass(frozen=True, slots=True)
class StateStream:
    """One state key: from named joints of a JointState, or from a pose.

    joints: sent = (q - lo) / (hi - lo) where `scale` is (lo, hi), else q in the topic's unit.
    pose: `encode` says how position and orientation become numbers; `rotate` is the 3x3 matrix
    that multiplies the orientation from the right first; `frame` is the frame_id it must have.
    """

    key: str
    source: str  # "joints" | "pose"
    topic: str
    names: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None
    encode: str | None = None  # None | "xyz_rot6d_rows"
    rotate: tuple[tuple[float, ...], ...] | None = None
    delta_indices: tuple[int, ...] = (0,)
    rate_hz: float = 15.0
    frame: str | None = None

    @property
    def width(self) -> int:
        """D of the sent (T, D) array."""
        return len(self.names) if self.source == "joints" else 9

    @property
    def period_ns(self) -> int:
        """Expected time between two messages."""
        return round(1e9 / self.rate_hz)


Stream = VideoStream | StateStream


def read_video(places: Mapping[str, Place], default_rate_hz: float) -> tuple[VideoStream, ...]:
    """The cameras of the file's `video` map."""
    return tuple(_video(key, place, default_rate_hz) for key, place in places.items())


def read_state(places: Mapping[str, Place], default_rate_hz: float) -> tuple[StateStream, ...]:
    """The state streams of the file's `state` map."""
    return tuple(_state(key, place, default_rate_hz) for key, place in places.items())


def _video(key: str, place: Place, default_rate_hz: float) -> VideoStream:
    at = place.fields(("topic", "size", "fit", "delta_indices"), ("transport", "rate_hz"))
    height_px, width_px = _size(at["size"])
    return VideoStream(
        key=key,
        topic=at["topic"].topic(),
        height_px=height_px,
        width_px=width_px,
        fit=at["fit"].choice("pad", "stretch"),
        delta_indices=_delta_indices(at["delta_indices"]),
        transport=at["transport"].choice("raw", "compressed") if "transport" in at else "raw",
        rate_hz=_rate(at, default_rate_hz),
    )


def _state(key: str, place: Place, default_rate_hz: float) -> StateStream:
    source = place.entries().get("from")
    if source is None:
        raise place.problem("missing from, expected joints or pose")
    if source.choice("joints", "pose") == "joints":
        at = place.fields(("from", "topic", "names"), ("scale", "delta_indices", "rate_hz"))
    else:
        at = place.fields(
            ("from", "topic", "encode"), ("rotate", "frame", "delta_indices", "rate_hz")
        )
    return StateStream(
        key=key,
        source=source.text(),
        topic=at["topic"].topic(),
        names=at["names"].names() if "names" in at else (),
        scale=at["scale"].interval() if "scale" in at else None,
        encode=at["encode"].choice("xyz_rot6d_rows") if "encode" in at else None,
        rotate=read_rotation(at["rotate"]) if "rotate" in at else None,
        delta_indices=_delta_indices(at["delta_indices"]) if "delta_indices" in at else (0,),
        rate_hz=_rate(at, default_rate_hz),
        frame=at["frame"].text() if "frame" in at else None,
    )


def _rate(at: Mapping[str, Place], default_hz: float) -> float:
    return at["rate_hz"].number(*RATE_HZ) if "rate_hz" in at else default_hz


def _size(place: Place) -> tuple[int, int]:
    items = tuple(place.items())
    if len(items) != 2:
        raise place.error("[height, width] in pixels")
    return items[0].integer(1, 8192), items[1].integer(1, 8192)


def _delta_indices(place: Place) -> tuple[int, ...]:
    deltas = tuple(item.integer(-10_000, 0) for item in place.items())
    if any(later <= earlier for earlier, later in zip(deltas, deltas[1:], strict=False)):
        raise place.error("steps that increase up to 0 at most, such as [-15, 0]")
    return deltas


def read_rotation(place: Place) -> tuple[tuple[float, ...], ...]:
    """The rows of a 3x3 rotation matrix."""
    rows = tuple(tuple(item.number(-1.0, 1.0) for item in row.items()) for row in place.items())
    if [len(row) for row in rows] != [3, 3, 3]:
        raise place.error("a 3x3 rotation matrix")
    matrix = np.array(rows)
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > 1e-6 or np.linalg.det(matrix) < 0.0:
        raise place.error("a 3x3 rotation matrix (orthonormal, determinant 1)")
    return rows
