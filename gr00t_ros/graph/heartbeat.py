"""The heartbeat of a streamer: sent by the thread that plays the windows to the policy node.

A killed process stays in the ROS graph for its lease, ten seconds or more, so the graph cannot show
whether a streamer is alive. Each topic of windows NAME has a topic NAME/alive; the text of the
message identifies the process.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rclpy.node import Node
from std_msgs.msg import String

from gr00t_ros.errors import ObservationError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.outputs import OUTPUT_TYPES
from gr00t_ros.ros import qos
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.pulled import PulledSubscription
from gr00t_ros.ros.windows import window_topic
from gr00t_ros.watch.arm import StreamerLife
from gr00t_ros.watch.finding import Finding
from gr00t_ros.watch.table import default_ns, finding

_PERIOD_NS = default_ns("between two heartbeats")
_INSTANCE = uuid.uuid4().hex
"""Identifies this process: it is different after each start."""


class Heartbeat:
    """The streamer's side, for one topic of windows."""

    def __init__(self, node: Node, windows: str) -> None:
        """Create the publisher; `windows`: the topic of windows, as remapped."""
        self._publisher = node.create_publisher(String, _topic(windows), qos.SENSOR)
        self._message = String(data=_INSTANCE)
        self._due_ns = 0

    def beat(self, steady_ns: int) -> None:
        """Publish a heartbeat if one is due; call it after the work of the tick."""
        if steady_ns >= self._due_ns:
            self._due_ns = steady_ns + _PERIOD_NS
            self._publisher.publish(self._message)


@dataclass(frozen=True, slots=True)
class _Streamed:
    """One output that a streamer plays: its heartbeat subscription and its watch."""

    output: str
    topic: str
    subscription: PulledSubscription
    life: StreamerLife


class Heartbeats:
    """The policy node's side: the watch on all streamers; may be called from any thread."""

    def __init__(
        self,
        node: Node,
        embodiment: Embodiment,
        values: Parameters,
        awake_ns: Callable[[int], int],
    ) -> None:
        """Subscribe for each output that a streamer plays; for none in shadow.

        awake_ns: the part of an age, ns, during which the process was awake.
        """
        self._node, self._awake_ns = node, awake_ns
        outputs = (*embodiment.outputs, *embodiment.streamed)
        senders: Mapping[str, str] = {
            output.name: OUTPUT_TYPES[output.type].sender for output in outputs
        }
        self._lock = threading.Lock()
        topics = {
            output.name: _topic(str(node.resolve_topic_name(window_topic(output))))
            for output in outputs
            if senders[output.name] and not values.shadow
        }
        self._streamed = tuple(
            _Streamed(
                name,
                topic,
                PulledSubscription(node, (String,), topic, raw=False),
                StreamerLife(name, senders[name]),
            )
            for name, topic in topics.items()
        )
        self.apply(values)

    def apply(self, values: Parameters) -> None:
        """Take over a changed threshold."""
        self._limit_ns = int(values.controller_silence_s * 1e9)

    def begin(self) -> None:
        """Remember the streamers that play now: a replacement of one is a finding."""
        with self._lock:
            for one in self._streamed:
                one.life.begin()

    def silent(self) -> tuple[Finding, ...]:
        """A finding for each streamer without a heartbeat; they also prevent an activation."""
        with self._lock:
            now_ns = time.monotonic_ns()
            self._pull(now_ns)
            found = [
                one.life.silent(now_ns, self._limit_ns, self._awake_ns) for one in self._streamed
            ]
        return tuple(finding for finding in found if finding is not None)

    def doubled(self) -> tuple[Finding, ...]:
        """A finding for each output for which the graph lists several streamers.

        The graph lists a killed one until its lease ends. A heartbeat of a new streamer may arrive
        before the graph lists its command topic. A start at that moment would end in a fault as
        soon as both are listed as publishers of the command topic. Executor thread only.
        """
        counts = ((one, self._node.count_publishers(one.topic)) for one in self._streamed)
        return tuple(
            finding(
                "second_publisher",
                f"output {one.output}: {count} streamers are listed on {one.topic}: one that was "
                "killed is listed for its lease, some 20 s, wait until it is dropped; else",
            )
            for one, count in counts
            if count > 1
        )

    def findings(self) -> tuple[Finding, ...]:
        """As `silent`, and a finding for each streamer that was replaced since the last `begin`."""
        silent = self.silent()
        with self._lock:
            found = [one.life.replaced() for one in self._streamed]
        return (*silent, *(finding for finding in found if finding is not None))

    def destroy(self) -> None:
        """Unsubscribe."""
        with self._lock:
            for one in self._streamed:
                one.subscription.destroy()

    def _pull(self, now_ns: int) -> None:
        """Take all waiting heartbeats: one that waits since the last call may be of a dead one."""
        for one in self._streamed:
            for _ in range(one.subscription.depth):
                with contextlib.suppress(ObservationError):  # unreadable: no sign of life
                    message = one.subscription.take()
                    if message is None:
                        break
                    one.life.receive(message.data, now_ns)


def heart_topics(node: Node, embodiment: Embodiment) -> dict[str, str]:
    """The topic that each streamer commands -> that of its heartbeats, both as remapped."""
    return {
        str(node.resolve_topic_name(output.topic)): _topic(
            str(node.resolve_topic_name(window_topic(output)))
        )
        for output in (*embodiment.outputs, *embodiment.streamed)
        if OUTPUT_TYPES[output.type].sender
    }


def _topic(windows: str) -> str:
    return f"{windows}/alive"
