"""What goes to the server: the camera and state streams of an embodiment file.

Topics are names here. observe/readings encodes the values, inputs/ reads the topics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from gr00t_ros.errors import RotationError, SettingsError
from gr00t_ros.robot.field import Field, Scale, read_scale
from gr00t_ros.robot.framing import Framing, read_framing
from gr00t_ros.robot.keys import CAMERA, CONSTANT, IMU, JOINTS, KINEMATICS, POSE, TF
from gr00t_ros.robot.rotation import Chain, read_chain, rotation
from gr00t_ros.robot.urdf.chain import urdf_chain
from gr00t_ros.robot.urdf.text import urdf_root

RATE_RANGE_HZ = (0.1, 10_000.0)
"""Lowest and highest rate that a file may declare."""

FIT_CHOICES = ("pad", "stretch")
TRANSPORTS = ("raw", "compressed")
MAX_PX = 8192


@dataclass(frozen=True, slots=True)
class VideoStream:
    """One camera: modality key, topic, the size it is sent at and its history.

    `delta_indices` count steps of the embodiment's rate, at most 0 and increasing (oldest first).
    `rate_hz` is the expected rate of frames; the limits of age and skew depend on it.
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
        """The one topic."""
        return (self.topic,)

    @property
    def period_ns(self) -> int:
        """Expected time between two frames."""
        return round(1e9 / self.rate_hz)


POSE_ENCODINGS = {
    "xyz_axis_angle": 6,  # x, y, z, rotation vector (rad, of length 0 to pi)
    "xyz_quaternion": 7,  # x, y, z, then x, y, z, w with w >= 0
    "xyz_rot6d_rows": 9,  # x, y, z, the first two rows of the matrix, row-major
}
"""How a pose becomes numbers: the encoding's name and how many."""

POSES = ("pose", "tf", "kinematics")
"""Sources of a state key that is a pose."""

PROJECTED_GRAVITY = "projected_gravity"
"""The encoding of an Imu: the unit vector of gravity in the sensor's frame."""


@dataclass(frozen=True, slots=True)
class StateStream:
    """One state key: from named joints, a pose, an Imu, or constant.

    joints: positions of `names` from one JointState topic or several (`more_topics`), in the
    topic's unit, or converted by `scale`.
    pose, tf, kinematics: `encode` says how position and orientation become numbers, `columns` which
    of these are sent (all if empty). `rotate` is the 3x3 matrix that multiplies the orientation
    from the right first. An orientation has two axis-angles or quaternions; with `near` the one
    nearest to it is sent.
    pose: `frame` is the frame_id it must have, if any. tf: the pose of `link` in `frame`.
    kinematics: the pose of `link` in `frame`, computed from the joint states of `names` (the joints
    between the two) and stamped as they are. `chain`: the links between them; None while unknown.
    `chain_from_urdf`: the chain is from a URDF file that the embodiment file names.
    `chain_problem`: why the robot's description gives no usable chain.
    imu: the unit vector of gravity in the sensor's frame; `frame` as a pose's.
    constant: `values`, without a topic.
    """

    key: str
    source: str  # "joints" | "pose" | "tf" | "kinematics" | "imu" | "constant"
    topic: str = ""
    names: tuple[str, ...] = ()
    scale: Scale | None = None
    encode: str | None = None  # None | one of POSE_ENCODINGS | PROJECTED_GRAVITY
    rotate: tuple[tuple[float, ...], ...] | None = None
    delta_indices: tuple[int, ...] = (0,)
    rate_hz: float = 15.0
    frame: str | None = None
    more_topics: tuple[str, ...] = ()
    columns: tuple[int, ...] = ()
    link: str = ""
    values: tuple[float, ...] = ()
    near: tuple[float, ...] = ()
    chain: Chain | None = None
    chain_from_urdf: bool = False
    chain_problem: str = ""

    @property
    def topics(self) -> tuple[str, ...]:
        """All its topics; none if it is constant."""
        return (self.topic, *self.more_topics) if self.topic else ()

    @property
    def width(self) -> int:
        """D of the sent (T, D) array."""
        if self.encode is None:
            return len(self.names or self.values)
        return len(self.columns) or POSE_ENCODINGS.get(self.encode, 3)

    @property
    def period_ns(self) -> int:
        """Expected time between two messages."""
        return round(1e9 / self.rate_hz)


Stream = VideoStream | StateStream


