"""The robot's controllers in the ROS graph: other publishers, their state and parameters.

Three settings of joint_trajectory_controller break the splice of windows (control.md 1, item 8,
and docs/controllers.md). Activation is refused with such a setting, and a change to it while active
is a fault. A controller without parameter services is not checked. `look` runs on the executor
thread and never waits; `findings` only reads and may be called from any thread.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rcl_interfaces.msg import ParameterEvent, ParameterValue
from rcl_interfaces.srv import GetParameters
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import qos_profile_parameter_events
from rclpy.task import Future
from rclpy.topic_endpoint_info import TopicEndpointInfo

from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.ros.asked import AskedService
from gr00t_ros.ros.pulled import InvalidHandle
from gr00t_ros.watch.finding import Finding
from gr00t_ros.watch.table import default, finding

LOOK_S = 1.0
"""Period of `look`: graph calls are not cheap, and discovery itself takes about as long."""
_KILLED = " (one that was killed is listed for its lease, some 20 s)"
_UNNAMED = "_NODE_NAME_UNKNOWN_"  # rmw's name of a node of which only an endpoint is discovered
_UNNAMED_TEXT = "a node whose name is not discovered yet"


class OtherPublishers:
    """The watch on other publishers of the topics that this node and its streamers command."""

    def __init__(
        self, node: Node, topics: Sequence[str], hearts: Mapping[str, str] | None = None
    ) -> None:
        """Watch `topics` (as remapped); there are no findings before the first `look`.

        hearts: topic that a streamer commands -> the topic of its heartbeats.
        """
        self._node, self.topics, self._hearts = node, topics, hearts or {}
        self._found: tuple[Finding, ...] = ()

    def of(self, topic: str) -> str:
        """Names of other nodes that publish on `topic`; empty if only this node or its streamer."""
        names, heart = self._publishers(topic), self._hearts.get(topic)
        streamers = self._publishers(heart) if heart else []
        streamer = next((name for name in names if name in streamers), None)
        for own in (self._node.get_name(), streamer):
            if own in names:
                names.remove(own)
        texts = {name: f"{name}{_KILLED}" for name in streamers} | {_UNNAMED: _UNNAMED_TEXT}
        return ", ".join(texts.get(name, name) for name in names)

    def _publishers(self, topic: str) -> list[str]:
        return [info.node_name for info in self._node.get_publishers_info_by_topic(topic)]

    def look(self) -> None:
        """Ask the graph about all topics."""
        try:
            others = {topic: self.of(topic) for topic in self.topics}
        except InvalidHandle:  # the node was destroyed between two calls
            return
        self._found = tuple(
            finding("second_publisher", f"another publisher commands {topic}: {names}")
            for topic, names in others.items()
            if names
        )

    def findings(self) -> tuple[Finding, ...]:
        """One for each topic that another node published on at the last look."""
        return self._found


try:  # not in a package index: only full ROS installations have it
    from controller_manager_msgs.srv import ListControllers
except ImportError:
    ListControllers = None

ASK_S: float = default("between two requests")
"""Least time between two requests; the caller's timer has a period of about 1 s."""

ANSWER_S: float = default("age from which an answer is ignored")
"""An answer older than this is ignored, and a request without an answer is dropped after it."""

UNANSWERED = 2
"""After this many unanswered requests a controller counts as one without parameter services.

One is not enough: Fast DDS drops an answer to a client that the server has not discovered yet.
"""

DISCOVERED_S = 2.0
"""This long after its command subscription appeared, all of a controller's services are known."""

_POLL_S = 0.1
_LEAST_S = 0.2
"""A new controller counts as not known for so long at least: a streamer that can send nothing for
0.1 s holds its last point. It would else play on, where the arm has rested without a controller.
"""
ACTIVE_STATE = "active"
UNLOADED = "not loaded any more"


def controllers_of(node: Node, robot: Embodiment) -> dict[str, str]:
    """Output -> its controller: NAME of the command topic /NAME/..., as remapped."""
    topics = {output.name: node.resolve_topic_name(output.topic) for output in robot.outputs}
    return {output: topic.split("/")[-2] for output, topic in topics.items()}


