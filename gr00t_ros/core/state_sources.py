"""The state streams of the embodiment's file: what each may be from, and its fields.

Refuses to know what the values are (core/state encodes them) and how topics are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gr00t_ros.core.errors import RotationError
from gr00t_ros.core.rotation import rotation
from gr00t_ros.core.scale import read_scale
from gr00t_ros.core.schema import Place
from gr00t_ros.core.streams import (
    ENCODINGS,
    GRAVITY,
    StateStream,
    read_delta_indices,
    read_rate,
)

_COMMON = ("delta_indices", "rate_hz")


def read_state(places: Mapping[str, Place], default_rate_hz: float) -> tuple[StateStream, ...]:
    """The state streams of the file's `state` map, in its order.

    Raises EmbodimentError naming the key; also where all are constant: nothing then says where
    the robot is, nor when.
    """
    streams = tuple(_state(key, place, default_rate_hz) for key, place in places.items())
    if all(stream.source == "constant" for stream in streams):
        raise next(iter(places.values())).problem(
            "no state key has a topic, expected one that says where the robot is"
        )
    return streams


def _state(key: str, place: Place, default_rate_hz: float) -> StateStream:
    source = place.entries().get("from")
    if source is None:
        raise place.problem(f"missing from, expected one of {', '.join(_READERS)}")
    return _READERS[source.choice(*_READERS)](key, place, default_rate_hz)


def _joints(key: str, place: Place, default_rate_hz: float) -> StateStream:
    one = "topics" not in place.entries()
    at = place.fields(("from", "topic" if one else "topics", "names"), ("scale", "range", *_COMMON))
    topic, *more = (at["topic"].topic(),) if one else _topics(at["topics"])
    names = at["names"].names()
    return StateStream(
        key,
        "joints",
        topic,
        names,
        read_scale(at, len(names)),
        delta_indices=_delta_indices(at),
        rate_hz=read_rate(at, default_rate_hz),
        more_topics=tuple(more),
    )


def _pose(key: str, place: Place, default_rate_hz: float) -> StateStream:
    at = place.fields(("from", "topic", "encode"), ("rotate", "near", "columns", "frame", *_COMMON))
    frame = at["frame"].text() if "frame" in at else None
    return _encoded(key, "pose", at, at["topic"].topic(), frame, default_rate_hz)


def _tf(key: str, place: Place, default_rate_hz: float) -> StateStream:
    at = place.fields(("from", "frame", "link", "encode"), ("rotate", "near", "columns", *_COMMON))
    frame, link = at["frame"].text(), at["link"].text()
    if frame == link:
        raise at["link"].error(f"another frame than {frame!r}")
    return _encoded(key, "tf", at, f"/tf {frame} -> {link}", frame, default_rate_hz, link)


def _encoded(
    key: str,
    source: str,
    at: Mapping[str, Place],
    topic: str,
    frame: str | None,
    default_rate_hz: float,
    link: str = "",
) -> StateStream:
    encode = at["encode"].choice(*ENCODINGS)
    return StateStream(
        key,
        source,
        topic,
        encode=encode,
        rotate=read_rotation(at["rotate"]) if "rotate" in at else None,
        delta_indices=_delta_indices(at),
        rate_hz=read_rate(at, default_rate_hz),
        frame=frame,
        columns=_columns(at["columns"], ENCODINGS[encode]) if "columns" in at else (),
        link=link,
        near=_near(at["near"], encode) if "near" in at else (),
    )


def _imu(key: str, place: Place, default_rate_hz: float) -> StateStream:
    at = place.fields(("from", "topic", "encode"), ("frame", *_COMMON))
    return StateStream(
        key,
        "imu",
        at["topic"].topic(),
        encode=at["encode"].choice(GRAVITY),
        delta_indices=_delta_indices(at),
        rate_hz=read_rate(at, default_rate_hz),
        frame=at["frame"].text() if "frame" in at else None,
    )


def _constant(key: str, place: Place, default_rate_hz: float) -> StateStream:
    at = place.fields(("from", "values"), ("delta_indices",))
    return StateStream(
        key,
        "constant",
        delta_indices=_delta_indices(at),
        rate_hz=default_rate_hz,
        values=tuple(item.number(-1e30, 1e30) for item in at["values"].items()),
    )


_READERS: Mapping[str, Callable[[str, Place, float], StateStream]] = {
    "joints": _joints,
    "pose": _pose,
    "tf": _tf,
    "imu": _imu,
    "constant": _constant,
}


def _delta_indices(at: Mapping[str, Place]) -> tuple[int, ...]:
    return read_delta_indices(at["delta_indices"]) if "delta_indices" in at else (0,)


def _topics(place: Place) -> tuple[str, ...]:
    topics = tuple(item.topic() for item in place.items())
    if len(set(topics)) < len(topics):
        raise place.error("each topic once")
    return topics


def _columns(place: Place, width: int) -> tuple[int, ...]:
    columns = tuple(item.integer(0, width - 1) for item in place.items())
    if len(set(columns)) < len(columns):
        raise place.error("each column once")
    return columns


def _near(place: Place, encode: str) -> tuple[float, ...]:
    """An orientation as it is encoded, in the middle of those that the robot takes."""
    if encode == "xyz_rot6d_rows":
        raise place.problem(f"got near for {encode}, which has one value for each orientation")
    numbers = tuple(item.number(-10.0, 10.0) for item in place.items())
    if len(numbers) != ENCODINGS[encode] - 3 or not any(numbers):
        raise place.error(f"{ENCODINGS[encode] - 3} numbers of an orientation, not all 0")
    return numbers


def read_rotation(place: Place) -> tuple[tuple[float, ...], ...]:
    """The rows of a 3x3 rotation matrix."""
    rows = tuple(tuple(item.number(-1.0, 1.0) for item in row.items()) for row in place.items())
    if [len(row) for row in rows] != [3, 3, 3]:
        raise place.error("a 3x3 rotation matrix")
    try:
        rotation(rows)
    except RotationError:
        raise place.error("a 3x3 rotation matrix (orthonormal, determinant 1)") from None
    return rows
