"""Node gr00t_sim_relay: passes a robot's sensor topics on, with faults injected by service.

It stands between a simulated or real robot, whose topics are remapped under a prefix, and the nodes
that use the plain topics. Command topics and controllers' states are passed on only if they are
listed. Without a fault the bytes are passed on unchanged.
"""

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.time import Time
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from gr00t_ros.errors import SettingsError
from gr00t_ros.ros import qos
from gr00t_ros.ros.node_help import NodeHelp
from gr00t_ros.ros.process import checked_topic, declared, run_node
from gr00t_ros.sim.controller import STATE_MESSAGE
from gr00t_ros.sim.sensors import SENSOR_OUT
from gr00t_ros.srv import InjectFault

TRANSPORT_FAULTS = ("none", "freeze", "repeat", "stop", "delay", "slow", "cut")
"""Faults of any stream; the other faults change the content of some message types."""
DELAY_RESOLUTION_S = 0.002
STREAMS: dict[str, tuple[type, list[str]]] = {
    "image_topics": (Image, ["/camera/exterior/image_raw", "/camera/wrist/image_raw"]),
    "joint_state_topics": (JointState, ["/joint_states"]),
    "pose_topics": (PoseStamped, ["/ee_pose"]),
    "controller_state_topics": (STATE_MESSAGE, [""]),
    "command_topics": (JointTrajectory, [""]),
}
"""Parameter -> message type and default topics; command topics lead to the robot."""


@dataclass(frozen=True, slots=True)
class TopicFault:
    """A fault: its name in srv/InjectFault, and its value (s, m, joint index, or unused)."""

    name: str
    value: float = 0.0


class FaultyStream:
    """Applies a fault to one stream: takes serialised messages, returns those to publish now."""

    def __init__(self, message_type: type) -> None:
        """A stream of this message type without a fault."""
        self._type = message_type
        self._fault = TopicFault("none")
        self._newest: bytes | None = None
        self._frozen: bytes | None = None
        self._passed_ns = 0
        self._cut_ns: int | None = None
        self._delayed: deque[tuple[int, bytes]] = deque()

    @property
    def delaying(self) -> bool:
        """Whether messages are, or may still be, held back."""
        return self._fault.name == "delay"

    def applies(self, fault: TopicFault) -> bool:
        """Whether a fault of this name exists for this message type."""
        return fault.name in TRANSPORT_FAULTS or self._type in CONTENT_FAULTS.get(fault.name, {})

    def inject(self, fault: TopicFault) -> None:
        """Replace the present fault; messages that a delay still held back are lost.

        Raises SettingsError if the fault or its value does not exist for this stream.
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
        """Return the messages to publish when ``data`` arrives at ``now_ns`` (steady)."""
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
            return [self._repeated(self._frozen, data)]
        if self._fault.name == "delay":
            self._delayed.append((now_ns + round(self._fault.value * 1e9), data))
            return self.due(now_ns)
        if self._fault.name == "slow":
            return self._thinned(data, now_ns)
        if self._fault.name == "cut":
            return self._healed(data, now_ns)
        return [self._altered(data, self._fault)]

    def due(self, now_ns: int) -> list[bytes]:
        """Return, oldest first, the messages that were held back until ``now_ns`` or before."""
        ready = []
        while self._delayed and self._delayed[0][0] <= now_ns:
            ready.append(self._delayed.popleft()[1])
        return ready

    def start(self, now_ns: int) -> None:
        """Begin a cut now, so that the cuts of several streams begin and end together."""
        self._cut_ns = now_ns

    def _healed(self, data: bytes, now_ns: int) -> list[bytes]:
        """Drop everything for the fault's value, s, then pass everything on."""
        if self._cut_ns is None:
            self._cut_ns = now_ns
        return [] if now_ns - self._cut_ns < self._fault.value * 1e9 else [data]

    def _thinned(self, data: bytes, now_ns: int) -> list[bytes]:
        """Pass on at most one message in the fault's value, s."""
        if now_ns - self._passed_ns < self._fault.value * 1e9:
            return []
        self._passed_ns = now_ns
        return [data]

    def _repeated(self, frozen: bytes, data: bytes) -> bytes:
        """That message with the header of this one: a frozen picture with new stamps."""
        old = deserialize_message(frozen, self._type)
        old.header = deserialize_message(data, self._type).header
        return bytes(serialize_message(old))

    def _altered(self, data: bytes, fault: TopicFault) -> bytes:
        message = deserialize_message(data, self._type)
        CONTENT_FAULTS[fault.name][self._type](message, fault.value)
        return bytes(serialize_message(message))


def _black(image: Image, _value: float) -> None:
    image.data = bytes(len(image.data))


def _wrong_size(image: Image, _value: float) -> None:
    """Keep the upper half: a consistent image with a size that is not configured."""
    image.height //= 2
    image.data = image.data[: image.height * image.step]


def _wrong_encoding(image: Image, _value: float) -> None:
    image.encoding = "32FC1"


