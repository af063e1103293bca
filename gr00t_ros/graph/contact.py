"""The contacts that the robot measures: one subscription and one watch for each source.

The topics are pulled: by the replay thread in each tick of a session, by the executor thread while
the node is inactive. A lock protects the watches. Masses for sources of efforts come from
/robot_description.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from rclpy.node import Node
from std_msgs.msg import String

from gr00t_ros.collide.dynamics import InverseDynamics
from gr00t_ros.collide.model import engine_module
from gr00t_ros.errors import ObservationError, SettingsError
from gr00t_ros.graph.limits import TOPIC
from gr00t_ros.inputs.contact import MESSAGES, values_of
from gr00t_ros.robot.contact.sources import ContactSource
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.ros import qos
from gr00t_ros.ros.parameters import FAULT, SHOW, Parameters
from gr00t_ros.ros.pulled import InvalidHandle, PulledSubscription
from gr00t_ros.watch.contact import ContactWatch
from gr00t_ros.watch.finding import AwakeTime, Finding, all_awake


class _Source:
    """One source: its topic and its watch."""

    def __init__(self, node: Node, source: ContactSource) -> None:
        types = MESSAGES[source.type]
        self.topic = PulledSubscription(node, types, source.topic, False, (qos.JOINTS,))
        self.watch = ContactWatch(source)

    def pull(self, dynamics: InverseDynamics | None, now_ns: int) -> None:
        """Take all waiting messages."""
        watch = self.watch
        for _ in range(self.topic.depth):
            try:
                message = self.topic.take()
                if message is None:
                    return
                values, moving = values_of(watch.source, message, dynamics)
            except ObservationError as error:
                watch.refuse(str(error), now_ns)
            else:
                watch.take(self.topic.sent_ns, values, now_ns, moving)


class Contacts:
    """All sources of one configuration; they measure always, and react as `contact` says."""

    def __init__(
        self, node: Node, robot: Embodiment, values: Parameters, awake_ns: AwakeTime = all_awake
    ) -> None:
        """Subscribe; awake_ns: the part of an age, ns, the process was awake.

        Raises SettingsError for efforts without MuJoCo.
        """
        self._node, self._awake_ns, self._lock = node, awake_ns, threading.Lock()
        efforts = any(source.type == "effort" for source in robot.contacts)
        if efforts:
            engine_module()
        self._dynamics: InverseDynamics | None = None
        self._no_dynamics = ""
        self._description = (
            node.create_subscription(String, TOPIC, self._take_description, qos.STATUS)
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
                source.watch.silence_ns = round(1e9 * values.contact_silence_s)

    def findings(self) -> Sequence[Finding]:
        """The findings since the last call; measures in any case. On steady time."""
        with self._lock:
            now_ns = self._pull()
            fault = self._reaction == FAULT
            found = tuple(
                one
                for source in self._sources
                for one in source.watch.findings(now_ns, fault, self._awake_ns)
            )
            return () if self._reaction == SHOW else found

    def details(self) -> list[tuple[str, str]]:
        """Each source's name and type with its state, in one line each."""
        with self._lock:
            now_ns = time.monotonic_ns()
            react = "only shown (parameter contact)" if self._reaction == SHOW else ""
            return [
                (
                    f"contact {one.watch.source.name}",
                    "; ".join(filter(None, (one.watch.text(now_ns), self._missing(one), react))),
                )
                for one in self._sources
            ]

    def look(self) -> None:
        """Adapt the subscriptions to the types of their publishers; reads the ROS graph."""
        for source in self._sources:
            try:
                publishers = self._node.get_publishers_info_by_topic(source.topic.topic)
            except InvalidHandle:
                return
            with self._lock:
                source.topic.follow(publishers)

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

    def _missing(self, source: _Source) -> str:
        return self._no_dynamics if source.watch.source.type == "effort" else ""

    def _take_description(self, message: String) -> None:
        try:
            dynamics, why = InverseDynamics(message.data, TOPIC), ""
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
