"""The contacts that the robot measures: one subscription and one watch for each source.

Publishers are told apart as those of joint states (observe/joint_states.py): an arm and its gripper
may each send their own joints, and two publishers of the same values are a finding.

The topics are pulled: by the replay thread in each tick of a session, by the executor thread while
the node is inactive. A lock protects the watches. Masses for sources of efforts come from
/robot_description.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo
from std_msgs.msg import String

from gr00t_ros.collide.dynamics import InverseDynamics
from gr00t_ros.collide.model import engine_module
from gr00t_ros.errors import ObservationError, SettingsError
from gr00t_ros.graph.limits import DESCRIPTION
from gr00t_ros.inputs.contact import MESSAGES, ContactReader, keys_of
from gr00t_ros.inputs.stream_report import Graph
from gr00t_ros.observe.joint_states import WHOLE, JointPublishers
from gr00t_ros.robot.contact.sources import ContactSource
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.ros import qos
from gr00t_ros.ros.parameters import FAULT, SHOW, Parameters
from gr00t_ros.ros.pulled import PulledSubscription
from gr00t_ros.watch.contact import ContactWatch
from gr00t_ros.watch.finding import AwakeTime, Finding, all_awake


class _Source:
    """One source: its topic, the publishers of that, and its watch."""

    def __init__(self, node: Node, source: ContactSource) -> None:
        types = MESSAGES[source.type]
        self.topic = PulledSubscription(node, types, source.topic, False, (qos.JOINTS,))
        self.watch = ContactWatch(source)
        self._read, self._publishers = ContactReader(source), JointPublishers(self.watch.silence_ns)

    def pull(self, dynamics: InverseDynamics | None, now_ns: int) -> None:
        """Take all waiting messages; those of a second publisher of our values are not used."""
        watch, source = self.watch, self.watch.source
        for _ in range(self.topic.depth):
            try:
                message = self.topic.take()
                if message is None:
                    return
                if not self._publishers.see(keys_of(source, message), self.topic.number, now_ns):
                    continue
                found = self._read(message, dynamics)
            except ObservationError as error:
                watch.refuse(str(error), now_ns)
            else:
                if found is not None:
                    values, columns = found.values, found.columns
                    watch.take(self.topic.sent_ns, values, now_ns, found.moving, columns)

    def mixed(self, now_ns: int) -> tuple[str, ...]:
        """The joints of the source that two publishers send at once; ("",) for the whole topic."""
        ours = {*self.watch.source.names, *WHOLE}
        return tuple(key for key in self._publishers.mixed(now_ns) if key in ours)

    def silence(self, silence_ns: int) -> None:
        """Apply the time for which the source, and so the publisher of a value, may be silent."""
        self.watch.silence_ns = self._publishers.handover_ns = silence_ns

    def follow(self, publishers: Sequence[TopicEndpointInfo]) -> None:
        """Take the present publishers of the topic."""
        self.topic.follow(publishers)
        self._publishers.graph(len(publishers))


class Contacts:
    """All sources of one configuration; they measure always, and react as `contact` says."""

    def __init__(
        self, node: Node, robot: Embodiment, values: Parameters, awake_ns: AwakeTime = all_awake
    ) -> None:
        """Subscribe; awake_ns: the part of an age, ns, the process was awake.

        Raises SettingsError for efforts without MuJoCo.
        """
        self._node, self._awake_ns, self._lock = node, awake_ns, threading.Lock()
        self._graph = Graph(node)
        efforts = any(source.type == "effort" for source in robot.contacts)
        if efforts:
            engine_module()
        self._dynamics: InverseDynamics | None = None
        self._no_dynamics = ""
        self._description = (
            node.create_subscription(String, DESCRIPTION, self._take_description, qos.STATUS)
            if efforts
            else None
        )
        self._sources = [_Source(node, source) for source in robot.contacts]
        self.apply(values)

    def apply(self, values: Parameters) -> None:
        """Apply changed thresholds."""
        with self._lock:
            self._reaction = values.contact
            for source in self._sources:
                source.silence(round(1e9 * values.contact_silence_s))

    def findings(self) -> Sequence[Finding]:
        """The findings since the last call; measures in any case. On steady time."""
        with self._lock:
            now_ns = self._pull()
            found = [one for source in self._sources for one in self._found(source, now_ns)]
            return () if self._reaction == SHOW else found

    def details(self) -> list[tuple[str, str]]:
        """Each source's name and type with its state, in one line each."""
        with self._lock:
            now_ns = time.monotonic_ns()
            react = "only shown (parameter contact)" if self._reaction == SHOW else ""
            return [
                (
                    f"contact {one.watch.source.name}",
                    "; ".join(filter(None, (self._text(one, now_ns), self._missing(one), react))),
                )
                for one in self._sources
            ]

    def look(self) -> None:
        """Adapt the subscriptions to the types of their publishers; reads the ROS graph."""
        for source in self._sources:
            publishers = self._graph.ask(source.topic)
            if publishers is None:
                return
            with self._lock:
                source.follow(publishers)

    def destroy(self) -> None:
        """Unsubscribe."""
        with self._lock:
            for source in self._sources:
                source.topic.destroy()
        if self._description is not None:
            self._node.destroy_subscription(self._description)

    def _pull(self) -> int:
        now_ns = time.monotonic_ns()
        for source in self._sources:
            source.pull(self._dynamics, now_ns)
        return now_ns

    def _found(self, source: _Source, now_ns: int) -> Sequence[Finding]:
        fault, mixed = self._reaction == FAULT, self._mixed(source, now_ns)
        return source.watch.findings(now_ns, fault, self._awake_ns, mixed)

    def _text(self, source: _Source, now_ns: int) -> str:
        return source.watch.text(now_ns, self._mixed(source, now_ns))

    def _mixed(self, source: _Source, now_ns: int) -> str:
        """The text about the publishers of a source that send the same at once; empty if none do.

        The reason of a stop names both: the graph is asked now if it has shown only one so far.
        """
        joints = source.mixed(now_ns)
        if not joints:
            return ""
        self._graph.look(source.topic, now_ns, True)
        return self._graph.mixed(source.topic.topic, joints)

    def _missing(self, source: _Source) -> str:
        return self._no_dynamics if source.watch.source.type == "effort" else ""

    def _take_description(self, message: String) -> None:
        try:
            dynamics, why = InverseDynamics(message.data, DESCRIPTION), ""
        except SettingsError as error:
            dynamics, why = None, str(error)
        with self._lock:
            self._dynamics, self._no_dynamics = dynamics, why


def unable(robot: Embodiment, values: Parameters) -> str:
    """Why contacts cannot react as `contact` says; empty if they can, or need not."""
    if values.contact == SHOW or any(source.reacts for source in robot.contacts):
        return ""
    return (
        f"parameter contact: got {values.contact}, but {robot.source} has no source with "
        "thresholds below contact: expected show, or such a source (docs/collision.md, Contact)"
    )
