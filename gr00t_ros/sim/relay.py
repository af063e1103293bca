"""Node gr00t_sim_relay: passes a robot's sensor topics on, with faults injected by service.

It stands between a simulated or real robot, whose topics are remapped under a prefix, and whoever
uses the plain topics. Command topics, and controllers' states, pass only where they are listed.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from gr00t_ros.core.errors import SettingsError
from gr00t_ros.ros import qos
from gr00t_ros.ros.spin import run_node
from gr00t_ros.sim.controller import ControllerState
from gr00t_ros.sim.faults import Fault, FaultyStream
from gr00t_ros.sim.qos import SENSOR_OUT
from gr00t_ros.srv import InjectFault

DELAY_RESOLUTION_S = 0.002

STREAMS: dict[str, tuple[type, list[str]]] = {
    "image_topics": (Image, ["/camera/exterior/image_raw", "/camera/wrist/image_raw"]),
    "joint_state_topics": (JointState, ["/joint_states"]),
    "pose_topics": (PoseStamped, ["/ee_pose"]),
    "controller_state_topics": (ControllerState, [""]),
    "command_topics": (JointTrajectory, [""]),
}
"""Parameter -> message type and default topics; command topics lead to the robot."""


@dataclass(frozen=True, slots=True)
class RelayedTopic:
    """One topic on its way through its fault."""

    stream: FaultyStream
    publisher: Publisher


class RelayNode(Node):
    """Relays the topics that its parameters list; InjectFault names a stream by its topic."""

    def __init__(self) -> None:
        """Raise SettingsError when the source prefix is empty or no topic is listed."""
        super().__init__("gr00t_sim_relay")
        prefix = self._declared(
            "source_prefix", "/sim", "Put before each topic, gives the topic it is relayed from."
        )
        if not prefix:
            raise SettingsError("source_prefix: got an empty one, expected a name such as /sim")
        self._relayed: dict[str, RelayedTopic] = {}
        for parameter, (message_type, defaults) in STREAMS.items():
            what = f"{message_type.__name__} topics to relay; [''] for none."
            for topic in filter(None, self._declared(parameter, defaults, what)):
                self._relay(message_type, str(prefix), topic)
        self._timer = self.create_timer(
            DELAY_RESOLUTION_S, self._publish_due, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()
        self.create_service(InjectFault, "~/inject_fault", self._on_inject)

    def _declared(self, name: str, default: object, what: str) -> object:
        descriptor = ParameterDescriptor(description=what, read_only=True)
        return self.declare_parameter(name, default, descriptor).value

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
        fault = Fault(request.fault, request.value)
        try:
            hit = self._inject(request.stream, fault)
        except SettingsError as error:
            response.success, response.message = False, str(error)
            return response
        response.success, response.message = True, f"{fault.name} on {', '.join(hit)}"
        self.get_logger().info(response.message)
        return response

    def _inject(self, stream: str, fault: Fault) -> list[str]:
        """Inject into one stream, or with "all" into every one that knows the fault."""
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


def main(args: Sequence[str] | None = None) -> int:
    """Run the relay until SIGINT or SIGTERM."""
    return run_node(RelayNode, args)


if __name__ == "__main__":
    sys.exit(main())