class ControllerManager:
    """The watch on the state of each controller that controller_manager has listed."""

    def __init__(
        self,
        node: Node,
        namespace: str,
        controllers: Mapping[str, str],
        service: Any = ListControllers,
    ) -> None:
        """Create the client; `controllers`: from controllers_of; empty `namespace`: never ask."""
        self._node, self._namespace, self._controllers = node, namespace, dict(controllers)
        self._service, self._client = service, None
        if service is not None and namespace and self._controllers:
            self._client = node.create_client(service, f"{namespace}/list_controllers")
        self._asked_s = -ANSWER_S
        self._waiting: Future | None = None
        # Time and content of the last answer in one tuple: other threads read it while it changes.
        self._answer: tuple[float, dict[str, str]] = (-ANSWER_S, {})

    def look(self) -> None:
        """Send a request if one is due; may be called at any rate."""
        client, now_s = self._client, time.monotonic()
        patience_s = ASK_S if self._waiting is None else ANSWER_S
        if client is None or now_s - self._asked_s < patience_s:
            return
        try:
            if self._waiting is not None:
                client.remove_pending_request(self._waiting)
                self._waiting = None
            if not client.service_is_ready():
                return
            future = client.call_async(self._service.Request())
        except InvalidHandle:  # the node was destroyed between two calls
            return
        self._waiting, self._asked_s = future, now_s
        future.add_done_callback(self._answered)

    def findings(self) -> tuple[Finding, ...]:
        """One for each output whose controller is not active according to the last answer.

        A controller that was never listed belongs to a driver and is not checked. An answer older
        than ANSWER_S gives no findings.
        """
        heard_s, states = self._answer
        if time.monotonic() - heard_s > ANSWER_S:
            return ()
        return tuple(
            finding(
                "controller_inactive",
                f"controller {controller} of output {output} is {states[controller]} by "
                f"{self._namespace}, expected {ACTIVE_STATE}",
            )
            for output, controller in self._controllers.items()
            if states.get(controller, ACTIVE_STATE) != ACTIVE_STATE
        )

    def destroy(self) -> None:
        """Remove the client from the node."""
        if self._client is not None:
            self._node.destroy_client(self._client)

    def _answered(self, future: Future) -> None:
        self._waiting = None if future is self._waiting else self._waiting
        if future.cancelled() or future.exception() is not None:
            return
        listed = {one.name: one.state for one in future.result().controller}
        gone = {name: UNLOADED for name in self._answer[1] if name not in listed}
        self._answer = time.monotonic(), gone | listed


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter value that breaks windows, its effect, and the value that is needed."""

    forbidden: object
    effect: str
    needed: str


FORBIDDEN = {
    "allow_trajectory_replacement": Setting(
        True,
        "re-anchors windows whose stamp is past: a step of the arm (20,000 to 31,400 rad/s^2)",
        "false (newer versions default to true)",
    ),
    "allow_nonzero_velocity_at_trajectory_end": Setting(
        True, "takes windows that do not end at rest", "false"
    ),
    "interpolation_method": Setting(
        "none", "steps from point to point (12,000 to 30,000 rad/s^2)", "splines"
    ),
}


NOT_KNOWN = "its parameters are not known yet; wait for its answer"


def forbidden(name: str, value: ParameterValue) -> bool:
    """Whether a controller whose parameter `name` has this value breaks windows."""
    return bool(parameter_value_to_python(value) == FORBIDDEN[name].forbidden)


class ControllerParameters:
    """Asks each controller for its parameters; the controller's name is its command topic's."""

    def __init__(self, node: Node, command_topics: Iterable[str]) -> None:
        """Create a client for the controller of each command topic /NAME/joint_trajectory.

        Other topics have no trajectory controller: a streamer or a base reads them.
        """
        self._node = node
        end = "/joint_trajectory"
        self._topics = {
            topic.removesuffix(end): topic
            for topic in command_topics
            if topic.endswith(end) and topic != end
        }
        self._clients = {
            name: node.create_client(GetParameters, f"{name}/get_parameters")
            for name in self._topics
        }
        self._events = node.create_subscription(
            ParameterEvent, "/parameter_events", self._on_event, qos_profile_parameter_events
        )
        self._readers: dict[str, frozenset[bytes]] = {}
        self._read_since_s: dict[str, float] = {}
        self._asked_s: dict[tuple[str, str], float] = {}
        self._requests: Counter[tuple[str, str]] = Counter()
        self._waiting: dict[tuple[str, str], list[Future]] = {}
        self._answered: set[tuple[str, str]] = set()
        self._wrong: dict[tuple[str, str], object] = {}
        self._found: tuple[Finding, ...] = ()
        self.answers = 0

    def poll(self) -> None:
        """Ask the controllers that are available and have not answered since they started.

        One request per parameter: to one with an unknown name rclcpp answers without any values. A
        late answer counts, whichever request it belongs to.
        """
        now_s = time.monotonic()
        try:
            for controller, client in self._clients.items():
                self._forget_if_new(controller)
                for name in FORBIDDEN if client.service_is_ready() else ():
                    of = controller, name
                    patience_s = ASK_S if self._requests[of] < UNANSWERED else ANSWER_S
                    due_s = self._asked_s.get(of, -patience_s) + patience_s
                    if of in self._answered or now_s < due_s:
                        continue
                    waiting = self._waiting.setdefault(of, [])
                    if len(waiting) == UNANSWERED:
                        client.remove_pending_request(waiting.pop(0))
                    self._asked_s[of] = now_s
                    self._requests[of] += 1
                    waiting.append(client.call_async(GetParameters.Request(names=[name])))
                    waiting[-1].add_done_callback(partial(self._on_answer, of))
        except InvalidHandle:  # the node was destroyed between two calls
            return

    look = poll  # the name that all watches of the graph share

    def forget(self) -> None:
        """Ask all controllers again: one may have been loaded again."""
        self._asked_s.clear()
        self._requests.clear()
        self._answered.clear()

    def problems(self) -> list[str]:
        """What must be changed in the controllers or is not known yet, one sentence each.

        Not known is a problem before an activation only: a controller in use that answers late
        would otherwise move the arm with a forbidden value until its answer comes.
        """
        unknown = [f"{name}: {NOT_KNOWN}" for name in self.unknown()]
        return [one.reason for one in self._found] + unknown

    def unknown(self) -> list[str]:
        """The controllers that may still answer for one of their parameters."""
        now_s = time.monotonic()
        return [name for name in self._clients if self._may_answer(name, now_s)]

    def findings(self) -> tuple[Finding, ...]:
        """One for each parameter of a controller that breaks windows."""
        return self._found

    def destroy(self) -> None:
        """Remove clients and subscription from the node."""
        for client in self._clients.values():
            self._node.destroy_client(client)
        self._node.destroy_subscription(self._events)

    def _forget_if_new(self, controller: str) -> None:
        """Ask a controller again if its subscription is new: it may have other parameters."""
        infos = self._node.get_subscriptions_info_by_topic(self._topics[controller])
        # its own, where one has its name: a bag or an echo that begins to read is no new controller
        own = [one for one in infos if _full_name(one) == controller]
        readers = frozenset(bytes(info.endpoint_gid) for info in own or infos)
        if not readers or readers == self._readers.get(controller):
            return
        if controller in self._readers:
            for name in FORBIDDEN:
                self._answered.discard((controller, name))
                self._forget_requests((controller, name))
                self._asked_s.pop((controller, name), None)
                self._requests.pop((controller, name), None)
        self._readers[controller] = readers
        self._read_since_s[controller] = time.monotonic()

    def _may_answer(self, controller: str, now_s: float) -> bool:
        """Whether a controller that reads its topic may still answer for one of its parameters."""
        if controller not in self._readers:
            return False  # nothing reads the topic, which is another problem
        if not self._clients[controller].service_is_ready():
            return now_s - self._read_since_s[controller] < DISCOVERED_S
        return any(
            of not in self._answered and self._requests[of] <= UNANSWERED
            for of in ((controller, name) for name in FORBIDDEN)
        )

    def _on_answer(self, of: tuple[str, str], future: Future) -> None:
        if future not in self._waiting.get(of, ()):
            return  # a parameter event or a new controller came in between, or another answer
        if future.cancelled() or future.exception() is not None:
            return
        self._forget_requests(of)
        values = future.result().values
        self._judge(of, values[0] if values else ParameterValue())
        # last: another thread must not see a controller as known before it is judged
        self._answered.add(of)
        self.answers += 1

    def _on_event(self, event: ParameterEvent) -> None:
        if event.node not in self._clients:
            return
        for parameter in (*event.new_parameters, *event.changed_parameters):
            if parameter.name in FORBIDDEN:
                of = event.node, parameter.name
                self._forget_requests(of)  # a pending answer may be older than this event
                self._judge(of, parameter.value)

    def _forget_requests(self, of: tuple[str, str]) -> None:
        """Ignore answers that are still to come."""
        for future in self._waiting.pop(of, ()):
            if not future.done():
                self._clients[of[0]].remove_pending_request(future)

    def _judge(self, of: tuple[str, str], value: ParameterValue) -> None:
        if forbidden(of[1], value):
            self._wrong[of] = parameter_value_to_python(value)
        else:
            self._wrong.pop(of, None)
        self._found = tuple(
            finding("controller_parameter", _sentence(*of, wrong))
            for of, wrong in sorted(self._wrong.items(), key=lambda item: item[0])
        )


def _full_name(info: TopicEndpointInfo) -> str:
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"


def _sentence(controller: str, name: str, value: object) -> str:
    setting = FORBIDDEN[name]
    text = f"{controller}: parameter {name} is {str(value).lower()}: {setting.effect}"
    return f"{text}; set it to {setting.needed}"


class ControllerJoints:
    """The joints of a forward command controller, whose messages have numbers and no names.

    In another order each joint would be commanded to the position of another one. Polled on the
    executor thread; any thread may read `problem`.
    """

    def __init__(self, node: Node, command_topic: str, joints: Sequence[str]) -> None:
        """Ask the controller of the topic /NAME/commands (as remapped) for its joints.

        It is asked again each time that it was loaded again. joints: in the order in which they
        are sent. Other topics belong to a driver that cannot be asked, and so does one without
        parameter services.
        """
        self._node, self._topic, self._joints = node, command_topic, list(joints)
        self.problem = ""
        """Why no command may be sent; empty if one may."""
        self._name = command_topic.removesuffix("/commands")
        if self._name in ("", command_topic):
            return
        self._client = node.create_client(GetParameters, f"{self._name}/get_parameters")
        self._known: frozenset[bytes] = frozenset()  # its subscriptions so far
        self._asked = self._ask()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(_POLL_S, self._poll, clock=steady)

    def _ask(self) -> AskedService:
        """A new request; the joints are not known until its answer, or until it took too long."""
        self._answered, self._since_s = False, math.inf
        self._asked_s = time.monotonic()
        self.problem = f"joints: {self._name}: {NOT_KNOWN}"
        request = GetParameters.Request(names=["joints"])
        return AskedService(self._client, f"{self._name}/get_parameters", request, ASK_S)

    def _poll(self) -> None:
        now_s = time.monotonic()
        self._look(now_s)
        if self._answered:
            return
        answer = self._asked.answer()
        if answer is not None:
            if now_s - self._asked_s < _LEAST_S:
                return
            self._answered = True
            self.problem = self._judged(answer.values)
            return
        limit_s = UNANSWERED * ANSWER_S if self._asked.sent else DISCOVERED_S
        if now_s - self._since_s > limit_s:
            self.problem = ""  # it is taken as it is; an answer that comes later still counts

    def _look(self, now_s: float) -> None:
        """Ask again if the controller's own subscription is new: it may have other joints.

        The subscription of another node is a driver's, a bag's or an echo's. It counts as a reader
        where the controller has none, but is never a reason to ask.
        """
        infos = self._node.get_subscriptions_info_by_topic(self._topic)
        own = {bytes(one.endpoint_gid) for one in infos if _full_name(one) == self._name}
        if not own <= self._known:
            if self._known or not self._answered:  # else the answer was this one's
                self._asked = self._ask()
            self._known |= own
        if infos and self._since_s == math.inf:
            self._since_s = now_s

    def _judged(self, values: Sequence[ParameterValue]) -> str:
        found = parameter_value_to_python(values[0]) if values else None
        if not found or list(found) == self._joints:
            return ""
        return (
            f"joints: got {self._joints}, expected those of {self._name} in its order: "
            f"{list(found)}; a message has no names, so each number goes to the joint in its place"
        )
