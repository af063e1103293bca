"""Where the joints are by /joint_states, and whether a first motion may begin there.

Joint states are read as the policy node reads them (inputs/source.py): all waiting messages, merged
by joint name. A first motion begins at the measured position and may have nothing else to compare
it with, so a false position would be commanded. One message is no proof: a joint_state_publisher's
zeros may be the first to arrive. A position is proven when each joint has come from one publisher
alone for ALONE_NS. Not thread-safe; `now_ns` is steady time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.errors import ObservationError
from gr00t_ros.inputs.inputs import PULL_PERIOD_NS
from gr00t_ros.inputs.source import History, JointSource, SourceSubscription
from gr00t_ros.inputs.stream_report import Graph, listed
from gr00t_ros.motion.clocks import Awake, awake_ns
from gr00t_ros.observe.joint_states import JointPublishers
from gr00t_ros.observe.readings import JointReading, select

Floats = NDArray[np.float64]

FRESH_NS = 200_000_000
"""An older joint state does not show where the robot is now."""

ALONE_NS = 4_000_000_000
"""A second publisher is heard within this time: a running one may be discovered only at the next
announcement of its participant, which Fast DDS makes every 3 s (its default), and sends then."""

ON_ITS_WAY_NS = 100_000_000
"""A joint state that takes longer than that from its stamp to here is of no use."""

_AWAKE_NS = 3 * PULL_PERIOD_NS  # after a longer gap the queue may have lost a publisher's messages


class MeasuredJoints:
    """The newest position of each joint, and what speaks against it as the start of a motion."""

    def __init__(
        self, subscription: SourceSubscription, graph: Graph, joints: tuple[str, ...]
    ) -> None:
        """Read `joints` from the messages of `subscription`, whose publishers `graph` knows."""
        self._subscription, self._graph, self._joints = subscription, graph, joints
        self._publishers = JointPublishers(FRESH_NS)
        self._source = JointSource(
            subscription, (), joints, History(0, 0), PULL_PERIOD_NS, self._publishers
        )
        self._awake = Awake(_AWAKE_NS)
        self._ros_ns = 0
        self._forget_at_ns: int | None = None

    def pull(self, now_ns: int, ros_ns: int) -> None:
        """Take all waiting messages; call it at least every PULL_PERIOD_NS. ros_ns: ROS time now.

        After a clock that stepped back newer messages have older stamps, and would be refused for
        a second: what is known is forgotten, and once more when no message from before is on its
        way. Who publishes is known by the numbers of messages, and stays proven.
        """
        if ros_ns < self._ros_ns:
            self._source.clear()
            self._forget_at_ns = now_ns + ON_ITS_WAY_NS
        elif self._forget_at_ns is not None and now_ns >= self._forget_at_ns:
            self._source.clear()
            self._forget_at_ns = None
        self._ros_ns = ros_ns
        self._awake.ran(now_ns)
        self._source.pull(now_ns)

    def look(self, now_ns: int) -> None:
        """Ask the graph for the publishers, once a second."""
        publishers = self._graph.look(self._subscription, now_ns, bool(self._source.mixed(now_ns)))
        if publishers is not None:
            self._source.graph(publishers)

    def position(self, now_ns: int) -> Floats | None:
        """(J,) rad or m; None unless each joint has a value that is at most FRESH_NS old."""
        found = self._newest(now_ns)
        return None if isinstance(found, str) else found

    def mixed(self, now_ns: int) -> str:
        """Which publishers send the same ones of our joints; empty if none do."""
        return self._named(self._source.mixed(now_ns))

    def doubt(self, now_ns: int) -> str:
        """Why no first motion may begin at `position`; empty if one may."""
        found = self._proven(now_ns)
        return found if isinstance(found, str) else ""

    def first(self, now_ns: int) -> Floats | str:
        """(J,) rad or m, where a first motion may begin now; or why none may.

        Where nothing else speaks against it, the graph is asked: without message numbers it alone
        knows a second publisher, whose messages may have been taken since the last look.
        """
        found = self._proven(now_ns)
        if isinstance(found, str):
            return found
        publishers = self._graph.ask(self._subscription)
        if publishers is not None:
            self._source.graph(publishers)
        return self._proven(now_ns)

    def _proven(self, now_ns: int) -> Floats | str:
        found = self.mixed(now_ns) or self._newest(now_ns)
        if isinstance(found, str):
            return found
        since_ns = self._publishers.alone_since_ns(self._joints)
        if since_ns is not None:
            alone_ns = awake_ns(since_ns, now_ns, self._awake.sleeps(now_ns))
            if alone_ns >= ALONE_NS:
                return found
        else:
            alone_ns = 0
        return (
            f"joint states: one publisher alone for {alone_ns / 1e9:.1f} s on "
            f"{self._subscription.topic}, expected {ALONE_NS / 1e9:g} s before a first motion: wait"
        )

    def _newest(self, now_ns: int) -> Floats | str:
        """The newest position, or why it is not known."""
        states, topic = self._source.joints, self._subscription.topic
        missing = tuple(name for name in self._joints if not states.has((name,)))
        sample = None if missing else states.sample(self._joints)
        if sample is None:
            return self._unused(now_ns) or f"no joint state of {listed(missing)} on {topic}"
        if now_ns - sample.received_ns > FRESH_NS:
            return self._unused(now_ns) or f"{self._silent(now_ns)} on {topic}"
        assert isinstance(sample.value, JointReading)
        try:
            return select(self._joints, sample.value)
        except ObservationError as error:
            return str(error)

    def _unused(self, now_ns: int) -> str:
        """Why messages that came are not used; also two publishers of a joint that is not ours."""
        return self._source.problem or self._named(self._publishers.mixed(now_ns))

    def _named(self, joints: Sequence[str]) -> str:
        return self._graph.mixed(self._subscription.topic, joints) if joints else ""

    def _silent(self, now_ns: int) -> str:
        names = [
            name
            for name in self._joints
            if (one := self._source.joints.sample((name,))) is not None
            and now_ns - one.received_ns > FRESH_NS
        ]
        return f"for {FRESH_NS / 1e9:g} s no joint state of {listed(names)}"
