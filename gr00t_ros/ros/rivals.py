"""Who else publishes on the command topics: asked of the graph, kept for the other threads.

`of` and `look` run on the executor thread; `finding` only reads what `look` has left.
"""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.node import Node

from gr00t_ros.core.output_types import COMMAND_STREAMER
from gr00t_ros.core.watch_table import finding
from gr00t_ros.core.watchdog import Finding
from gr00t_ros.ros.pulled import InvalidHandle

LOOK_S = 1.0
"""How often a running node looks: no cheap call, and discovery itself takes as long."""
_KILLED = " (one that was killed is listed for its lease, some 20 s)"


class Rivals:
    """The watch on other publishers of the topics that this node commands."""

    def __init__(self, node: Node, topics: Sequence[str]) -> None:
        """Watch `topics`, as remapped; nothing is known before the first `look`."""
        self._node, self._topics = node, topics
        self._found: tuple[Finding, ...] = ()

    def of(self, topic: str) -> str:
        """The nodes that publish on `topic` besides this one and its streamer, empty if none."""
        names = [info.node_name for info in self._node.get_publishers_info_by_topic(topic)]
        for own in (self._node.get_name(), COMMAND_STREAMER):
            if own in names:
                names.remove(own)
        return ", ".join(f"{name}{_KILLED if name == COMMAND_STREAMER else ''}" for name in names)

    def look(self) -> None:
        """Ask the graph about all topics."""
        try:
            others = {topic: self.of(topic) for topic in self._topics}
        except InvalidHandle:  # the node was destroyed between two calls
            return
        self._found = tuple(
            finding("second_publisher", f"another publisher commands {topic}: {names}")
            for topic, names in others.items()
            if names
        )

    def findings(self) -> tuple[Finding, ...]:
        """One for each topic that somebody else commanded at the last look."""
        return self._found
