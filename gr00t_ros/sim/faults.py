"""What a broken sensor or network makes of one stream of serialized ROS messages.

Refuses to know: nodes, topics, clocks. Without a fault bytes pass untouched and undecoded.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.time import Time
from sensor_msgs.msg import Image, JointState

from gr00t_ros.core.errors import SettingsError

TRANSPORT_FAULTS = ("none", "freeze", "repeat", "stop", "delay", "slow", "cut")
"""Faults of any stream; the others change the content of some message types."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by its name in srv/InjectFault, and its value (s, m, joint index, or unused)."""

    name: str
    value: float = 0.0


class FaultyStream:
    """One stream on its way through a fault: bytes in, the bytes to publish now out."""

    def __init__(self, message_type: type) -> None:
        """A stream of this message type without a fault."""
        self._type = message_type
        self._fault = Fault("none")
        self._newest: bytes | None = None
        self._frozen: bytes | None = None
        self._passed_ns = 0
        self._cut_ns: int | None = None
        self._delayed: deque[tuple[int, bytes]] = deque()

    @property
    def delaying(self) -> bool:
        """Whether messages are, or may still be, held back."""
        return self._fault.name == "delay"

    def applies(self, fault: Fault) -> bool:
        """Tell whether a fault of this name exists for this message type."""
        return fault.name in TRANSPORT_FAULTS or self._type in CONTENT_FAULTS.get(fault.name, {})

    def inject(self, fault: Fault) -> None:
        """Replace the present fault; what a delay still held back is lost.

        Raises SettingsError when the fault or its value is none for this stream.
        """
        if not self.applies(fault):
            known = sorted({*TRANSPORT_FAULTS, *CONTENT_FAULTS})
            raise SettingsError(
                f"fault: got {fault.name!r} for {self._type.__name__}, expected one of {known} "
                "that exists for this type"
            )
        if fault.name in ("delay", "slow", "cut") and not 0.0 < fault.value <= 60.0:
            raise SettingsError(f"{fault.name}: got {fault.value} s, expected above 0, at most 60")
        if fault.name not in TRANSPORT_FAULTS and self._newest is not None:
            self._altered(self._newest, fault)
        self._frozen = self._newest
        self._delayed.clear()
        self._fault, self._cut_ns = fault, None

    def take(self, data: bytes, now_ns: int) -> list[bytes]:
        """Return what is to be published when ``data`` arrives at ``now_ns`` (steady)."""
        self._newest = data
        if self._fault.name == "none":
            return [data]
        if self._fault.name == "stop":
            return []
        if self._fault.name == "freeze":
            self._frozen = self._frozen or data
            return [self._frozen]
        if self._fault.name == "repeat":
            self._frozen = self._frozen or data
            return [self._repeated(data)]
        if self._fault.name == "delay":
            self._delayed.append((now_ns + round(self._fault.value * 1e9), data))
            return self.due(now_ns)
        if self._fault.name == "slow":
            return self._thinned(data, now_ns)
        if self._fault.name == "cut":
            return self._healed(data, now_ns)
        return [self._altered(data, self._fault)]

    def due(self, now_ns: int) -> list[bytes]:
        """Return, oldest first, what was held back until ``now_ns`` or before."""
        ready = []
        while self._delayed and self._delayed[0][0] <= now_ns:
            ready.append(self._delayed.popleft()[1])
        return ready

    def start(self, now_ns: int) -> None:
        """Begin a cut now: those of several streams begin and heal as one."""
        self._cut_ns = now_ns

    def _healed(self, data: bytes, now_ns: int) -> list[bytes]:
        """Lose everything for the fault's value, s, then let everything pass."""
        if self._cut_ns is None:
            self._cut_ns = now_ns
        return [] if now_ns - self._cut_ns < self._fault.value * 1e9 else [data]

    def _thinned(self, data: bytes, now_ns: int) -> list[bytes]:
        """Let at most one message pass in the fault's value, s."""
        if now_ns - self._passed_ns < self._fault.value * 1e9:
            return []
        self._passed_ns = now_ns
        return [data]

    def _repeated(self, data: bytes) -> bytes:
        """The last message under the header of this one: a picture that hangs, stamped anew."""
        old = deserialize_message(self._frozen, self._type)
        old.header = deserialize_message(data, self._type).header
        return bytes(serialize_message(old))

    def _altered(self, data: bytes, fault: Fault) -> bytes:
        message = deserialize_message(data, self._type)
        CONTENT_FAULTS[fault.name][self._type](message, fault.value)
        return bytes(serialize_message(message))


def _black(image: Image, _value: float) -> None:
    image.data = bytes(len(image.data))


def _wrong_size(image: Image, _value: float) -> None:
    """Keep the upper half: a consistent image of a size that nobody configured."""
    image.height //= 2
    image.data = image.data[: image.height * image.step]


def _wrong_encoding(image: Image, _value: float) -> None:
    image.encoding = "32FC1"


def _reorder(joints: JointState, _value: float) -> None:
    """Turn the order round, names and values alike: the same state, said otherwise."""
    for field in ("name", "position", "velocity", "effort"):
        setattr(joints, field, getattr(joints, field)[::-1])


def _drop_joint(joints: JointState, value: float) -> None:
    index, count = int(value), len(joints.name)
    if not 0 <= index < count:
        raise SettingsError(f"drop_joint: got index {index}, expected 0 to {count - 1}")
    for field in ("name", "position", "velocity", "effort"):
        values = list(getattr(joints, field))
        setattr(joints, field, values[:index] + values[index + 1 :])


def _duplicate(joints: JointState, _value: float) -> None:
    """Give the second joint the first one's name: both positions claim to be of that joint."""
    if len(joints.name) < 2:
        raise SettingsError(f"duplicate: got {len(joints.name)} joints, expected 2 or more")
    joints.name[1] = joints.name[0]


def _zero_stamp(message: Any, _value: float) -> None:
    message.header.stamp = Time().to_msg()


def _shift_stamp(message: Any, value: float) -> None:
    shifted_ns = Time.from_msg(message.header.stamp).nanoseconds + round(value * 1e9)
    message.header.stamp = Time(nanoseconds=max(0, shifted_ns)).to_msg()


def _nan_position(joints: JointState, _value: float) -> None:
    if not joints.position:
        raise SettingsError("nan: got a joint state without positions, expected one or more")
    joints.position[0] = math.nan


def _nan_pose(pose: PoseStamped, _value: float) -> None:
    pose.pose.position.x = math.nan


def _move(pose: PoseStamped, value: float) -> None:
    pose.pose.position.x += value


CONTENT_FAULTS: Mapping[str, Mapping[type, Callable[[Any, float], None]]] = {
    "black": {Image: _black},
    "wrong_size": {Image: _wrong_size},
    "wrong_encoding": {Image: _wrong_encoding},
    "reorder": {JointState: _reorder},
    "drop_joint": {JointState: _drop_joint},
    "duplicate": {JointState: _duplicate},
    "nan": {JointState: _nan_position, PoseStamped: _nan_pose},
    "move": {PoseStamped: _move},
    "zero_stamp": dict.fromkeys((Image, JointState, PoseStamped), _zero_stamp),
    "shift_stamp": dict.fromkeys((Image, JointState, PoseStamped), _shift_stamp),
}