def read_video(
    fields: Mapping[str, Field], default_rate_hz: float, any_size: bool = False
) -> tuple[VideoStream, ...]:
    """The cameras of the file's `video` map, all sent at one size unless `any_size`."""
    streams = tuple(_video(key, field, default_rate_hz) for key, field in fields.items())
    first = streams[0]
    for stream in () if any_size else streams:
        if (stream.height_px, stream.width_px) != (first.height_px, first.width_px):
            raise fields[stream.key].problem(
                f"size [{stream.height_px}, {stream.width_px}], {first.key} has "
                f"[{first.height_px}, {first.width_px}], expected one size: servers stack the "
                "views (view_sizes: any at the top of the file for one that does not)"
            )
    return streams


def _video(key: str, field: Field, default_rate_hz: float) -> VideoStream:
    at = field.keys(CAMERA)
    height_px, width_px = _size(at["size"])
    return VideoStream(
        key=key,
        topic=at["topic"].topic(),
        height_px=height_px,
        width_px=width_px,
        fit=at["fit"].choice(*FIT_CHOICES),
        delta_indices=read_delta_indices(at["delta_indices"]),
        transport=at["transport"].choice(*TRANSPORTS) if "transport" in at else "raw",
        rate_hz=read_rate(at, default_rate_hz),
        framing=read_framing(at),
    )


def read_rate(at: Mapping[str, Field], default_hz: float) -> float:
    """The `rate_hz` of a stream, or the default."""
    return at["rate_hz"].number(*RATE_RANGE_HZ) if "rate_hz" in at else default_hz


def _size(field: Field) -> tuple[int, int]:
    items = tuple(field.items())
    if len(items) != 2:
        raise field.error("[height, width] in pixels")
    return items[0].integer(1, MAX_PX), items[1].integer(1, MAX_PX)


def read_delta_indices(field: Field) -> tuple[int, ...]:
    """Steps of the embodiment's rate, at most 0 and increasing."""
    deltas = tuple(item.integer(-10_000, 0) for item in field.items())
    if any(later <= earlier for earlier, later in zip(deltas, deltas[1:], strict=False)):
        raise field.error("steps that increase up to 0 at most, such as [-15, 0]")
    return deltas


ReadUrdf = Callable[[Field], str]
"""The text of the URDF file that a field names; raises EmbodimentError if it cannot be read."""


def read_state(
    fields: Mapping[str, Field], default_rate_hz: float, read_urdf: ReadUrdf
) -> tuple[StateStream, ...]:
    """The state streams of the file's `state` map, in its order.

    Raises EmbodimentError naming the key; also if all are constant, because nothing then measures
    where the robot is, and when.
    """
    streams = tuple(_state(key, field, default_rate_hz, read_urdf) for key, field in fields.items())
    if all(stream.source == "constant" for stream in streams):
        raise next(iter(fields.values())).problem(
            "no state key has a topic, expected one that says where the robot is"
        )
    return streams


def _state(key: str, field: Field, default_rate_hz: float, read_urdf: ReadUrdf) -> StateStream:
    source = field.entries().get("from")
    kinematics: _Reader = partial(_kinematics, read_urdf=read_urdf)
    readers = {**_READERS, "kinematics": kinematics}
    if source is None:
        raise field.problem(f"missing from, expected one of {', '.join(readers)}")
    return readers[source.choice(*readers)](key, field, default_rate_hz)


def _joints(key: str, field: Field, default_rate_hz: float) -> StateStream:
    at = field.keys(JOINTS)
    topic, *more = _joint_topics(at)
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


def _pose(key: str, field: Field, default_rate_hz: float) -> StateStream:
    at = field.keys(POSE)
    frame = at["frame"].text() if "frame" in at else None
    return _encoded(key, "pose", at, at["topic"].topic(), frame, default_rate_hz)


def _tf(key: str, field: Field, default_rate_hz: float) -> StateStream:
    at = field.keys(TF)
    frame, link = at["frame"].text(), at["link"].text()
    if frame == link:
        raise at["link"].error(f"another frame than {frame!r}")
    return _encoded(key, "tf", at, f"/tf {frame} -> {link}", frame, default_rate_hz, link)


