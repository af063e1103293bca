"""Nodes that are rarely asked, spun by a thread of their own beside the process' main node."""

import threading
from collections.abc import Sequence

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from gr00t_ros.errors import ThreadError


class SpunApart:
    """Spins nodes from its construction until `end`.

    An executor looks at the entities of all its nodes for each message: with the parameter services
    of five controllers, that was most of the work for a window.
    """

    def __init__(self, name: str, nodes: Sequence[Node], context: Context) -> None:
        """Start the thread of that name."""
        self._nodes = nodes
        self._error: Exception | None = None
        self._executor = SingleThreadedExecutor(context=context)
        for node in nodes:
            self._executor.add_node(node)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise ThreadError if a callback has raised: the nodes answer nobody since then."""
        if self._error is not None:
            raise ThreadError(f"{self._thread.name} thread: {self._error}") from self._error

    def end(self) -> None:
        """End the thread and destroy the nodes."""
        self._executor.shutdown()
        self._thread.join()
        for node in self._nodes:
            node.destroy_node()

    def _run(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass
        except Exception as error:
            self._error = error