def _reorder(joints: JointState, _value: float) -> None:
    """Reverse the order of names and values alike: the same state in another order."""
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
    """Give the second joint the first one's name: two positions of one joint."""
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


@dataclass(frozen=True, slots=True)
class RelayedTopic:
    """One relayed topic: its fault and its publisher."""

    stream: FaultyStream
    publisher: Publisher


class RelayNode(Node):
    """Relays the topics that its parameters list; InjectFault names a stream by its topic."""

    def __init__(self) -> None:
        """Raise SettingsError if the source prefix is empty."""
        super().__init__("gr00t_sim_relay")
        prefix = self._declared(*_PREFIX)
        if not prefix:
            raise SettingsError("source_prefix: got an empty one, expected a name such as /sim")
        self._relayed: dict[str, RelayedTopic] = {}
        for parameter, (message_type, defaults) in STREAMS.items():
            topics = self._declared(parameter, defaults, _meaning(message_type))
            for topic in filter(None, topics):
                checked_topic(f"parameter {parameter}", topic)
                # The prefix cannot stand before a name that ROS has yet to expand.
                unfinished = topic.startswith("~") or "{" in topic
                name = self.resolve_topic_name(topic, only_expand=True) if unfinished else topic
                checked_topic("parameter source_prefix", f"{prefix}{name}")
                self._relay(message_type, str(prefix), name)
        self._timer = self.create_timer(
            DELAY_RESOLUTION_S, self._publish_due, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()
        self.create_service(InjectFault, "~/inject_fault", self._on_inject)
        self.get_logger().info(f"relaying between {prefix}/.. and {', '.join(self._relayed)}")

    def _declared(self, name: str, default: object, what: str) -> Any:
        descriptor = ParameterDescriptor(description=what, read_only=True)
        return declared(self, name, default, descriptor)

    def _relay(self, message_type: type, prefix: str, topic: str) -> None:
        source, target, profile = prefix + topic, topic, SENSOR_OUT
        if message_type is JointTrajectory:
            source, target, profile = topic, prefix + topic, qos.COMMAND
        relayed = RelayedTopic(
            FaultyStream(message_type), self.create_publisher(message_type, target, profile)
        )
        self._relayed[topic] = relayed
        self.create_subscription(message_type, source, self._receiver(relayed), profile, raw=True)

    def _receiver(self, relayed: RelayedTopic) -> Callable[[bytes], None]:
        def on_message(data: bytes) -> None:
            try:
                for out in relayed.stream.take(data, time.monotonic_ns()):
                    relayed.publisher.publish(out)
            except SettingsError as error:
                self.get_logger().error(str(error), throttle_duration_sec=1.0)

        return on_message

    def _publish_due(self) -> None:
        if not any(relayed.stream.delaying for relayed in self._relayed.values()):
            self._timer.cancel()
        for relayed in self._relayed.values():
            for out in relayed.stream.due(time.monotonic_ns()):
                relayed.publisher.publish(out)

    def _on_inject(
        self, request: InjectFault.Request, response: InjectFault.Response
    ) -> InjectFault.Response:
        fault = TopicFault(request.fault, request.value)
        try:
            hit = self._inject(request.stream, fault)
        except SettingsError as error:
            response.success, response.message = False, str(error)
            return response
        response.success, response.message = True, f"{fault.name} on {', '.join(hit)}"
        self.get_logger().info(response.message)
        return response

    def _inject(self, stream: str, fault: TopicFault) -> list[str]:
        """Inject into one stream, or with "all" into every stream that has this fault."""
        if stream == "all":
            hit = [name for name, one in self._relayed.items() if one.stream.applies(fault)]
        else:
            hit = [name for name in self._relayed if name.lstrip("/") == stream.lstrip("/")]
        if not hit:
            raise SettingsError(
                f"inject: got stream {stream!r} with fault {fault.name!r}, expected 'all' or one "
                f"of {list(self._relayed)}, and a fault that exists for its type"
            )
        now_ns = time.monotonic_ns()
        for name in hit:
            self._relayed[name].stream.inject(fault)
            self._relayed[name].stream.start(now_ns)
        if fault.name == "delay":
            self._timer.reset()
        return hit


def _meaning(message_type: type) -> str:
    return f"{message_type.__name__} topics to relay; [''] for none"


_PREFIX = ("source_prefix", "/sim", "Put before each topic: the topic it is relayed from")
HELP = NodeHelp(
    "gr00t sim relay",
    "Node gr00t_sim_relay: relays topics and spoils them on request (~/inject_fault: stop, "
    "delay, freeze, cut, ...), to see what the policy node does. Start the robot with its topics "
    "remapped.",
    (
        _PREFIX,
        *(
            (name, topics, f"{kind.__name__} topics to relay; [''] for none")
            for name, (kind, topics) in STREAMS.items()
        ),
    ),
    "gr00t sim relay --ros-args -p source_prefix:=/sim",
)


def main(args: Sequence[str] | None = None) -> int:
    """Run the relay until SIGINT or SIGTERM."""
    return run_node(RelayNode, args, about=HELP)


if __name__ == "__main__":
    sys.exit(main())