def _kinematics(key: str, field: Field, default_rate_hz: float, read_urdf: ReadUrdf) -> StateStream:
    at = field.keys(KINEMATICS)
    base, link = at["base"].text(), at["link"].text()
    if base == link:
        raise at["link"].error(f"another link than {base!r}")
    topic, *more = _joint_topics(at)
    chain = None
    if "urdf" in at:
        chain = read_urdf_chain(at["urdf"], base, link, read_urdf)
    elif "chain" in at:
        chain = read_chain(at["chain"], None)
    return replace(
        _encoded(key, "kinematics", at, topic, base, default_rate_hz, link),
        names=at["names"].names() if chain is None else chain.joint_names,
        more_topics=tuple(more),
        chain=chain,
        chain_from_urdf="urdf" in at,
    )


def read_urdf_chain(field: Field, base: str, link: str, read_urdf: ReadUrdf) -> Chain:
    """The chain between two links of the URDF file that is named; EmbodimentError without one."""
    try:
        return urdf_chain(urdf_root(read_urdf(field), field.text()), base, link, field.text())
    except SettingsError as error:
        raise field.problem(str(error)) from error


def _encoded(
    key: str,
    source: str,
    at: Mapping[str, Field],
    topic: str,
    frame: str | None,
    default_rate_hz: float,
    link: str = "",
) -> StateStream:
    encode = at["encode"].choice(*POSE_ENCODINGS)
    return StateStream(
        key,
        source,
        topic,
        encode=encode,
        rotate=read_rotation(at["rotate"]) if "rotate" in at else None,
        delta_indices=_delta_indices(at),
        rate_hz=read_rate(at, default_rate_hz),
        frame=frame,
        columns=_columns(at["columns"], POSE_ENCODINGS[encode]) if "columns" in at else (),
        link=link,
        near=_near(at["near"], encode) if "near" in at else (),
    )


def _imu(key: str, field: Field, default_rate_hz: float) -> StateStream:
    at = field.keys(IMU)
    return StateStream(
        key,
        "imu",
        at["topic"].topic(),
        encode=at["encode"].choice(PROJECTED_GRAVITY),
        delta_indices=_delta_indices(at),
        rate_hz=read_rate(at, default_rate_hz),
        frame=at["frame"].text() if "frame" in at else None,
    )


def _constant(key: str, field: Field, default_rate_hz: float) -> StateStream:
    at = field.keys(CONSTANT)
    return StateStream(
        key,
        "constant",
        delta_indices=_delta_indices(at),
        rate_hz=default_rate_hz,
        values=tuple(item.number(-1e30, 1e30) for item in at["values"].items()),
    )


_Reader = Callable[[str, Field, float], StateStream]
_READERS: Mapping[str, _Reader] = {
    "joints": _joints,
    "pose": _pose,
    "tf": _tf,
    "imu": _imu,
    "constant": _constant,
}


def _delta_indices(at: Mapping[str, Field]) -> tuple[int, ...]:
    return read_delta_indices(at["delta_indices"]) if "delta_indices" in at else (0,)


def _joint_topics(at: Mapping[str, Field]) -> tuple[str, ...]:
    """The one `topic`, or all `topics`."""
    if "topic" in at:
        return (at["topic"].topic(),)
    topics = tuple(item.topic() for item in at["topics"].items())
    if len(set(topics)) < len(topics):
        raise at["topics"].error("each topic once")
    return topics


def _columns(field: Field, width: int) -> tuple[int, ...]:
    columns = tuple(item.integer(0, width - 1) for item in field.items())
    if len(set(columns)) < len(columns):
        raise field.error("each column once")
    return columns


def _near(field: Field, encode: str) -> tuple[float, ...]:
    """An encoded orientation in the middle of those that the robot uses."""
    if encode == "xyz_rot6d_rows":
        raise field.problem(f"got near for {encode}, which has one value for each orientation")
    numbers = tuple(item.number(-10.0, 10.0) for item in field.items())
    if len(numbers) != POSE_ENCODINGS[encode] - 3 or not any(numbers):
        raise field.error(f"{POSE_ENCODINGS[encode] - 3} numbers of an orientation, not all 0")
    return numbers


def read_rotation(field: Field) -> tuple[tuple[float, ...], ...]:
    """The rows of a 3x3 rotation matrix."""
    rows = tuple(tuple(item.number(-1.0, 1.0) for item in row.items()) for row in field.items())
    if [len(row) for row in rows] != [3, 3, 3]:
        raise field.error("a 3x3 rotation matrix")
    try:
        rotation(rows)
    except RotationError:
        raise field.error("a 3x3 rotation matrix (orthonormal, determinant 1)") from None
    return rows
